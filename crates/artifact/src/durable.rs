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
        File::open(file)?.sync_all()?;
        let below = file.ancestors().skip(1).take_while(|dir| *dir != root);
        dirs.extend(below);
    }
    for dir in dirs {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
