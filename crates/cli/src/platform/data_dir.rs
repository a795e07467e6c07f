//! The data folder: what is where, and that one platform at a time uses it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nokube_sidecar::durable::create_private_dir;
use rustix::fs::{FlockOperation, flock};

/// A data folder that belongs to this process until it is dropped.
pub(crate) struct DataDir {
    root: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder when it is missing, closes it to other users, and takes it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let root = prepare(path)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(root.join("lock"))
            .with_context(|| format!("the data folder {} cannot be written", root.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            anyhow::bail!(
                "the data folder {} is in use by another nokube; stop that one, or choose another --data-dir",
                root.display()
            );
        }
        Ok(Self { root, _lock: lock })
    }

    /// The folder itself, absolute.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Databases of the platform's application.
    pub(crate) fn databases(&self) -> PathBuf {
        self.root.join("db")
    }

    /// The sidecar's own.
    pub(crate) fn sidecar(&self) -> PathBuf {
        self.root.join("sidecar")
    }

    /// The OCI image layout of artifacts.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// Compiled modules.
    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// What the tenants' process sees.
    pub(crate) fn tenants(&self) -> PathBuf {
        self.root.join("tenants")
    }

    /// The runner's own.
    pub(crate) fn runner(&self) -> PathBuf {
        self.root.join("runner")
    }

    /// The platform application's log.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Sockets.
    pub(crate) fn run(&self) -> PathBuf {
        self.root.join("run")
    }
}

/// Makes a data folder when it is missing and closes it to other users. Returns it absolute.
pub(crate) fn prepare(path: &Path) -> anyhow::Result<PathBuf> {
    create_private_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .and_then(|()| fs::canonicalize(path))
        .with_context(|| format!("the data folder {} cannot be used", path.display()))
}

/// The keys of a data folder.
pub(crate) fn keys_file(data_dir: &Path) -> PathBuf {
    data_dir.join("keys.env")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_is_private_and_used_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/data");
        let first = DataDir::open(&path).unwrap();
        assert_eq!(
            fs::metadata(first.root()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert!(DataDir::open(&path).is_err());
        drop(first);
        assert!(DataDir::open(&path).is_ok());
    }
}
