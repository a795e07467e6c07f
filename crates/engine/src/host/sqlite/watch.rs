//! What is watched while a statement runs: its time, whether anyone still waits for it, and what it left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::space::Space;

/// Shared by a connection, its progress handler and its authorizer.
#[derive(Debug)]
pub(super) struct Watch {
    base: Instant,
    /// Microseconds after `base` at which the running statement must stop.
    deadline: AtomicU64,
    cancelled: AtomicBool,
    vacuuming: AtomicBool,
    /// The statement is ours, not the guest's.
    ours: AtomicBool,
    /// It changes something.
    changing: AtomicBool,
    /// The disk of a database that has bounds there.
    space: Option<Arc<Space>>,
    committed: AtomicBool,
    stain: AtomicU8,
}

/// What a lease left in a connection that the next one must not see, in rising order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Stain {
    /// Nothing.
    None = 0,
    /// Settings that opening sets too: set them again.
    Settings = 1,
    /// Temporary tables or other settings: close the connection.
    Lasting = 2,
}

impl Watch {
    pub(super) fn new(space: Option<Arc<Space>>) -> Self {
        Self {
            base: Instant::now(),
            deadline: AtomicU64::new(u64::MAX),
            cancelled: AtomicBool::new(false),
            vacuuming: AtomicBool::new(false),
            ours: AtomicBool::new(false),
            changing: AtomicBool::new(false),
            space,
            committed: AtomicBool::new(false),
            stain: AtomicU8::new(0),
        }
    }

    /// Starts the time of one statement.
    pub(super) fn start(&self, budget: Duration, vacuuming: bool) {
        let end = self.base.elapsed() + budget;
        let end = u64::try_from(end.as_micros()).unwrap_or(u64::MAX);
        self.deadline.store(end, Relaxed);
        self.vacuuming.store(vacuuming, Relaxed);
        self.changing.store(false, Relaxed);
    }

    /// The statement that was started may write.
    pub(super) fn changes(&self) {
        self.changing.store(true, Relaxed);
    }

    /// Bytes that the file may grow by, or at least `enough`; `None` for no bound.
    pub(super) fn room(&self, enough: u64) -> Option<u64> {
        self.space.as_ref().map(|space| space.room(enough))
    }

    /// Whether a statement that changes something is one too many for the disk.
    pub(super) fn is_out_of_space(&self) -> bool {
        self.changing.load(Relaxed) && self.space.as_ref().is_some_and(|space| space.is_short())
    }

    /// Ends it.
    pub(super) fn finish(&self) {
        self.deadline.store(u64::MAX, Relaxed);
        self.vacuuming.store(false, Relaxed);
        self.changing.store(false, Relaxed);
    }

    pub(super) fn is_over_time(&self) -> bool {
        self.base.elapsed().as_micros() >= u128::from(self.deadline.load(Relaxed))
    }

    /// Asked by SQLite every so many steps.
    pub(super) fn must_stop(&self) -> bool {
        self.cancelled.load(Relaxed) || self.is_over_time() || self.is_out_of_space()
    }

    /// Nobody waits for the statement any more.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
    }

    pub(super) fn is_vacuuming(&self) -> bool {
        self.vacuuming.load(Relaxed)
    }

    /// Does `work`, whose statements may change what a guest's may not.
    pub(super) fn for_us<T>(&self, work: impl FnOnce() -> T) -> T {
        self.ours.store(true, Relaxed);
        let done = work();
        self.ours.store(false, Relaxed);
        done
    }

    pub(super) fn is_ours(&self) -> bool {
        self.ours.load(Relaxed)
    }

    /// A transaction that wrote is being committed.
    pub(super) fn commits(&self) {
        self.committed.store(true, Relaxed);
    }

    /// Whether one was since the last call.
    pub(super) fn take_committed(&self) -> bool {
        self.committed.swap(false, Relaxed)
    }

    pub(super) fn note(&self, stain: Stain) {
        self.stain.fetch_max(stain as u8, Relaxed);
    }

    /// Whether the connection is to be closed when it is given back.
    pub(super) fn has_lasting_stain(&self) -> bool {
        self.stain.load(Relaxed) >= Stain::Lasting as u8
    }

    /// What was left since the last call.
    pub(super) fn take_stain(&self) -> Stain {
        self.cancelled.store(false, Relaxed);
        match self.stain.swap(0, Relaxed) {
            0 => Stain::None,
            1 => Stain::Settings,
            _ => Stain::Lasting,
        }
    }
}
