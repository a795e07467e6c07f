//! The folders of the tenants' process, as each side sees them.
//!
//! ```text
//! apps/<deployment>/…    modules and files; the front process writes, the tenants' process reads
//! state/<deployment>/…   databases and key-value files; the tenants' process alone
//! logs/<deployment>/…    logs; the tenants' process writes, the front process reads
//! tmp/                   SQLite's temporary files
//! etc/                   how names are resolved, copied for the changed root folder
//! ```

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

pub(crate) const APPS: &str = "apps";
pub(crate) const STATE: &str = "state";
pub(crate) const LOGS: &str = "logs";
pub(crate) const TMP: &str = "tmp";
pub(crate) const ETC: &str = "etc";

/// What the C library reads to resolve a name.
const RESOLVER_FILES: [&str; 2] = ["resolv.conf", "hosts"];
/// Without modules, which a changed root folder does not have.
const NSSWITCH: &str = "hosts: files dns\n";

/// Makes the folders below `root`. With `uid`, what the tenants' process writes is that user's; what is
/// in there from a run without is handed over.
pub(crate) fn prepare(root: &Path, uid: Option<u32>) -> io::Result<()> {
    // Others get no further than the data folder above, which is 0700.
    make(root, 0o755)?;
    make(&root.join(APPS), 0o755)?;
    for name in [STATE, LOGS, TMP] {
        let dir = root.join(name);
        make(&dir, 0o700)?;
        if let Some(uid) = uid {
            hand_over(&dir, uid)?;
        }
    }
    let etc = root.join(ETC);
    make(&etc, 0o755)?;
    for name in RESOLVER_FILES {
        // A machine without one resolves without it.
        if let Ok(content) = fs::read(Path::new("/etc").join(name)) {
            write_public(&etc.join(name), &content)?;
        }
    }
    write_public(&etc.join("nsswitch.conf"), NSSWITCH.as_bytes())
}

fn make(dir: &Path, mode: u32) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::set_permissions(dir, Permissions::from_mode(mode))
}

fn write_public(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::write(path, content)?;
    fs::set_permissions(path, Permissions::from_mode(0o644))
}

/// Gives a folder of ours and all in it to `uid`, unless it is its already: then what is in it is that
/// user's doing, and following it around as root would be unwise.
fn hand_over(dir: &Path, uid: u32) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    if fs::symlink_metadata(dir)?.uid() == uid {
        return Ok(());
    }
    let mut waiting = vec![dir.to_owned()];
    let mut all = Vec::new();
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            } else {
                std::os::unix::fs::lchown(entry.path(), Some(uid), Some(uid))?;
            }
        }
        all.push(next);
    }
    // Innermost first: the outermost says that it is done.
    for dir in all.iter().rev() {
        chown(dir, Some(uid), Some(uid))?;
    }
    Ok(())
}

/// The folders from one side.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    root: PathBuf,
}

impl Folders {
    /// Below `root`, as seen by whoever asks.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The module and files of one deployment.
    pub(crate) fn app(&self, deployment_id: &str) -> PathBuf {
        self.root.join(APPS).join(deployment_id)
    }

    /// All deployments' modules and files.
    pub(crate) fn apps(&self) -> PathBuf {
        self.root.join(APPS)
    }

    /// The data of one deployment.
    pub(crate) fn state(&self, deployment_id: &str) -> PathBuf {
        self.root.join(STATE).join(deployment_id)
    }

    /// The log of one deployment.
    pub(crate) fn log(&self, deployment_id: &str) -> PathBuf {
        self.root.join(LOGS).join(deployment_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_are_made_with_their_modes_and_again_without_harm() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tenants");
        for _ in 0..2 {
            prepare(&root, None).unwrap();
        }
        let mode = |name| fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(APPS), mode(STATE), mode(LOGS)], [0o755, 0o700, 0o700]);
        assert_eq!(
            fs::read_to_string(root.join("etc/nsswitch.conf")).unwrap(),
            NSSWITCH
        );
    }
}
