//! What the allocator holds beside what is in use.
//!
//! glibc gives each thread an arena of its own, returns a freed piece to the system only from an arena's
//! end, and after the first large piece was freed takes the next ones from the arenas too. Each of a
//! thousand deployments leaves holes then that nothing else fits into. Other C libraries do none of this.

use std::convert::Infallible;
use std::time::Duration;

/// Each time costs about a millisecond for ten megabytes.
const EVERY: Duration = Duration::from_secs(10);
/// Pages of lists and compressors' tables are larger, and go back to the system when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: libc::c_int = 64 << 10;

/// Bounds what the allocator holds. Called before there is a second thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt(3) is a C function")]
pub(crate) fn bound() {
    for (parameter, value) in [
        // Few threads allocate at once: they wait less for each other than for the cluster.
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, LARGE_BYTES),
        (libc::M_TRIM_THRESHOLD, LARGE_BYTES),
    ] {
        // SAFETY: it takes two numbers, changes the allocator's own state under its own lock, and says 0 for
        // what it does not know, which changes nothing.
        unsafe { libc::mallopt(parameter, value) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn bound() {}

/// Gives pages that nothing is on back to the system, again and again.
pub(crate) async fn keep_small() -> Infallible {
    loop {
        tokio::time::sleep(EVERY).await;
        trim();
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "malloc_trim(3) is a C function")]
fn trim() {
    // SAFETY: it takes the allocator's own locks and frees only what nobody has.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}
