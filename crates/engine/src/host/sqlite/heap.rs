//! Memory that SQLite takes, charged to the application it takes it for.
//!
//! SQLite itself knows one bound for the whole process (`hard_heap_limit`): who reaches it makes everybody's statements
//! fail. So it gets an allocator from here, which knows for whom the running thread works. A charge stays with its
//! application until the memory is given back, by whatever thread.
//!
//! The allocator also is where a long instruction can be stopped: SQLite asks whether to go on between instructions
//! only, but most of what makes one long (`randomblob`, `hex`, `||`, JSON) takes memory for its result. Out of memory
//! is an error that SQLite expects everywhere.

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rusqlite::ffi;

use super::watch::Watch;

/// The most that all applications with a bound of their own get together. The last resort of a machine whose
/// applications all go to their own bounds at once.
const TOTAL_BYTES: usize = 512 << 20;

/// Reservations from this size on ask whether the statement is out of time.
const LARGE: usize = 16 << 10;

/// What precedes each piece of memory. SQLite wants pieces aligned to 8 bytes; 16 is what allocators give anyway.
const HEADER: usize = 16;

static TOTAL: Account = Account {
    used: AtomicUsize::new(0),
    limit: TOTAL_BYTES,
};

#[derive(Debug)]
struct Account {
    used: AtomicUsize,
    limit: usize,
}

impl Account {
    fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Relaxed);
        let fits = before.saturating_add(bytes) <= self.limit;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// What SQLite may hold in memory for one application. Copies are the same account.
#[derive(Clone, Copy, Debug)]
pub struct Heap(Option<&'static Account>);

impl Heap {
    /// At most `limit` bytes. An account lives as long as the process, for nobody knows when its last piece of memory
    /// is given back; it is two words.
    #[must_use]
    pub fn of(limit: usize) -> Self {
        let used = AtomicUsize::new(0);
        Self(Some(Box::leak(Box::new(Account { used, limit }))))
    }

    /// As much as the machine has.
    #[must_use]
    pub fn unbounded() -> Self {
        Self(None)
    }

    /// Bytes that SQLite holds now; 0 without a bound.
    #[must_use]
    pub fn used(self) -> usize {
        self.0.map_or(0, |account| account.used.load(Relaxed))
    }

    /// The bound in bytes.
    pub(super) fn limit(self) -> Option<usize> {
        self.0.map(|account| account.limit)
    }

    /// Does `work`, charging what SQLite takes meanwhile on this thread. What is large is refused once `watch` says
    /// that the statement must stop.
    pub(super) fn charge<T>(self, watch: Option<&Watch>, work: impl FnOnce() -> T) -> T {
        let current = Current {
            account: self.0,
            watch: watch.map_or(ptr::null(), ptr::from_ref),
        };
        // Also when `work` panics: `watch` is not there any more then.
        let _before = Before(CURRENT.replace(current));
        work()
    }
}

#[derive(Clone, Copy)]
struct Current {
    account: Option<&'static Account>,
    watch: *const Watch,
}

impl Current {
    #[expect(
        unsafe_code,
        reason = "an allocator has no arguments but what its thread says"
    )]
    fn must_stop(self) -> bool {
        // SAFETY: null, or the watch that `Heap::charge` holds a reference to until it has put back what was before.
        unsafe { self.watch.as_ref() }.is_some_and(Watch::must_stop)
    }
}

thread_local! {
    static CURRENT: Cell<Current> = const {
        Cell::new(Current { account: None, watch: ptr::null() })
    };
}

struct Before(Current);

impl Drop for Before {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Makes SQLite use this allocator. False when another part of the program has started SQLite before.
pub(super) fn install() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        let methods = ffi::sqlite3_mem_methods {
            xMalloc: Some(allocate),
            xFree: Some(free),
            xRealloc: Some(reallocate),
            xSize: Some(size),
            xRoundup: Some(round_up),
            xInit: Some(start),
            xShutdown: Some(stop),
            pAppData: ptr::null_mut(),
        };
        #[expect(unsafe_code, reason = "SQLite is a C library")]
        // SAFETY: SQLite copies the structure before it returns, and refuses it when it has been started.
        let installed = unsafe {
            ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods) == ffi::SQLITE_OK
                // Its own statistics cost a lock at each reservation.
                && ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0_i32) == ffi::SQLITE_OK
        };
        if !installed {
            tracing::warn!(
                "SQLite was started by somebody else: its memory is not counted by application"
            );
        }
        installed
    })
}

#[repr(C)]
struct Header {
    account: *const Account,
    bytes: usize,
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(HEADER)?, HEADER).ok()
}

fn take(account: Option<&Account>, bytes: usize) -> bool {
    let Some(account) = account else {
        return true;
    };
    if !TOTAL.take(bytes) {
        return false;
    }
    let fits = account.take(bytes);
    if !fits {
        TOTAL.give_back(bytes);
    }
    fits
}

fn give_back(account: Option<&Account>, bytes: usize) {
    if let Some(account) = account {
        account.give_back(bytes);
        TOTAL.give_back(bytes);
    }
}

#[expect(unsafe_code, reason = "SQLite is a C library")]
unsafe extern "C" fn allocate(bytes: c_int) -> *mut c_void {
    let current = CURRENT.get();
    let Some((bytes, layout)) = usize::try_from(bytes)
        .ok()
        .and_then(|bytes| Some((bytes, layout(bytes)?)))
    else {
        return ptr::null_mut();
    };
    if (bytes >= LARGE && current.must_stop()) || !take(current.account, bytes) {
        return ptr::null_mut();
    }
    // SAFETY: the layout has the header's size at least. The header lies at its beginning, aligned.
    unsafe {
        let start = alloc(layout);
        if start.is_null() {
            give_back(current.account, bytes);
            return ptr::null_mut();
        }
        let account = current.account.map_or(ptr::null(), ptr::from_ref);
        start.cast::<Header>().write(Header { account, bytes });
        start.add(HEADER).cast()
    }
}

#[expect(unsafe_code, reason = "SQLite is a C library")]
unsafe extern "C" fn free(piece: *mut c_void) {
    if piece.is_null() {
        return;
    }
    // SAFETY: SQLite gives back what `allocate` or `reallocate` gave it, which follows a header. Accounts are never
    // freed.
    unsafe {
        let start = piece.cast::<u8>().sub(HEADER);
        let Header { account, bytes } = start.cast::<Header>().read();
        give_back(account.as_ref(), bytes);
        if let Some(layout) = layout(bytes) {
            dealloc(start, layout);
        }
    }
}

#[expect(unsafe_code, reason = "SQLite is a C library")]
unsafe extern "C" fn reallocate(piece: *mut c_void, bytes: c_int) -> *mut c_void {
    let Ok(bytes) = usize::try_from(bytes) else {
        return ptr::null_mut();
    };
    // SAFETY: as in `free`. When `realloc` fails, what was there stays as it was.
    unsafe {
        let start = piece.cast::<u8>().sub(HEADER);
        let before = start.cast::<Header>().read();
        let account = before.account.as_ref();
        let (Some(now), Some(then)) = (layout(before.bytes), layout(bytes)) else {
            return ptr::null_mut();
        };
        if bytes >= LARGE && bytes > before.bytes && CURRENT.get().must_stop() {
            return ptr::null_mut();
        }
        if bytes > before.bytes && !take(account, bytes - before.bytes) {
            return ptr::null_mut();
        }
        let moved = realloc(start, now, then.size());
        if moved.is_null() {
            give_back(account, bytes.saturating_sub(before.bytes));
            return ptr::null_mut();
        }
        give_back(account, before.bytes.saturating_sub(bytes));
        (*moved.cast::<Header>()).bytes = bytes;
        moved.add(HEADER).cast()
    }
}

#[expect(unsafe_code, reason = "SQLite is a C library")]
unsafe extern "C" fn size(piece: *mut c_void) -> c_int {
    if piece.is_null() {
        return 0;
    }
    // SAFETY: as in `free`.
    let bytes = unsafe { (*piece.cast::<u8>().sub(HEADER).cast::<Header>()).bytes };
    c_int::try_from(bytes).unwrap_or(c_int::MAX)
}

#[expect(unsafe_code, reason = "SQLite is a C library")]
unsafe extern "C" fn round_up(bytes: c_int) -> c_int {
    bytes.checked_add(7).map_or(bytes, |bytes| bytes & !7)
}

#[expect(unsafe_code, reason = "SQLite is a C library")]
unsafe extern "C" fn start(_: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "SQLite is a C library")]
unsafe extern "C" fn stop(_: *mut c_void) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_charged_until_it_is_given_back() {
        let heap = Heap::of(100_000);
        install();
        let connection = heap.charge(None, || {
            let connection = rusqlite::Connection::open_in_memory().expect("memory");
            connection
                .execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(10000))")
                .expect("there is room");
            connection
        });
        assert!(heap.used() > 10_000, "{}", heap.used());
        let full = heap.charge(None, || {
            connection.execute_batch("INSERT INTO t VALUES (zeroblob(90000))")
        });
        assert!(full.is_err());
        assert!(heap.used() <= 100_000);
        // On a thread that works for nobody.
        std::thread::spawn(move || drop(connection))
            .join()
            .expect("no panic");
        assert_eq!(heap.used(), 0);
    }
}
