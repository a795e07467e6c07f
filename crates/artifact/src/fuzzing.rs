//! What must hold whatever strangers send: for `cargo xtask fuzz`, and for its corpora as ordinary tests.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Digest;
use crate::layout::{ImportLimits, Layout};
use crate::oci::{
    ARCHIVE_TYPE, CONFIG_TYPE, DATA_TYPE, Descriptor, ImageManifest, SPIN_APPLICATION_TYPE,
    WASM_TYPE,
};
use crate::push::Reference;
use crate::unpack::{UnpackLimits, unpack};

const MOST_BYTES: u64 = 1 << 20;

/// An archive of a layout, as a runner uploads it.
pub fn layouts(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let layout = Layout::open(folder.path().join("one")).expect("a layout");
    let limits = ImportLimits {
        entries: 50,
        bytes: MOST_BYTES,
    };
    let Ok(digest) = layout.import_tar(data, limits) else {
        assert_eq!(layout.list().expect("an index").len(), 0, "nothing is kept");
        return;
    };
    let mut archive = Vec::new();
    layout
        .export_tar(&digest, &mut archive)
        .expect("what came in goes out");
    let other = Layout::open(folder.path().join("two")).expect("a layout");
    let again = other.import_tar(archive.as_slice(), ImportLimits::default());
    assert_eq!(again.expect("it is one"), digest);
}

/// What `images` sees between two parts.
const BORDER: &[u8] = b"\n----\n";
/// In the locked application: the digests of the other parts.
const PLACES: [&str; 3] = ["DIGEST1", "DIGEST2", "DIGEST3"];

/// An image of a Spin application: first the locked application, then contents of layers. What begins with `a` is an
/// archive.
pub fn images(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let layout = Layout::open(folder.path().join("layout")).expect("a layout");
    let parts = split(data);
    let mut app = String::from_utf8_lossy(parts[0]).into_owned();
    let mut layers = Vec::new();
    for (place, part) in PLACES.iter().zip(&parts[1..]) {
        let (media_type, bytes) = match part.split_first() {
            Some((b'a', archive)) => (ARCHIVE_TYPE, gzip(archive)),
            Some((b'w', wasm)) => (WASM_TYPE, wasm.to_vec()),
            _ => (DATA_TYPE, part.to_vec()),
        };
        let named = match media_type {
            // Of an archive, what is in it is named.
            ARCHIVE_TYPE => Digest::of(b"hello"),
            _ => Digest::of(&bytes),
        };
        app = app.replace(place, &named.to_string());
        layout.put_bytes(&bytes).expect("stored");
        layers.push(Descriptor::of(media_type, &bytes));
    }
    layout.put_bytes(app.as_bytes()).expect("stored");
    layers.push(Descriptor::of(SPIN_APPLICATION_TYPE, app.as_bytes()));
    layout.put_bytes(b"{}").expect("stored");
    let manifest = ImageManifest {
        annotations: std::collections::BTreeMap::new(),
        config: Descriptor::of(CONFIG_TYPE, b"{}"),
        layers,
        media_type: None,
        schema_version: 2,
    };
    let digest = layout.put_manifest(&manifest.to_json()).expect("stored");
    let to = folder.path().join("apps/one");
    let limits = UnpackLimits {
        files: 20,
        bytes: MOST_BYTES,
    };
    match unpack(&layout, &digest, &to, limits) {
        Err(_) => assert!(!to.exists(), "nothing is left"),
        Ok(unpacked) => {
            for component in &unpacked.app.components {
                assert!(unpacked.module_path(component).is_file());
            }
            assert!(count(&to) <= 20 + 1, "more files than allowed");
        }
    }
    let beside = fs::read_dir(folder.path()).expect("a folder").count();
    assert!(beside <= 2, "something was written elsewhere");
}

/// Manifests and the names of images.
pub fn manifests(data: &[u8]) {
    if let Ok(manifest) = serde_json::from_slice::<ImageManifest>(data) {
        let again: ImageManifest = serde_json::from_slice(&manifest.to_json()).expect("our own");
        assert_eq!(again, manifest);
    }
    let text = &*String::from_utf8_lossy(data);
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    let _ = text.parse::<Reference>();
}

fn split(data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(BORDER.len()).position(|part| part == BORDER) {
        parts.push(&rest[..at]);
        rest = &rest[at + BORDER.len()..];
    }
    parts.push(rest);
    parts
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    gzip.write_all(bytes).expect("in memory");
    gzip.finish().expect("in memory")
}

fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("a folder");
    let counts = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("an entry");
        assert!(
            metadata.is_dir() || metadata.is_file(),
            "{}",
            path.display()
        );
        if metadata.is_dir() { count(&path) } else { 1 }
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    use nokube_corpus::replay;

    #[test]
    fn the_corpus_of_layouts_holds() {
        replay("layouts", super::layouts);
    }

    #[test]
    fn the_corpus_of_images_holds() {
        replay("images", super::images);
    }

    #[test]
    fn the_corpus_of_image_manifests_holds() {
        replay("image_manifests", super::manifests);
    }
}
