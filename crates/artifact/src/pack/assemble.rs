//! Putting the artifact together: layers, locked application, configuration, manifest.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use cap_std::fs::Dir;
use flate2::{Compression, GzBuilder};
use nokube_spinapp::Fault;
use nokube_spinapp::locked::{ContentPath, ContentRef, LockedApp};
use nokube_spinapp::manifest::{ComponentContent, Manifest};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::files::{Files, open_file};
use super::{PackError, Packed};
use crate::Digest;
use crate::layout::{Layout, LayoutError};
use crate::oci::{
    ARCHIVE_TYPE, CONFIG_TYPE, DATA_TYPE, Descriptor, ImageManifest, SPIN_APPLICATION_TYPE,
    WASM_TYPE,
};

/// Content of up to so many bytes stands in the locked application itself (Spin's default).
const INLINE_MAX_BYTES: u64 = 128;
/// An image has at most so many layers (Spin's limit, from the strictest well-known registry).
const MAX_LAYERS: usize = 500;

/// A component's content, found but not stored.
pub(super) struct Content {
    pub(super) wasm: Vec<u8>,
    pub(super) files: Files,
}

struct StoredFile {
    content: ContentRef,
    descriptor: Descriptor,
}

pub(super) fn assemble(
    layout: &Layout,
    root: &Dir,
    manifest: &Manifest,
    contents: Vec<Content>,
    created: &str,
) -> Result<Packed, PackError> {
    let mut layers = Layers::default();
    let mut wasm_layers = Vec::new();
    let mut component_contents = Vec::new();
    let mut stored = Vec::new();
    for content in contents {
        let digest = layout.put_bytes(&content.wasm).map_err(PackError::Layout)?;
        let wasm = Descriptor::new(WASM_TYPE, digest, content.wasm.len() as u64);
        let source = ContentRef {
            source: None,
            inline: (wasm.size <= INLINE_MAX_BYTES).then(|| content.wasm.clone()),
            digest: Some(digest.to_string()),
        };
        let files = store_files(layout, root, &content.files)?;
        layers.push(wasm.clone());
        for file in files.values() {
            if file.content.inline.is_none() {
                layers.push(file.descriptor.clone());
            }
        }
        component_contents.push(ComponentContent {
            source,
            files: files
                .iter()
                .map(|(path, file)| ContentPath {
                    content: file.content.clone(),
                    path: path.clone(),
                })
                .collect(),
        });
        wasm_layers.push(wasm);
        stored.push((content.files, files));
    }
    // One layer more is the locked application.
    if layers.0.len() > MAX_LAYERS - 1 {
        layers = Layers::default();
        for (wasm, (files, _)) in wasm_layers.into_iter().zip(&stored) {
            layers.push(wasm);
            if !files.is_empty() {
                layers.push(store_archive(layout, root, files)?);
            }
        }
    }
    let mut component_contents = component_contents.into_iter();
    let app = manifest.lock(|_| component_contents.next().unwrap_or_default());
    finish(layout, app, layers, created)
}

fn finish(
    layout: &Layout,
    app: LockedApp,
    mut layers: Layers,
    created: &str,
) -> Result<Packed, PackError> {
    // What was made here has to be readable here.
    app.check().map_err(PackError::Faults)?;
    let locked = app.to_json();
    let locked_digest = layout.put_bytes(&locked).map_err(PackError::Layout)?;
    layers.push(Descriptor::of(SPIN_APPLICATION_TYPE, &locked));
    let config = image_config(&locked_digest);
    layout.put_bytes(&config).map_err(PackError::Layout)?;
    let manifest = ImageManifest {
        annotations: annotations(&app, created),
        config: Descriptor::of(CONFIG_TYPE, &config),
        layers: layers.0,
        media_type: None,
        schema_version: 2,
    };
    let digest = layout
        .put_manifest(&manifest.to_json())
        .map_err(PackError::Layout)?;
    Ok(Packed {
        digest,
        manifest,
        app,
    })
}

/// Layers, each once, in the order of their first use.
#[derive(Default)]
struct Layers(Vec<Descriptor>);

impl Layers {
    fn push(&mut self, layer: Descriptor) {
        if !self.0.contains(&layer) {
            self.0.push(layer);
        }
    }
}

/// The files could be read when they were looked for.
const CHANGED: &str = "they changed while they were packed, or the disk is full: build again";

fn store_files(
    layout: &Layout,
    root: &Dir,
    files: &Files,
) -> Result<BTreeMap<String, StoredFile>, PackError> {
    let mut stored = BTreeMap::new();
    for (to, path) in files {
        let changed = |error: io::Error| {
            let message = format!("can't read {}: {error}", path.display());
            PackError::fault(Fault::unplaced("", message, CHANGED))
        };
        let (file, size) = open_file(root, path).map_err(changed)?;
        // Its size now is the limit: a file that grows meanwhile is cut off.
        let mut file = file.take(size);
        let mut inline = None;
        let (digest, size) = if size <= INLINE_MAX_BYTES {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(changed)?;
            let described = (Digest::of(&bytes), bytes.len() as u64);
            inline = Some(bytes);
            described
        } else {
            layout.put(file, None, size).map_err(PackError::Layout)?
        };
        let descriptor = Descriptor::new(DATA_TYPE, digest, size);
        let content = ContentRef {
            source: None,
            inline,
            digest: Some(digest.to_string()),
        };
        stored.insert(
            to.clone(),
            StoredFile {
                content,
                descriptor,
            },
        );
    }
    Ok(stored)
}

/// All files of a component as one archive: the same bytes for the same files.
fn store_archive(layout: &Layout, root: &Dir, files: &Files) -> Result<Descriptor, PackError> {
    let io = |error: io::Error| {
        let message = format!("can't archive the files: {error}");
        PackError::fault(Fault::unplaced("", message, CHANGED))
    };
    let file = NamedTempFile::new().map_err(|source| {
        PackError::Layout(LayoutError::Io {
            action: "can't write in",
            path: std::env::temp_dir(),
            source,
        })
    })?;
    let gzip = GzBuilder::new()
        .mtime(0)
        .write(file.as_file(), Compression::default());
    let mut builder = tar::Builder::new(gzip);
    for (to, path) in files {
        let (file, size) = open_file(root, path).map_err(io)?;
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size);
        builder
            .append_data(&mut header, to, file.take(size))
            .map_err(io)?;
    }
    builder
        .into_inner()
        .and_then(|gzip| gzip.finish())
        .and_then(|mut file| file.flush())
        .map_err(io)?;
    let (digest, size) = layout
        .put(file.reopen().map_err(io)?, None, u64::MAX)
        .map_err(PackError::Layout)?;
    Ok(Descriptor::new(ARCHIVE_TYPE, digest, size))
}

/// The image's configuration. The label makes it another one for each application, since container
/// runtimes take its digest for the image's id.
fn image_config(locked: &Digest) -> Vec<u8> {
    let locked = json!(locked.to_string());
    // Written by hand: the digest depends on the order of the fields, and this is Spin's.
    format!(
        r#"{{"architecture":"wasm","os":"Wasip1","config":{{"Labels":{{"com.fermyon.spin.lockedAppDigest":{locked}}}}},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#
    )
    .into_bytes()
}

fn annotations(app: &LockedApp, created: &str) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            annotations.insert(format!("org.opencontainers.image.{key}"), value);
        }
    };
    let text = |key: &str| {
        let text = app.metadata.get(key).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let authors = app.metadata.get("authors").and_then(Value::as_array);
    let authors = authors.map(|authors| {
        let authors: Vec<_> = authors.iter().filter_map(Value::as_str).collect();
        authors.join(", ")
    });
    add("authors", authors);
    add("title", text("name"));
    add("description", text("description"));
    add("version", text("version"));
    add("created", Some(created.to_owned()));
    annotations
}
