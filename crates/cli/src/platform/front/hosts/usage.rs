//! How much a deployment is asked, and waiting for it to change.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Of one deployment, over all its revisions.
#[derive(Default)]
pub(super) struct Usage {
    /// Requests that are on their way to it.
    passing: AtomicUsize,
    /// When it was last asked, or began to serve, in milliseconds of [`now_ms`].
    last_ms: AtomicU64,
    changed: Notify,
}

impl Usage {
    /// It is used now.
    pub(super) fn used(&self) {
        self.last_ms.store(now_ms(), Ordering::Release);
    }

    /// Whoever waits looks again.
    pub(super) fn state_changed(&self) {
        self.changed.notify_waiters();
    }

    /// The next [`Usage::state_changed`].
    pub(super) fn next_change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn is_idle_for(&self, idle: Duration) -> bool {
        let since_ms = now_ms().saturating_sub(self.last_ms.load(Ordering::Acquire));
        self.passing.load(Ordering::Acquire) == 0 && Duration::from_millis(since_ms) >= idle
    }
}

/// A request on its way to a deployment.
pub(crate) struct Passing(Arc<Usage>);

impl Passing {
    pub(super) fn begin(usage: Arc<Usage>) -> Self {
        usage.passing.fetch_add(1, Ordering::AcqRel);
        Self(usage)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.used();
        self.0.passing.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Milliseconds since the first call in this process.
fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
