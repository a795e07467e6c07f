//! An OCI image layout on disk: blobs by digest, and an index of the manifests among them.
//!
//! A blob appears whole or not at all (temporary file, rename), and the index names a manifest only
//! once all of its blobs are on the disk, so a process or the machine may stop at any time. Several
//! processes and threads may use one layout: the index changes under a lock, and what nothing refers to
//! is collected only while nobody stores.

mod index;
mod transfer;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

use crate::digest::{Copied, copy_digesting};
use crate::oci::Index;
use crate::{Digest, durable};

pub use transfer::ImportLimits;

use index::parse_manifest;

const LAYOUT_FILE: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// What a crash left behind is removed when it is so old that nobody can be writing it.
const STALE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A layout in a folder.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

/// Why a layout could not do something.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The file system.
    #[error("{action} {path}")]
    Io {
        /// What was tried, such as "can't read".
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A stream that was to be stored broke off.
    #[error("the content could not be read")]
    Read(#[source] io::Error),
    /// Content that is not what its digest says.
    #[error("the content is {found}, not {expected}")]
    Mismatch {
        /// What was to come.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// Content above a limit.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What it is.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A blob that is not there.
    #[error("the blob {0} is not there")]
    Missing(Digest),
    /// A manifest or index that does not read as one.
    #[error("{what} is not valid: {reason}")]
    Malformed {
        /// What it is.
        what: String,
        /// Why not.
        reason: String,
    },
    /// An archive with something in it that no layout holds.
    #[error("the archive has {entry:?}: {reason}")]
    Entry {
        /// The entry's path, shortened.
        entry: String,
        /// Why it was refused.
        reason: &'static str,
    },
}

impl LayoutError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// What the file system said, when the fault is its.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Whether the fault lies in what was given (true) or in this machine (false).
    #[must_use]
    pub fn is_of_the_content(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Read(_))
    }
}

type Result<T, E = LayoutError> = std::result::Result<T, E>;

/// While it lives, no blob is collected: taken by whoever stores blobs and then refers to them.
#[derive(Debug)]
pub struct Storing {
    _lock: File,
}

impl Layout {
    /// Opens the layout in a folder; makes it when there is none.
    ///
    /// # Errors
    /// [`LayoutError::Io`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let layout = Self { root: root.into() };
        for dir in [layout.blobs(), layout.staging()] {
            fs::create_dir_all(&dir).map_err(LayoutError::io("can't make", &dir))?;
        }
        let marker = layout.root.join("oci-layout");
        if !marker.exists() {
            // The folder of the blobs is a name in another one, which nothing else flushes.
            sync_dir(&layout.root.join("blobs"))?;
            layout.write_file(&marker, LAYOUT_FILE)?;
        }
        if !layout.index_path().exists() {
            let _lock = layout.lock("index.lock", true)?;
            if !layout.index_path().exists() {
                layout.write_index(&Index::new(Vec::new()))?;
            }
        }
        layout.remove_stale();
        Ok(layout)
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Holds off collection: see [`Storing`].
    ///
    /// # Errors
    /// [`LayoutError::Io`].
    pub fn storing(&self) -> Result<Storing> {
        Ok(Storing {
            _lock: self.lock("blobs.lock", false)?,
        })
    }

    /// Stores a stream, at most `limit` bytes, which has to have the digest `expected` when given.
    /// Hold [`Layout::storing`] until a manifest refers to the blob: [`Layout::put_manifest`] is
    /// what makes it durable.
    ///
    /// # Errors
    /// [`LayoutError`]; nothing is stored then.
    pub fn put(
        &self,
        mut from: impl Read,
        expected: Option<&Digest>,
        limit: u64,
    ) -> Result<(Digest, u64)> {
        let staging = self.staging();
        let mut file =
            NamedTempFile::new_in(&staging).map_err(LayoutError::io("can't write in", &staging))?;
        let io = |error| LayoutError::io("can't write in", &staging)(error);
        let copied = copy_marking(&mut from, &mut file, limit, io)?;
        let Copied::Whole(digest, size) = copied else {
            return Err(LayoutError::TooLarge {
                what: "the content".to_owned(),
                limit,
            });
        };
        if let Some(expected) = expected
            && *expected != digest
        {
            return Err(LayoutError::Mismatch {
                expected: *expected,
                found: digest,
            });
        }
        self.keep(file, &digest)?;
        Ok((digest, size))
    }

    /// Stores bytes: see [`Layout::put`].
    ///
    /// # Errors
    /// [`LayoutError::Io`].
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        self.put(bytes, Some(&digest), bytes.len() as u64)?;
        Ok(digest)
    }

    /// Puts a file in its place, over one that is there: that may be what a power failure left.
    fn keep(&self, file: NamedTempFile, digest: &Digest) -> Result<()> {
        let to = self.blob_path(digest);
        nokube_faults::crash_point("layout.blob_written");
        file.persist(&to)
            .map_err(|error| LayoutError::io("can't write", &to)(error.error))?;
        durable::named(&to);
        nokube_faults::crash_point("layout.blob_named");
        Ok(())
    }

    /// Where a blob is, or would be. Blobs are never changed in place.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Whether a blob is there.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Opens a blob; the size comes with it.
    ///
    /// # Errors
    /// [`LayoutError::Missing`] and [`LayoutError::Io`].
    pub fn open_blob(&self, digest: &Digest) -> Result<(File, u64)> {
        let path = self.blob_path(digest);
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LayoutError::Missing(*digest),
            _ => LayoutError::io("can't read", &path)(error),
        })?;
        let size = file
            .metadata()
            .map_err(LayoutError::io("can't read", &path))?
            .len();
        Ok((file, size))
    }

    /// Reads a blob of at most `limit` bytes and checks its digest.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let (mut file, _) = self.open_blob(digest)?;
        let mut bytes = Vec::new();
        let copied = copy_digesting(&mut file, &mut bytes, limit)
            .map_err(LayoutError::io("can't read", &self.blob_path(digest)))?;
        match copied {
            Copied::TooLarge => Err(LayoutError::TooLarge {
                what: format!("the blob {digest}"),
                limit,
            }),
            Copied::Whole(found, _) if found != *digest => Err(LayoutError::Mismatch {
                expected: *digest,
                found,
            }),
            Copied::Whole(..) => Ok(bytes),
        }
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let io = |error| LayoutError::io("can't write", path)(error);
        let mut file = NamedTempFile::new_in(self.staging()).map_err(io)?;
        file.write_all(bytes).map_err(io)?;
        durable::flush(file.as_file(), file.path()).map_err(io)?;
        nokube_faults::crash_point("layout.before_index");
        file.persist(path).map_err(|error| io(error.error))?;
        durable::named(path);
        nokube_faults::crash_point("layout.index_written");
        sync_dir(&self.root)
    }

    fn lock(&self, name: &str, exclusive: bool) -> Result<File> {
        let path = self.staging().join(name);
        let io = |error| LayoutError::io("can't lock", &path)(error);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io)?;
        if exclusive {
            file.lock().map_err(io)?;
        } else {
            file.lock_shared().map_err(io)?;
        }
        Ok(file)
    }

    /// Clears away what a crash left behind; a failure to do so harms nothing.
    fn remove_stale(&self) {
        let Ok(entries) = fs::read_dir(self.staging()) else {
            return;
        };
        for entry in entries.flatten() {
            let is_stale = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .ok()
                .and_then(|time| SystemTime::now().duration_since(time).ok())
                .is_some_and(|age| age > STALE_AFTER);
            let is_lock = entry.path().extension().is_some_and(|e| e == "lock");
            if is_stale && !is_lock {
                let path = entry.path();
                let _ = if path.is_dir() {
                    fs::remove_dir_all(path)
                } else {
                    fs::remove_file(path)
                };
            }
        }
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    /// On the same file system as the blobs, so that a rename is enough.
    fn staging(&self) -> PathBuf {
        self.root.join(".staging")
    }

    fn index_path(&self) -> PathBuf {
        self.root.join("index.json")
    }
}

/// Copies, and tells a failing write, which is this machine's fault, from a failing read, which is the
/// sender's.
fn copy_marking(
    from: &mut dyn Read,
    to: &mut dyn Write,
    limit: u64,
    write_fault: impl FnOnce(io::Error) -> LayoutError,
) -> Result<Copied> {
    let mut reader = FaultMarker {
        inner: from,
        failed: false,
    };
    copy_digesting(&mut reader, to, limit).map_err(|error| {
        if reader.failed {
            LayoutError::Read(error)
        } else {
            write_fault(error)
        }
    })
}

/// Remembers whether it was the reader that failed.
struct FaultMarker<'r> {
    inner: &'r mut dyn Read,
    failed: bool,
}

impl Read for FaultMarker<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer);
        self.failed = read.is_err();
        read
    }
}

/// A rename is durable once its folder is.
fn sync_dir(path: &Path) -> Result<()> {
    durable::flush_dir(path).map_err(LayoutError::io("can't write", path))
}

#[cfg(test)]
mod tests;
