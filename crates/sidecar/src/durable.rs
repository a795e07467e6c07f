//! Files that survive a crash at any point: written beside their place, flushed, renamed, and the
//! folder flushed. A reader sees the old content or the new, never a part.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Marks a file that is not finished; what bears it at start was left by a crash and is removed.
pub const UNFINISHED: &str = ".unfinished-";

/// Makes a folder and those above it, for this user alone (0700). An existing one is left as it is.
///
/// # Errors
/// Those of the file system.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces `path` with `bytes`, for this user alone (0600), so that it is on disk when this returns.
///
/// # Errors
/// Those of the file system; the old content is still there then.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = parent_of(path)?;
    let unfinished = parent.join(format!("{UNFINISHED}{}", uuid::Uuid::now_v7()));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        nokube_faults::crash_point("file.before_rename");
        fs::rename(&unfinished, path)?;
        nokube_faults::crash_point("file.renamed");
        sync_dir(parent)
    })();
    if written.is_err() {
        // Already renamed or never made: either way nothing is left to remove.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// Removes a file so that it is gone from disk when this returns. A missing one is fine.
///
/// # Errors
/// Those of the file system.
pub fn remove_durably(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_dir(parent_of(path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Flushes a folder's list of names: without it a rename may be lost (fsync(2)).
///
/// # Errors
/// Those of the file system.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes what a crash left unfinished in `dir`.
///
/// # Errors
/// Those of the file system.
pub fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn parent_of(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a path without a folder"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_written_file_is_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_durably(&path, b"one").unwrap();
        write_durably(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_crash_left_unfinished_is_removed_and_the_rest_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(format!("{UNFINISHED}x")), b"half").unwrap();
        fs::write(dir.path().join("a.json"), b"whole").unwrap();
        remove_unfinished(dir.path()).unwrap();
        let names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["a.json"]);
    }
}
