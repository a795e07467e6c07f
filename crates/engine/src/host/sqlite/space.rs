//! The disk that tenants' databases take: a budget for those of one application together, and a reserve that they leave
//! to everybody else.
//!
//! A statement that changes something is asked about before it runs. Where there is room for less than the database may
//! grow anyway, SQLite is told a smaller largest size: rows can be changed and deleted, and what would make the file
//! larger is refused with SQLITE_FULL. A log still grows by what is deleted, so below half of the reserve nothing is
//! changed at all, and a statement that runs ends there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How often a running statement is seen to; a look takes some ten microseconds.
const LOOK_EVERY_MICROS: u64 = 50_000;

/// What stays free of a file system is this much, as it is with uploads …
const MOST_RESERVED_BYTES: u64 = 1 << 30;
/// … or this part of it, 5 %, so that a small one can be used at all.
const RESERVED_PART: u64 = 20;

/// The disk of one application's databases and key-value stores.
#[derive(Debug)]
pub struct Space {
    budget_bytes: u64,
    reserve_bytes: Option<u64>,
    /// Where its files are, those that an earlier revision of it left there too.
    folders: Mutex<BTreeSet<PathBuf>>,
    base: Instant,
    /// Microseconds after `base`.
    next_look: AtomicU64,
    /// Bytes that its files may grow by.
    room: AtomicU64,
    is_short: AtomicBool,
}

impl Space {
    /// At most `budget_bytes` for all files together, their logs included. `reserve_bytes` of the disk stay free, by
    /// default 1 GiB or 5 % of it, whichever is less.
    #[must_use]
    pub fn of(budget_bytes: u64, reserve_bytes: Option<u64>) -> Self {
        Self {
            budget_bytes,
            reserve_bytes,
            folders: Mutex::default(),
            base: Instant::now(),
            next_look: AtomicU64::new(0),
            room: AtomicU64::new(budget_bytes),
            is_short: AtomicBool::new(false),
        }
    }

    /// The database in the file `path` counts.
    pub(super) fn add(&self, path: &Path) {
        if let Some(folder) = path.parent() {
            self.folders().insert(folder.to_owned());
        }
    }

    /// Bytes that its files may grow by now, or at least `enough`. It is looked anew when it was less.
    pub(super) fn room(&self, enough: u64) -> u64 {
        if self.is_due() || self.room.load(Relaxed) < enough {
            self.look();
        }
        self.room.load(Relaxed)
    }

    /// Whether so little is free that nothing may be changed. Asked many times a millisecond.
    pub(super) fn is_short(&self) -> bool {
        if self.is_due() {
            self.look();
        }
        self.is_short.load(Relaxed)
    }

    fn is_due(&self) -> bool {
        let now = u64::try_from(self.base.elapsed().as_micros()).unwrap_or(u64::MAX);
        let next = self.next_look.load(Relaxed);
        // Else another thread looks.
        now >= next && {
            let after = now.saturating_add(LOOK_EVERY_MICROS);
            let mine = self
                .next_look
                .compare_exchange(next, after, Relaxed, Relaxed);
            mine.is_ok()
        }
    }

    fn look(&self) {
        let folders = self.folders().clone();
        let used: u64 = folders.iter().map(|folder| files_in(folder)).sum();
        let mut room = self.budget_bytes.saturating_sub(used);
        let mut is_short = false;
        // What can't be told is left to the disk itself.
        for disk in folders
            .iter()
            .filter_map(|folder| rustix::fs::statvfs(folder).ok())
        {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let part = disk.f_blocks.saturating_mul(disk.f_frsize) / RESERVED_PART;
            let reserve = self.reserve_bytes.unwrap_or(part.min(MOST_RESERVED_BYTES));
            room = room.min(free.saturating_sub(reserve));
            is_short |= free < reserve / 2;
        }
        self.room.store(room, Relaxed);
        self.is_short.store(is_short, Relaxed);
    }

    fn folders(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of the files right in `folder`; what can't be read has none.
fn files_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let files = entries.filter_map(|entry| entry.ok()?.metadata().ok());
    files
        .filter(std::fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}
