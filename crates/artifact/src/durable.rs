//! Getting files onto the disk before something refers to them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Up to so many files are written out one by one, at about a millisecond each; for more, the whole
/// file system is, which may have to wait for what others (a build, say) wrote.
const ONE_BY_ONE_MAX: usize = 64;

/// Waits until these files, which are all below `root`, and their folders are on the disk.
pub(crate) fn sync_files(root: &Path, files: &BTreeSet<PathBuf>) -> io::Result<()> {
    if files.len() > ONE_BY_ONE_MAX {
        rustix::fs::syncfs(File::open(root)?)?;
        return Ok(());
    }
    let mut dirs = BTreeSet::from([root]);
    for file in files {
        flush(&File::open(file)?, file)?;
        let below = file.ancestors().skip(1).take_while(|dir| *dir != root);
        dirs.extend(below);
    }
    for dir in dirs {
        flush_dir(dir)?;
    }
    Ok(())
}

/// Waits until the content of an open file is on the disk.
pub(crate) fn flush(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    done::note(done::Step::Flushed, path);
    Ok(())
}

/// Waits until the names in a folder are on the disk: a rename is durable then.
pub(crate) fn flush_dir(path: &Path) -> io::Result<()> {
    flush(&File::open(path)?, path)
}

/// To be called when a file has just got its name.
pub(crate) fn named(path: &Path) {
    done::note(done::Step::Named, path);
}

/// What was done to the disk, in its order: noted in tests, which can't make the power fail.
pub(crate) mod done {
    use std::path::Path;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Step {
        /// A file's content, or a folder's names, are on the disk.
        Flushed,
        /// A file got its name.
        Named,
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
    pub(crate) fn by_this_thread() -> Vec<(Step, std::path::PathBuf)> {
        NOTED.take()
    }
}
