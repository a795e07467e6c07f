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
        done::note(done::Step::Flushed, &unfinished);
        nokube_faults::crash_point("file.before_rename");
        fs::rename(&unfinished, path)?;
        done::note(done::Step::Renamed, path);
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
        Ok(()) => {
            done::note(done::Step::Removed, path);
            sync_dir(parent_of(path)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Flushes a folder's list of names: without it a rename may be lost (fsync(2)).
///
/// # Errors
/// Those of the file system.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    done::note(done::Step::Flushed, path);
    Ok(())
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

/// What was done to the disk, in its order: noted in tests, which can't make the power fail.
mod done {
    use std::path::Path;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Step {
        /// A file's content, or a folder's names, are on the disk.
        Flushed,
        Renamed,
        Removed,
    }

    #[cfg(not(test))]
    pub(super) fn note(_: Step, _: &Path) {}

    #[cfg(test)]
    pub(super) fn note(step: Step, path: &Path) {
        NOTED.with_borrow_mut(|noted| noted.push((step, path.to_owned())));
    }

    #[cfg(test)]
    thread_local! {
        static NOTED: std::cell::RefCell<Vec<(Step, std::path::PathBuf)>> =
            const { std::cell::RefCell::new(Vec::new()) };
    }

    /// What this thread has done since it was last asked.
    #[cfg(test)]
    pub(super) fn by_this_thread() -> Vec<(Step, std::path::PathBuf)> {
        NOTED.take()
    }
}

#[cfg(test)]
mod tests {
    use super::done::{Step, by_this_thread};
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
    fn content_is_on_the_disk_before_its_name_and_the_name_before_it_is_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, path) = (dir.path().to_owned(), dir.path().join("a.json"));
        drop(by_this_thread());
        write_durably(&path, b"one").unwrap();
        let steps = by_this_thread();
        let [(Step::Flushed, unfinished), renamed, flushed] = &steps[..] else {
            panic!("{steps:?}");
        };
        let name = unfinished.file_name().unwrap().to_string_lossy();
        assert!(name.starts_with(UNFINISHED), "{steps:?}");
        assert_eq!(*renamed, (Step::Renamed, path.clone()));
        assert_eq!(*flushed, (Step::Flushed, folder.clone()));
        remove_durably(&path).unwrap();
        let removed = [(Step::Removed, path), (Step::Flushed, folder)];
        assert_eq!(by_this_thread(), removed);
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
