//! The disk: how much of it must stay free, and which faults are its and may pass.
//!
//! Uploads stop at a reserve, so that databases, desired state and logs can still be written when
//! they have filled the rest.

use std::io;
use std::path::Path;

/// The reserve is at most this much when nobody says otherwise …
const MOST_RESERVED_BYTES: u64 = 1 << 30;
/// … and at most this part of the file system, so that a small one can be used at all: 5 %.
const RESERVED_PART: u64 = 20;
/// EIO (errno-base.h): what a failing device, and some full network file systems, say.
const EIO: i32 = 5;

/// Whether `wanted` more bytes fit into the file system of `dir` and leave `reserve` free; by default
/// 1 GiB or 5 % of it, whichever is less.
pub(crate) fn has_room(dir: &Path, wanted: u64, reserve: Option<u64>) -> io::Result<bool> {
    let system = rustix::fs::statvfs(dir)?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let all = system.f_blocks.saturating_mul(system.f_frsize);
    let reserve = reserve.unwrap_or_else(|| (all / RESERVED_PART).min(MOST_RESERVED_BYTES));
    Ok(free.saturating_sub(wanted) >= reserve && free >= wanted)
}

/// Whether the disk is full, read-only or failing: nothing that the caller asked for is wrong, and it
/// may go well later.
pub(crate) fn is_of_the_disk(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::StorageFull | K::QuotaExceeded | K::ReadOnlyFilesystem
    ) || error.raw_os_error() == Some(EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_touch_the_reserve_does_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        assert!(has_room(dir.path(), 1, Some(0)).unwrap());
        assert!(!has_room(dir.path(), 1, Some(u64::MAX)).unwrap());
        assert!(!has_room(dir.path(), u64::MAX, Some(0)).unwrap());
    }

    #[test]
    fn a_full_or_read_only_disk_is_no_fault_of_the_caller() {
        for errno in [28, 30, 122, 5] {
            assert!(
                is_of_the_disk(&io::Error::from_raw_os_error(errno)),
                "{errno}"
            );
        }
        assert!(!is_of_the_disk(&io::Error::from_raw_os_error(13)));
    }
}
