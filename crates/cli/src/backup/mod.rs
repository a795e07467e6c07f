//! `nokube backup` and `nokube restore`: everything that cannot be made again, as one archive.
//!
//! ```text
//! db/…                          the platform's databases, as of one moment each
//! keys.env                      the platform's keys: the archive is as secret as they are
//! artifacts/blobs/sha256/…      every artifact that a row names
//! sidecar/sources/…             uploads that are yet to be built
//! tenants/state/<id>/…          applications' databases and key-value stores
//! manifest.json                 what there is, with sizes and digests; the last entry
//! ```
//!
//! Not in it: logs, compiled modules, unpacked applications, build caches, and what the sidecar was
//! told, which the platform tells it again (docs/decisions/0011-what-a-backup-holds.md).

mod contents;
mod databases;
mod restore;
mod unfinished;
mod write;

use std::path::{Path, PathBuf};

use clap::Args;

pub(crate) use restore::run as run_restore;
pub(crate) use write::run as run_backup;

/// `nokube backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The archive to make, such as `nokube.tar.gz`. It holds the platform's keys.
    pub(crate) file: PathBuf,
    /// The data folder; its platform may be running.
    #[arg(long, default_value = "./data", env = "NOKUBE_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
}

/// `nokube restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// An archive that `nokube backup` made.
    pub(crate) file: PathBuf,
    /// The data folder to make: missing, or empty.
    #[arg(long, env = "NOKUBE_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
    /// Refuse archives that unpack to more than this.
    #[arg(long, value_name = "GIB", default_value_t = 256)]
    pub(crate) most_gib: u64,
}

/// The folder that a file or folder is made in.
fn parent_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
