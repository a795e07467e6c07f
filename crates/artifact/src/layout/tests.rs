//! The image layout: what is stored is found again, and nothing half-written is.

use std::io::Cursor;
use std::sync::LazyLock;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::durable::done::{Step, by_this_thread};
use crate::oci::{CONFIG_TYPE, DATA_TYPE, Descriptor, ImageManifest};

fn layout() -> (TempDir, Layout) {
    let dir = TempDir::new().unwrap();
    let layout = Layout::open(dir.path().join("layout")).unwrap();
    (dir, layout)
}

/// An artifact of these layers.
fn artifact(layout: &Layout, layers: &[&[u8]]) -> Digest {
    let _storing = layout.storing().unwrap();
    layout.put_bytes(b"{}").unwrap();
    let layers = layers
        .iter()
        .map(|bytes| {
            layout.put_bytes(bytes).unwrap();
            Descriptor::of(DATA_TYPE, bytes)
        })
        .collect();
    let manifest = ImageManifest {
        annotations: Default::default(),
        config: Descriptor::of(CONFIG_TYPE, b"{}"),
        layers,
        media_type: None,
        schema_version: 2,
    };
    layout.put_manifest(&manifest.to_json()).unwrap()
}

#[test]
fn the_index_names_a_manifest_when_all_of_it_is_on_the_disk() {
    let (_dir, layout) = layout();
    let root = layout.root().to_owned();
    let opened = by_this_thread();
    let at = |steps: &[(Step, PathBuf)], step, path: &Path| {
        let found = steps
            .iter()
            .rposition(|done| *done == (step, path.to_owned()));
        found.unwrap_or_else(|| panic!("{step:?} {} is not in {steps:?}", path.display()))
    };
    at(&opened, Step::Flushed, &root.join("blobs"));
    let manifest = artifact(&layout, &[b"one", b"two"]);
    let steps = by_this_thread();
    let index = at(&steps, Step::Named, &root.join("index.json"));
    for blob in [b"{}".as_slice(), b"one", b"two"]
        .map(Digest::of)
        .into_iter()
        .chain([manifest])
    {
        let path = layout.blob_path(&blob);
        let named = at(&steps, Step::Named, &path);
        let flushed = at(&steps, Step::Flushed, &path);
        let folder = at(&steps, Step::Flushed, &layout.blobs());
        assert!(
            flushed < index && named < folder && folder < index,
            "{steps:?}"
        );
    }
    // The index itself: its content before its name, its name before it is acknowledged.
    let (step, file) = &steps[index - 1];
    assert_eq!(
        (*step, file.parent()),
        (Step::Flushed, Some(&*layout.staging()))
    );
    assert_eq!(steps[index + 1..], [(Step::Flushed, root)]);
}

fn export(layout: &Layout, digest: &Digest) -> Vec<u8> {
    let mut bytes = Vec::new();
    layout.export_tar(digest, &mut bytes).unwrap();
    bytes
}

fn import(layout: &Layout, tar: &[u8]) -> Result<Digest> {
    layout.import_tar(tar, ImportLimits::default())
}

/// A tar archive of these entries, whatever they are.
fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        // Written directly: the crate's own setter refuses what is tested here.
        let name = &mut header.as_mut_bytes()[..100];
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn blobs(layout: &Layout) -> usize {
    fs::read_dir(layout.blobs()).unwrap().count()
}

#[test]
fn a_blob_is_stored_by_its_digest_and_read_back() {
    let (_dir, layout) = layout();
    let (digest, size) = layout.put(&b"hello"[..], None, 100).unwrap();
    assert_eq!((digest, size), (Digest::of(b"hello"), 5));
    assert!(layout.has(&digest));
    assert_eq!(layout.read_blob(&digest, 5).unwrap(), b"hello");
    assert!(matches!(
        layout.read_blob(&digest, 4),
        Err(LayoutError::TooLarge { .. })
    ));
}

#[test]
fn content_that_is_too_large_or_something_else_is_not_stored() {
    let (_dir, layout) = layout();
    let too_large = layout.put(&b"hello"[..], None, 4);
    assert!(matches!(too_large, Err(LayoutError::TooLarge { .. })));
    let other = Digest::of(b"other");
    let mismatch = layout.put(&b"hello"[..], Some(&other), 100);
    assert!(matches!(mismatch, Err(LayoutError::Mismatch { .. })));
    assert!(mismatch.unwrap_err().is_of_the_content());
    assert_eq!(blobs(&layout), 0);
}

#[test]
fn a_blob_that_was_altered_on_disk_is_not_given_out() {
    let (_dir, layout) = layout();
    let digest = layout.put_bytes(b"hello").unwrap();
    fs::write(layout.blob_path(&digest), b"hellO").unwrap();
    assert!(matches!(
        layout.read_blob(&digest, 100),
        Err(LayoutError::Mismatch { .. })
    ));
    layout.put_bytes(b"hello").unwrap();
    assert!(layout.read_blob(&digest, 100).is_ok(), "storing mends it");
}

#[test]
fn an_artifact_survives_reopening_and_deletion_takes_only_its_own_blobs() {
    let (_dir, layout) = layout();
    let first = artifact(&layout, &[b"shared", b"one"]);
    let second = artifact(&layout, &[b"shared", b"two", b"two"]);
    assert_eq!(artifact(&layout, &[b"shared", b"one"]), first);
    let layout = Layout::open(layout.root()).unwrap();
    assert_eq!(layout.list().unwrap().len(), 2);
    assert!(layout.lists(&first).unwrap());
    let (_, manifest) = layout.open_blob(&second).unwrap();
    assert_eq!(layout.artifact_size(&second).unwrap(), manifest + 2 + 6 + 3);
    assert!(layout.delete(&first).unwrap());
    assert!(!layout.delete(&first).unwrap());
    assert!(!layout.has(&first) && !layout.has(&Digest::of(b"one")));
    assert!(layout.has(&Digest::of(b"shared")) && layout.has(&second));
}

#[test]
fn a_damaged_artifact_does_not_keep_others_from_going() {
    let (_dir, layout) = layout();
    let damaged = artifact(&layout, &[b"one"]);
    let other = artifact(&layout, &[b"two"]);
    fs::write(layout.blob_path(&damaged), b"{}").unwrap();
    assert!(layout.delete(&other).unwrap());
    assert!(!layout.has(&other));
    assert!(layout.delete(&damaged).unwrap());
    assert_eq!(blobs(&layout), 0);
}

#[test]
fn a_manifest_whose_blobs_are_not_there_is_refused() {
    let (_dir, other) = layout();
    let digest = artifact(&other, &[b"layer"]);
    let bytes = other.read_blob(&digest, 10_000).unwrap();
    let (_dir, layout) = layout();
    assert!(matches!(
        layout.put_manifest(&bytes),
        Err(LayoutError::Missing(_))
    ));
    assert!(layout.list().unwrap().is_empty());
}

#[test]
fn an_exported_artifact_is_imported_as_the_same_and_exported_as_the_same_bytes() {
    let (_dir, from) = layout();
    let digest = artifact(&from, &[b"one", b"two"]);
    let tar = export(&from, &digest);
    let (_dir, to) = layout();
    assert_eq!(import(&to, &tar).unwrap(), digest);
    assert_eq!(import(&to, &tar).unwrap(), digest, "again");
    assert_eq!(export(&to, &digest), tar);
    assert!(to.lists(&digest).unwrap());
}

#[test]
fn blobs_that_the_manifest_does_not_name_are_dropped() {
    let (_dir, from) = layout();
    let digest = artifact(&from, &[b"one"]);
    let tar = export(&from, &digest);
    let extra = format!("blobs/sha256/{}", Digest::of(b"extra").hex());
    let mut with_extra = archive(&[(&extra, tar::EntryType::Regular, b"extra")]);
    with_extra.truncate(1024);
    with_extra.extend(tar);
    let (_dir, to) = layout();
    assert_eq!(import(&to, &with_extra).unwrap(), digest);
    assert!(!to.has(&Digest::of(b"extra")));
}

#[test]
fn archives_with_anything_but_a_layout_are_refused() {
    use tar::EntryType::{Directory, Fifo, GNULongName, Link, Regular, Symlink};
    let hex = Digest::of(b"x").hex();
    let blob = format!("blobs/sha256/{hex}");
    let up = format!("blobs/sha256/../../{}", &hex[..20]);
    for (path, kind, bytes) in [
        ("../index.json", Regular, &b"x"[..]),
        ("/index.json", Regular, b"x"),
        ("blobs/sha256/short", Regular, b"x"),
        (up.as_str(), Regular, b"x"),
        ("etc", Directory, b""),
        (blob.as_str(), Symlink, b""),
        (blob.as_str(), Link, b""),
        (blob.as_str(), Fifo, b""),
        (blob.as_str(), Regular, b"not x"),
        ("././@LongLink", GNULongName, b"blobs/sha256/x"),
    ] {
        let (_dir, layout) = layout();
        let refused = import(&layout, &archive(&[(path, kind, bytes)])).unwrap_err();
        assert!(refused.is_of_the_content(), "{path}: {refused}");
        assert_eq!(blobs(&layout), 0, "{path}");
    }
}

#[test]
fn an_import_is_bounded() {
    let (_dir, from) = layout();
    let tar = export(&from, &artifact(&from, &[b"one", &[7; 5000]]));
    for limits in [
        ImportLimits {
            entries: 3,
            ..ImportLimits::default()
        },
        ImportLimits {
            bytes: 4000,
            ..ImportLimits::default()
        },
    ] {
        let (_dir, to) = layout();
        assert!(to.import_tar(&tar[..], limits).is_err(), "{limits:?}");
        assert!(to.list().unwrap().is_empty());
    }
}

#[test]
fn an_index_with_no_or_several_manifests_is_refused() {
    let (_dir, layout) = layout();
    for index in [
        &b"{}"[..],
        br#"{"schemaVersion":2,"manifests":[]}"#,
        b"not json",
    ] {
        let tar = archive(&[("index.json", tar::EntryType::Regular, index)]);
        assert!(matches!(
            import(&layout, &tar),
            Err(LayoutError::Malformed { .. })
        ));
    }
    assert!(import(&layout, b"").is_err());
}

#[test]
fn many_may_store_and_delete_at_once() {
    let (_dir, layout) = layout();
    std::thread::scope(|scope| {
        for n in 0..8u8 {
            let layout = &layout;
            scope.spawn(move || {
                for round in 0..5u8 {
                    let own = [n, round];
                    let digest = artifact(layout, &[b"shared", &own]);
                    layout.export_tar(&digest, io::sink()).unwrap();
                    if round < 4 {
                        layout.delete(&digest).unwrap();
                    }
                }
            });
        }
    });
    let left = layout.list().unwrap();
    assert_eq!(left.len(), 8);
    for one in left {
        layout.export_tar(&one.digest, io::sink()).unwrap();
    }
}

static WHOLE: LazyLock<(Digest, Vec<u8>)> = LazyLock::new(|| {
    let (_dir, layout) = layout();
    let digest = artifact(&layout, &[b"one", b"two"]);
    let tar = export(&layout, &digest);
    (digest, tar)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_damaged_archive_never_becomes_another_artifact(at in 0usize..6000, byte: u8) {
        let (digest, mut tar) = WHOLE.clone();
        let at = at % tar.len();
        tar[at] = byte;
        let (_dir, to) = layout();
        if let Ok(found) = to.import_tar(Cursor::new(tar), ImportLimits::default()) {
            prop_assert_eq!(found, digest);
            prop_assert!(to.export_tar(&found, io::sink()).is_ok());
        }
    }
}

/// Far enough ahead that everything was stored before it.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(60)
}

#[test]
fn what_is_unused_and_old_goes_and_the_rest_stays_whole() {
    let (_dir, layout) = layout();
    let used = artifact(&layout, &[b"shared", b"used"]);
    let unused = artifact(&layout, &[b"shared", b"unused"]);
    let is_kept = |digest: &Digest| *digest == used;
    let long_ago = SystemTime::UNIX_EPOCH;
    assert!(layout.remove_unused(long_ago, is_kept).unwrap().is_empty());
    assert!(layout.lists(&unused).unwrap());
    assert_eq!(layout.remove_unused(later(), is_kept).unwrap(), [unused]);
    assert!(!layout.lists(&unused).unwrap());
    assert!(!layout.has(&unused) && !layout.has(&Digest::of(b"unused")));
    assert!(!export(&layout, &used).is_empty());
}

#[test]
fn what_a_crash_left_between_the_index_and_the_blobs_goes_at_the_next_turn() {
    let (_dir, layout) = layout();
    let used = artifact(&layout, &[b"used"]);
    let unused = artifact(&layout, &[b"unused"]);
    let mut index = layout.list().unwrap();
    index.retain(|known| known.digest == used);
    layout.write_index(&Index::new(index)).unwrap();
    // Blobs without a manifest harm nobody, and storing the same again takes them up.
    assert!(layout.has(&unused));
    assert!(layout.remove_unused(later(), |_| true).unwrap().is_empty());
    assert!(!layout.has(&unused) && !export(&layout, &used).is_empty());
}

#[test]
fn storing_again_makes_an_artifact_new() {
    let (_dir, layout) = layout();
    let digest = artifact(&layout, &[b"layer"]);
    let tar = export(&layout, &digest);
    let old = File::options()
        .write(true)
        .open(layout.blob_path(&digest))
        .unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(7200);
    old.set_modified(long_ago).unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    assert_eq!(import(&layout, &tar).unwrap(), digest);
    assert!(
        layout
            .remove_unused(hour_ago, |_| false)
            .unwrap()
            .is_empty()
    );
}
