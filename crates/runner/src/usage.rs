//! What a build uses just now: bytes on disk, entries, memory of a process tree; and what the disk has
//! left, which also shows what no walk finds: files that were deleted and are still open.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes and entries under a folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DiskUsage {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    /// Some of it can't be looked at: closed folders, paths that are too long. There may be more.
    pub(crate) is_opaque: bool,
}

/// Adds up a folder as it is now. What vanishes meanwhile counts nothing; links are not followed.
pub(crate) fn disk_usage(root: &Path) -> DiskUsage {
    let mut usage = DiskUsage::default();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                usage.is_opaque |= !has_vanished(&error);
                continue;
            }
        };
        for entry in entries {
            let metadata = match entry.and_then(|entry| Ok((entry.path(), entry.metadata()?))) {
                Ok((path, metadata)) => {
                    if metadata.is_dir() {
                        folders.push(path);
                    }
                    metadata
                }
                Err(error) => {
                    usage.is_opaque |= !has_vanished(&error);
                    continue;
                }
            };
            usage.entries += 1;
            // Blocks of 512 bytes (stat(2)): a sparse file costs what it holds.
            usage.bytes += metadata.blocks() * 512;
        }
    }
    usage
}

/// Removed since it was listed, or something else in its place.
fn has_vanished(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// A file system's room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes that this process may still write.
    pub(crate) free_bytes: u64,
    /// Bytes altogether.
    pub(crate) total_bytes: u64,
}

/// The room of the file system that holds `folder`.
pub(crate) fn room(folder: &Path) -> io::Result<Room> {
    let answer = rustix::fs::statvfs(folder)?;
    Ok(Room {
        free_bytes: answer.f_bavail.saturating_mul(answer.f_frsize),
        total_bytes: answer.f_blocks.saturating_mul(answer.f_frsize),
    })
}

/// Resident memory of a process and all its descendants. Pages that several share are counted for
/// each: the limit is meant for runaways, not for accounting.
pub(crate) fn tree_memory_bytes(root: u32) -> u64 {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut sum = 0;
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        sum += resident_bytes(pid);
        open.extend(children.remove(&pid).unwrap_or_default());
    }
    sum
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // pid (name) state parent …; the name may contain anything, parentheses included.
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

fn resident_bytes(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    pages * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_added_up_without_following_links() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("a")).expect("a folder");
        fs::write(folder.path().join("a/file"), vec![1; 100_000]).expect("a file");
        std::os::unix::fs::symlink("/usr", folder.path().join("link")).expect("a link");
        let usage = disk_usage(folder.path());
        assert_eq!(usage.entries, 3);
        assert!((100_000..200_000).contains(&usage.bytes), "{usage:?}");
        assert!(!usage.is_opaque);
    }

    #[test]
    fn what_cannot_be_looked_at_is_said() {
        use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().join("top");
        let name = "d".repeat(200);
        mkdirat(CWD, &top, Mode::RWXU).expect("a folder");
        let mut at = openat(CWD, &top, OFlags::DIRECTORY, Mode::empty()).expect("a folder");
        // Forty times 200 bytes are more than the 4096 of a path.
        for _ in 0..40 {
            mkdirat(&at, &name, Mode::RWXU).expect("a folder");
            at = openat(&at, &name, OFlags::DIRECTORY, Mode::empty()).expect("a folder");
        }
        assert!(disk_usage(&top).is_opaque);
        crate::remove::remove_all(&top).expect("removed");
        assert_eq!(disk_usage(&top), DiskUsage::default());
    }

    #[test]
    fn a_deleted_file_that_is_open_takes_room_that_no_walk_finds() {
        let folder = tempfile::tempdir().expect("a folder");
        let before = room(folder.path()).expect("a file system");
        assert!(before.free_bytes > 0 && before.total_bytes >= before.free_bytes);
        let file = tempfile::tempfile_in(folder.path()).expect("a file");
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 256 << 20)
            .expect("room");
        assert_eq!(disk_usage(folder.path()).bytes, 0);
        // Other programs write and remove meanwhile.
        let after = room(folder.path()).expect("a file system");
        assert!(after.free_bytes + (128 << 20) < before.free_bytes);
    }

    #[test]
    fn the_own_process_has_memory() {
        assert!(tree_memory_bytes(std::process::id()) > 100_000);
    }
}
