//! That an application is gone, for those who hold what its components share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Open until it is closed. Asking is an atomic load: every instance asks several times for each request, and those of all
/// applications run on the same few threads.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    is_closed: AtomicBool,
    told: Arc<Notify>,
}

impl Closing {
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Whom to wait for. What was closed before does not tell any more: ask once more when waiting.
    pub(crate) fn told(&self) -> &Arc<Notify> {
        &self.told
    }
}
