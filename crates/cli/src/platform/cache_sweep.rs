//! Removing compiled modules that nothing uses, when they have become too much.
//!
//! One that is gone is compiled again when it is wanted: nothing but time is lost.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What was given out is linked or mapped within seconds. Until then nothing shows that it is used.
const GIVEN_OUT: Duration = Duration::from_secs(60 * 60);

/// Marks a module as used now. Without effect when that cannot be: it then looks older than it is.
pub(crate) fn note_use(module: &Path) {
    let _ = File::options()
        .append(true)
        .open(module)
        .and_then(|file| file.set_modified(SystemTime::now()));
}

/// Removes modules from `dir`, those first that were not wanted for longest, until the rest is at most
/// `most_bytes` or all that is left is in use: linked beside an unpacked application, mapped by this
/// process, or just given out. Returns how many.
pub(crate) fn sweep(dir: &Path, most_bytes: u64, now: SystemTime) -> io::Result<usize> {
    let mut modules = Vec::new();
    let mut bytes = 0_u64;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "cwasm") {
            let metadata = fs::symlink_metadata(&path)?;
            bytes = bytes.saturating_add(metadata.len());
            modules.push((metadata.modified()?, path, metadata));
        }
    }
    if bytes <= most_bytes {
        return Ok(0);
    }
    modules.sort_by_key(|one| one.0);
    let mapped = mapped_files();
    let mut removed = 0;
    for (used, path, metadata) in modules {
        if bytes <= most_bytes {
            break;
        }
        let just_given_out = used.checked_add(GIVEN_OUT).is_none_or(|until| until > now);
        if metadata.nlink() > 1 || just_given_out || mapped.contains(&path) {
            continue;
        }
        fs::remove_file(&path)?;
        bytes = bytes.saturating_sub(metadata.len());
        removed += 1;
    }
    Ok(removed)
}

/// Files that this process has mapped: the platform's own components. Where the system does not say,
/// none: they are compiled again at the next start then.
fn mapped_files() -> HashSet<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines()
        .filter_map(|line| Some(PathBuf::from(&line[line.find('/')?..])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Modules of 10 bytes, the first the oldest.
    fn modules(dir: &Path, names: &[&str], newest: SystemTime) {
        for (age, name) in (1_u64..).zip(names.iter().rev()) {
            let path = dir.join(format!("{name}.cwasm"));
            fs::write(&path, [0; 10]).unwrap();
            let file = File::options().append(true).open(path).unwrap();
            file.set_modified(newest - Duration::from_secs(age))
                .unwrap();
        }
    }

    fn left(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_unused_modules_go_until_the_rest_fits() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        modules(dir.path(), &["a", "b", "c", "d"], now - 2 * GIVEN_OUT);
        fs::hard_link(dir.path().join("a.cwasm"), dir.path().join("linked")).unwrap();
        assert_eq!(sweep(dir.path(), 40, now).unwrap(), 0);
        assert_eq!(sweep(dir.path(), 29, now).unwrap(), 2);
        assert_eq!(left(dir.path()), ["a.cwasm", "d.cwasm", "linked"]);
        // What is linked stays, whatever it takes.
        assert_eq!(sweep(dir.path(), 0, now).unwrap(), 1);
        assert_eq!(left(dir.path()), ["a.cwasm", "linked"]);
    }

    #[test]
    fn a_module_that_was_just_given_out_stays() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        modules(dir.path(), &["a", "b"], now - 2 * GIVEN_OUT);
        note_use(&dir.path().join("a.cwasm"));
        assert_eq!(sweep(dir.path(), 0, now).unwrap(), 1);
        assert_eq!(left(dir.path()), ["a.cwasm"]);
    }
}
