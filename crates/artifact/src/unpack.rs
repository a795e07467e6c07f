//! An artifact becomes a folder that an engine can run from.
//!
//! ```text
//! <folder>/app.json                    the locked application
//! <folder>/modules/<hex>.wasm          components by digest
//! <folder>/files/<component>/…         a component's files, to be mounted at its `/`
//! ```
//!
//! The folder appears whole or not at all. Artifacts come from outside: every path, digest and size in
//! them is checked, and archives are read within bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use nokube_spinapp::locked::{LockedApp, LockedComponent, LockedError};
use tempfile::{NamedTempFile, TempDir};

use crate::digest::{Copied, copy_digesting};
use crate::layout::{Layout, LayoutError};
use crate::oci::{ARCHIVE_TYPE, ImageManifest, MAX_JSON_BYTES, SPIN_APPLICATION_TYPE};
use crate::{Digest, DigestError, durable};

const APP_FILE: &str = "app.json";

/// What an artifact may become.
#[derive(Debug, Clone, Copy)]
pub struct UnpackLimits {
    /// Files of all components together.
    pub files: usize,
    /// Bytes of all components and files together.
    pub bytes: u64,
}

impl Default for UnpackLimits {
    /// 20,000 files, 2 GiB.
    fn default() -> Self {
        Self {
            files: 20_000,
            bytes: 2 * 1024 * 1024 * 1024,
        }
    }
}

/// Why an artifact could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It can't be read from the layout.
    #[error("the artifact can't be read")]
    Layout(#[source] LayoutError),
    /// It is no Spin application.
    #[error("the image is not a Spin application: it has {0} layers of a locked application")]
    NotSpin(usize),
    /// Its locked application was refused.
    #[error(transparent)]
    Locked(#[from] LockedError),
    /// Its locked application names content that is not in it.
    #[error("the content {digest} of {path} is not in the image")]
    Missing {
        /// The content.
        digest: String,
        /// Whose it is.
        path: String,
    },
    /// Content without a digest, or one we don't know.
    #[error("{path} has no usable digest")]
    Undigested {
        /// Whose it is.
        path: String,
        /// Why, when there is one.
        source: Option<DigestError>,
    },
    /// More or larger files than allowed.
    #[error("the application has more than {0}")]
    Limit(String),
    /// An archive in it is broken.
    #[error("an archive of the image can't be read")]
    Archive(#[source] io::Error),
    /// The file system.
    #[error("can't write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> UnpackError {
    let path = path.to_owned();
    move |source| UnpackError::Io { path, source }
}

/// An unpacked artifact.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// The locked application.
    pub app: LockedApp,
    /// Its folder.
    pub dir: PathBuf,
}

impl Unpacked {
    /// Opens a folder that [`unpack`] made.
    ///
    /// # Errors
    /// [`UnpackError`].
    pub fn open(dir: &Path) -> Result<Self, UnpackError> {
        let path = dir.join(APP_FILE);
        let bytes = fs::read(&path).map_err(io_at(&path))?;
        Ok(Self {
            app: LockedApp::from_json(&bytes)?,
            dir: dir.to_owned(),
        })
    }

    /// Where a component's WebAssembly is.
    #[must_use]
    pub fn module_path(&self, component: &LockedComponent) -> PathBuf {
        let digest = component.source.content.digest.as_deref();
        let hex = digest.and_then(|digest| digest.strip_prefix("sha256:"));
        self.dir
            .join("modules")
            .join(format!("{}.wasm", hex.unwrap_or_default()))
    }

    /// The folder of a component's files; `None` when it has none.
    #[must_use]
    pub fn files_dir(&self, component: &LockedComponent) -> Option<PathBuf> {
        (!component.files.is_empty()).then(|| self.dir.join("files").join(&component.id))
    }
}

/// Unpacks an artifact into the folder `to`, or opens that folder when it is there already.
///
/// # Errors
/// [`UnpackError`]; nothing is left at `to` then.
pub fn unpack(
    layout: &Layout,
    digest: &Digest,
    to: &Path,
    limits: UnpackLimits,
) -> Result<Unpacked, UnpackError> {
    if to.join(APP_FILE).is_file() {
        return Unpacked::open(to);
    }
    let manifest = layout.manifest(digest).map_err(UnpackError::Layout)?;
    let app_bytes = locked_app(layout, &manifest)?;
    let app = LockedApp::from_json(&app_bytes)?;
    let parent = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io_at(parent))?;
    let staging = tempfile::Builder::new()
        .prefix(".unpacking-")
        .tempdir_in(parent)
        .map_err(io_at(parent))?;
    let written = Unpacking {
        layout,
        blobs: manifest.blobs().map(|blob| blob.digest).collect(),
        archived: BTreeMap::new(),
        scratch: TempDir::new_in(parent).map_err(io_at(parent))?,
        dir: staging.path(),
        written: BTreeSet::new(),
        files_left: limits.files,
        bytes_left: limits.bytes,
        limits,
    }
    .run(&manifest, &app, &app_bytes)?;
    // The temporary folder is private to this user; what runs the application may be another.
    set_mode(staging.path(), 0o755)?;
    durable::sync_files(staging.path(), &written).map_err(io_at(staging.path()))?;
    let staging = staging.keep();
    match fs::rename(&staging, to) {
        Ok(()) => {
            let sync = File::open(parent).and_then(|dir| dir.sync_all());
            sync.map_err(io_at(parent))?;
        }
        Err(source) => {
            let _ = fs::remove_dir_all(&staging);
            // Somebody else may have been faster with the same artifact.
            if !to.join(APP_FILE).is_file() {
                return Err(io_at(to)(source));
            }
        }
    }
    Ok(Unpacked {
        app,
        dir: to.to_owned(),
    })
}

/// The locked application of an image: a layer, or the configuration in images of older versions.
fn locked_app(layout: &Layout, manifest: &ImageManifest) -> Result<Vec<u8>, UnpackError> {
    let blobs: Vec<_> = manifest
        .blobs()
        .filter(|blob| blob.media_type == SPIN_APPLICATION_TYPE)
        .collect();
    let [blob] = blobs.as_slice() else {
        return Err(UnpackError::NotSpin(blobs.len()));
    };
    layout
        .read_blob(&blob.digest, MAX_JSON_BYTES)
        .map_err(UnpackError::Layout)
}

struct Unpacking<'a> {
    layout: &'a Layout,
    /// What the manifest names: nothing else of the layout belongs to this application.
    blobs: BTreeSet<Digest>,
    /// Files that came in archives.
    archived: BTreeMap<Digest, NamedTempFile>,
    scratch: TempDir,
    dir: &'a Path,
    written: BTreeSet<PathBuf>,
    files_left: usize,
    bytes_left: u64,
    limits: UnpackLimits,
}

impl Unpacking<'_> {
    /// Writes everything; gives the files.
    fn run(
        mut self,
        manifest: &ImageManifest,
        app: &LockedApp,
        app_bytes: &[u8],
    ) -> Result<BTreeSet<PathBuf>, UnpackError> {
        let wanted: BTreeSet<Digest> = app
            .components
            .iter()
            .flat_map(|component| &component.files)
            .filter_map(|file| file.content.digest.as_deref()?.parse().ok())
            .collect();
        for layer in &manifest.layers {
            if layer.media_type == ARCHIVE_TYPE {
                self.read_archive(&layer.digest, &wanted)?;
            }
        }
        self.make_dir(&self.dir.join("modules"))?;
        for component in &app.components {
            self.module(component)?;
            self.files(component)?;
        }
        self.write(&self.dir.join(APP_FILE), &mut &app_bytes[..], None)?;
        Ok(self.written)
    }

    fn module(&mut self, component: &LockedComponent) -> Result<(), UnpackError> {
        let content = &component.source.content;
        let path = format!("the component {}", component.id);
        let digest = usable_digest(content.digest.as_deref(), &path)?;
        let to = self.dir.join(format!("modules/{}.wasm", digest.hex()));
        if to.exists() {
            return Ok(());
        }
        if let Some(bytes) = &content.inline {
            return self.write(&to, &mut bytes.as_slice(), Some(&digest));
        }
        self.copy(&digest, &to, &path)
    }

    fn files(&mut self, component: &LockedComponent) -> Result<(), UnpackError> {
        if component.files.is_empty() {
            return Ok(());
        }
        let root = self.dir.join("files").join(&component.id);
        self.make_dir(&self.dir.join("files"))?;
        self.make_dir(&root)?;
        let mut made = BTreeSet::new();
        for file in &component.files {
            // `LockedApp::check` saw to it that the path stays inside.
            let to = root.join(&file.path);
            for (at, _) in file.path.match_indices('/') {
                if made.insert(&file.path[..at]) {
                    self.make_dir(&root.join(&file.path[..at]))?;
                }
            }
            let path = format!("{}/{}", component.id, file.path);
            match (&file.content.inline, &file.content.digest) {
                (Some(bytes), None) => self.write(&to, &mut bytes.as_slice(), None)?,
                (Some(bytes), Some(digest)) => {
                    let digest = usable_digest(Some(digest), &path)?;
                    self.write(&to, &mut bytes.as_slice(), Some(&digest))?;
                }
                (None, digest) => {
                    let digest = usable_digest(digest.as_deref(), &path)?;
                    self.copy(&digest, &to, &path)?;
                }
            }
        }
        Ok(())
    }

    /// Copies content of the image to a file.
    fn copy(&mut self, digest: &Digest, to: &Path, path: &str) -> Result<(), UnpackError> {
        if let Some(file) = self.archived.get(digest) {
            let mut file = file.reopen().map_err(io_at(to))?;
            return self.write(to, &mut file, Some(digest));
        }
        if !self.blobs.contains(digest) {
            return Err(UnpackError::Missing {
                digest: digest.to_string(),
                path: path.to_owned(),
            });
        }
        let (mut file, _) = self.layout.open_blob(digest).map_err(UnpackError::Layout)?;
        self.write(to, &mut file, Some(digest))
    }

    fn write(
        &mut self,
        to: &Path,
        from: &mut dyn Read,
        expected: Option<&Digest>,
    ) -> Result<(), UnpackError> {
        if self.files_left == 0 {
            return Err(UnpackError::Limit(format!("{} files", self.limits.files)));
        }
        self.files_left -= 1;
        let mut file = File::create_new(to).map_err(io_at(to))?;
        let copied = copy_digesting(from, &mut file, self.bytes_left).map_err(io_at(to))?;
        let Copied::Whole(found, size) = copied else {
            return Err(self.too_large());
        };
        if let Some(expected) = expected
            && *expected != found
        {
            return Err(UnpackError::Layout(LayoutError::Mismatch {
                expected: *expected,
                found,
            }));
        }
        self.bytes_left -= size;
        set_mode(to, 0o644)?;
        file.flush().map_err(io_at(to))?;
        self.written.insert(to.to_owned());
        Ok(())
    }

    fn too_large(&self) -> UnpackError {
        UnpackError::Limit(format!("{} bytes", self.limits.bytes))
    }

    fn make_dir(&self, path: &Path) -> Result<(), UnpackError> {
        match fs::create_dir(path) {
            Ok(()) => set_mode(path, 0o755),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(io_at(path)(error)),
        }
    }

    /// Reads the files of an archive that the application wants. Their names in it don't matter:
    /// the locked application says where content goes, by digest.
    fn read_archive(
        &mut self,
        digest: &Digest,
        wanted: &BTreeSet<Digest>,
    ) -> Result<(), UnpackError> {
        let (file, _) = self.layout.open_blob(digest).map_err(UnpackError::Layout)?;
        // Bounded after decompression: a small archive may hold a great many zeros. Headers and
        // padding take at most 1.5 KiB per entry beside the files' own bytes.
        let bound = self.limits.bytes + 2048 * self.limits.files as u64;
        let mut archive = tar::Archive::new(GzDecoder::new(file).take(bound));
        let mut left = self.limits.bytes;
        // Raw: extension headers (long names) are entries that we pass over, not memory.
        let entries = archive.entries().map_err(UnpackError::Archive)?.raw(true);
        for (count, entry) in entries.enumerate() {
            let mut entry = entry.map_err(UnpackError::Archive)?;
            // A long name and a folder may stand beside each file.
            if count >= self.limits.files.saturating_mul(4) {
                return Err(UnpackError::Limit(format!("{} files", self.limits.files)));
            }
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let scratch = self.scratch.path();
            let mut file = NamedTempFile::new_in(scratch).map_err(io_at(scratch))?;
            let copied =
                copy_digesting(&mut entry, &mut file, left).map_err(UnpackError::Archive)?;
            let Copied::Whole(found, size) = copied else {
                return Err(self.too_large());
            };
            left -= size;
            if wanted.contains(&found) {
                self.archived.insert(found, file);
            }
        }
        Ok(())
    }
}

fn usable_digest(text: Option<&str>, path: &str) -> Result<Digest, UnpackError> {
    let undigested = |source| UnpackError::Undigested {
        path: path.to_owned(),
        source,
    };
    text.ok_or_else(|| undigested(None))?
        .parse()
        .map_err(|error| undigested(Some(error)))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), UnpackError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(io_at(path))
}
