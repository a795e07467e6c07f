//! A manifest and its files become an artifact, as `spin registry push` writes it.
//!
//! Files are found as Spin's loader finds them and stored as its registry client does: what has up to
//! 128 bytes stands in the locked application, the rest is a layer each, and when an image would have
//! 500 layers, an archive per component instead. The same input gives the same bytes. Sources are
//! opened below the root of the source alone: no path and no symbolic link leads out of it.

mod assemble;
mod files;
mod site;

use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nokube_spinapp::locked::LockedApp;
use nokube_spinapp::manifest::Manifest;
use nokube_spinapp::{Fault, Faults};

use crate::Digest;
use crate::layout::{Layout, LayoutError};
use crate::oci::ImageManifest;

pub use site::{SiteOptions, pack_static_site};

/// What an application may have.
#[derive(Debug, Clone, Copy)]
pub struct PackLimits {
    /// Files of all components together.
    pub files: usize,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all components and files together.
    pub total_bytes: u64,
    /// Bytes of one WebAssembly component.
    pub wasm_bytes: u64,
}

impl Default for PackLimits {
    /// 10,000 files, 64 MiB each, 512 MiB together; components of 128 MiB.
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            files: 10_000,
            file_bytes: 64 * MIB,
            total_bytes: 512 * MIB,
            wasm_bytes: 128 * MIB,
        }
    }
}

/// Where an application's files are.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The root of the source, such as a repository. Nothing outside it is read.
    pub root: &'a Path,
    /// The manifest's folder, relative to the root; empty when it is the root.
    pub manifest_dir: &'a Path,
}

/// A packed application.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The digest of the image manifest: the artifact's name.
    pub digest: Digest,
    /// The image manifest.
    pub manifest: ImageManifest,
    /// The locked application in it.
    pub app: LockedApp,
}

/// Why an application could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Faults in what the user wrote; all of them.
    #[error(transparent)]
    Faults(Faults),
    /// The source's root can't be opened.
    #[error("can't open the folder {path}")]
    Root {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// More or larger files than allowed.
    #[error("{0}")]
    Limit(String),
    /// The layout could not store it.
    #[error("the artifact can't be stored")]
    Layout(#[source] LayoutError),
}

impl PackError {
    fn fault(fault: Fault) -> Self {
        Self::Faults(Faults(vec![fault]))
    }
}

/// Packs an application into a layout. `created` is the time of the annotation
/// `org.opencontainers.image.created`, in RFC 3339.
///
/// # Errors
/// [`PackError`]; what the user can mend is told all at once.
pub fn pack(
    layout: &Layout,
    manifest: &Manifest,
    source: Source<'_>,
    created: &str,
    limits: PackLimits,
) -> Result<Packed, PackError> {
    let root = open_root(source.root)?;
    let _storing = layout.storing().map_err(PackError::Layout)?;
    let mut faults = Vec::new();
    let mut contents = Vec::new();
    let mut budget = files::Budget::new(limits);
    for component in &manifest.components {
        let serves = manifest
            .triggers
            .iter()
            .any(|t| t.component == component.id);
        let wasm = files::read_wasm(&root, source.manifest_dir, component, serves, &mut budget)?;
        let files = files::collect(&root, source.manifest_dir, component, &mut budget)?;
        match (wasm, files) {
            (Ok(wasm), Ok(files)) => contents.push(assemble::Content { wasm, files }),
            (wasm, files) => {
                faults.extend(wasm.err());
                faults.extend(files.err().into_iter().flatten());
            }
        }
    }
    if !faults.is_empty() {
        faults.sort_by_key(|fault| fault.line);
        return Err(PackError::Faults(Faults(faults)));
    }
    assemble::assemble(layout, &root, manifest, contents, created)
}

fn open_root(path: &Path) -> Result<Dir, PackError> {
    Dir::open_ambient_dir(path, ambient_authority()).map_err(|source| PackError::Root {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
