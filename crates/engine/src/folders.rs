//! Which applications' files are read on the thread that runs the guest.
//!
//! Opening a file and reading 64 KiB of it takes microseconds, and moving each of these to another thread and back ten
//! times as long. Listing a folder takes a call for each of its entries and can't be interrupted: a guest could hold up
//! others by that, if it brings a folder that is large enough.

use std::io;
use std::path::Path;

/// At about a microsecond each, listing them stays below the tick that guests are interrupted by.
const SHORT: usize = 1_000;

/// Entries that are looked at before the whole is taken for large.
const MOST: usize = 20_000;

/// Whether `root` and all folders in it are short. Blocks.
pub(crate) fn are_short(root: &Path) -> bool {
    are_within(root, SHORT, MOST).unwrap_or(false)
}

fn are_within(root: &Path, short: usize, most: usize) -> io::Result<bool> {
    let mut folders = vec![root.to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        let mut here = 0;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            (here, seen) = (here + 1, seen + 1);
            if here > short || seen > most {
                return Ok(false);
            }
            // Links are not followed, by guests neither out of `root`.
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn one_long_folder_anywhere_or_too_many_in_all_are_too_much() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        for name in ["1", "2", "3"] {
            fs::write(inner.join(name), name).unwrap();
        }
        let within = |short, most| are_within(root.path(), short, most).unwrap();
        assert!(within(3, 5));
        assert!(!within(2, 5), "three are in one folder");
        assert!(!within(3, 4), "five are in all");
        assert!(!are_short(&root.path().join("missing")));
    }
}
