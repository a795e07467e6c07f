//! Counting what an instance computes, and making it share the machine.
//!
//! Epochs interrupt a computing guest every tick. It then makes way for whatever else waits on its thread; once it
//! has used its burst it also needs one of the engine's heavy slots to go on, of which there is one fewer than
//! cores. So any number of looping guests leaves a core for requests that need a moment only.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::UpdateDeadline;

use crate::pot::Pot;

/// What the epoch callback (inside the guest's turn) and the worker (outside it) tell each other.
#[derive(Default)]
pub(crate) struct Turn {
    /// The guest has waited for something since the last tick, so that tick says nothing about computing.
    waited: AtomicBool,
    /// It is not waiting but making way.
    yielding: AtomicBool,
    /// As much was computed as one request may: no other one should join in.
    spent: AtomicBool,
    heavy: Mutex<Vec<OwnedSemaphorePermit>>,
}

impl Turn {
    /// Called when the guest's turn ended without a result.
    pub(crate) fn over(&self) {
        if !self.yielding.load(Ordering::Acquire) {
            self.waited.store(true, Ordering::Release);
            self.hold(Vec::new());
        }
    }

    /// The instance has nothing to do any more.
    pub(crate) fn rest(&self) {
        self.spent.store(false, Ordering::Release);
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Acquire)
    }

    fn hold(&self, permits: Vec<OwnedSemaphorePermit>) {
        *self.heavy.lock().unwrap_or_else(PoisonError::into_inner) = permits;
    }

    async fn make_way(self: Arc<Self>, heavy: Option<Slots>) {
        self.hold(Vec::new());
        tokio::task::yield_now().await;
        if let Some(slots) = heavy {
            let mut permits = Vec::with_capacity(slots.len());
            for slots in slots.iter() {
                // Never closed; and without a slot the guest simply goes on.
                permits.extend(Arc::clone(slots).acquire_owned().await);
            }
            self.hold(permits);
        }
        self.yielding.store(false, Ordering::Release);
    }
}

/// CPU time of the requests an instance serves, in ticks.
///
/// Requests at once draw on one account, since nobody can tell which of them computes. It is filled up only when the
/// instance has come to rest, so that a stream of requests does not feed one of them for ever: each that joins brings
/// its own budget, but no more do than may run at once; and when one budget is used up, none may join.
pub(crate) struct Meter {
    pub(crate) turn: Arc<Turn>,
    used: u64,
    granted: u64,
    burst: u64,
    burst_end: u64,
    budget: u64,
    at_once: u64,
    slots: Slots,
}

/// Of each of these a place is needed to compute for long, in this order.
pub(crate) type Slots = Arc<[Arc<Semaphore>]>;

/// The guest computed longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("the CPU limit is reached")]
pub(crate) struct OverBudget;

impl Meter {
    /// For an instance that serves up to `at_once` requests at once, with a budget of so many ticks each.
    pub(crate) fn new(burst: u64, budget: u64, at_once: usize, slots: Slots) -> Self {
        Self {
            turn: Arc::default(),
            used: 0,
            granted: budget,
            burst,
            burst_end: burst,
            budget,
            at_once: at_once as u64,
            slots,
        }
    }

    /// A request begins: after a rest, or beside others.
    pub(crate) fn begin(&mut self, rested: bool) {
        if rested {
            self.used = 0;
            self.granted = 0;
        }
        let most = self.budget.saturating_mul(self.at_once);
        self.granted = self.granted.saturating_add(self.budget).min(most);
        self.burst_end = self.used.saturating_add(self.burst);
    }

    /// A tick found the guest computing.
    pub(crate) fn tick(&mut self) -> Result<UpdateDeadline, OverBudget> {
        if !self.turn.waited.swap(false, Ordering::AcqRel) {
            self.used += 1;
        }
        if self.used > self.granted {
            return Err(OverBudget);
        }
        if self.used >= self.budget {
            self.turn.spent.store(true, Ordering::Release);
        }
        let heavy = (self.used > self.burst_end).then(|| Arc::clone(&self.slots));
        self.turn.yielding.store(true, Ordering::Release);
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(Arc::clone(&self.turn).make_way(heavy)),
        ))
    }
}

/// Bounds of what an instance allocates.
pub(crate) struct Bounds {
    memory_limit: usize,
    memory_used: usize,
    /// The same, for others to look at.
    memory_seen: Arc<AtomicUsize>,
    /// Where its memory is taken from, and given back to when the instance is gone.
    pot: Arc<Pot>,
    /// The last growth that was allowed, which may fail all the same.
    growing: usize,
    /// The limit in bytes that a growth was refused for since the request began.
    pub(crate) refused: Option<u64>,
    /// That was refused because others have it.
    crowded_out: bool,
}

/// Elements of one table: as many functions as a large program refers to, at 8 bytes each.
const MAX_TABLE_ELEMENTS: usize = 100_000;

impl Bounds {
    pub(crate) fn new(memory_bytes: u64, pot: Arc<Pot>) -> Self {
        let memory_limit = usize::try_from(memory_bytes).unwrap_or(usize::MAX);
        Self {
            memory_limit,
            memory_used: 0,
            memory_seen: Arc::default(),
            pot,
            growing: 0,
            refused: None,
            crowded_out: false,
        }
    }

    /// Bytes of all its memories, from now on.
    pub(crate) fn memory_seen(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.memory_seen)
    }

    /// Whether it was refused what it may have, because others have it.
    pub(crate) fn is_crowded_out(&self) -> bool {
        self.refused.is_some() && self.crowded_out
    }
}

impl Drop for Bounds {
    fn drop(&mut self) {
        self.pot.give_back(self.memory_used as u64);
    }
}

impl wasmtime::ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let after = self.memory_used.saturating_add(more);
        let is_own = after > self.memory_limit;
        let taken = if is_own {
            Err(self.memory_limit as u64)
        } else {
            self.pot.take(more as u64)
        };
        if let Err(limit) = taken {
            self.refused = Some(limit);
            self.crowded_out = !is_own;
            return Ok(false);
        }
        self.memory_used = after;
        self.memory_seen.store(after, Ordering::Relaxed);
        self.growing = more;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // Allowed by us, refused by the pool: the bound of the engine is lower than the application's.
        tracing::debug!(%error, "a linear memory could not grow");
        let growing = std::mem::take(&mut self.growing);
        self.memory_used -= growing;
        self.memory_seen.store(self.memory_used, Ordering::Relaxed);
        self.pot.give_back(growing as u64);
        self.refused = Some(self.memory_limit as u64);
        self.crowded_out = false;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::ResourceLimiter;

    use super::*;

    #[test]
    fn all_memories_of_an_instance_count_together() {
        let pot = Arc::new(Pot::new(1_000, None));
        let mut bounds = Bounds::new(100, Arc::clone(&pot));
        assert!(bounds.memory_growing(0, 60, None).expect("asked"));
        assert!(!bounds.memory_growing(0, 50, None).expect("asked"));
        assert_eq!(bounds.refused, Some(100));
        assert!(bounds.memory_growing(60, 100, None).expect("asked"));
        assert!(!bounds.is_crowded_out());
        let seen = bounds.memory_seen();
        assert_eq!(seen.load(Ordering::Relaxed), 100);
        let refusal = wasmtime::Error::msg("the pool has no more");
        assert!(bounds.memory_grow_failed(refusal).is_ok());
        assert_eq!(seen.load(Ordering::Relaxed), 60);
        drop(bounds);
        assert_eq!(pot.take(1_000), Ok(()), "all of it was given back");
    }

    #[test]
    fn memory_that_others_have_is_refused() {
        let pot = Arc::new(Pot::new(100, None));
        let mut first = Bounds::new(80, Arc::clone(&pot));
        let mut second = Bounds::new(80, pot);
        assert!(first.memory_growing(0, 80, None).expect("asked"));
        assert!(!second.memory_growing(0, 40, None).expect("asked"));
        assert!(second.is_crowded_out() && !first.is_crowded_out());
        drop(first);
        assert!(second.memory_growing(0, 40, None).expect("asked"));
    }

    #[test]
    fn only_ticks_in_a_row_count_as_computing() {
        let mut meter = Meter::new(10, 3, 1, Arc::new([Arc::new(Semaphore::new(1))]));
        for _ in 0..100 {
            meter.turn.yielding.store(false, Ordering::Release);
            meter.turn.over();
            assert!(meter.tick().is_ok(), "waiting guests are not computing");
        }
        assert!((0..3).all(|_| meter.tick().is_ok()));
        assert!(meter.tick().is_err());
    }

    #[test]
    fn a_stream_of_requests_feeds_none_of_them_for_ever() {
        let mut meter = Meter::new(10, 3, 2, Arc::new([Arc::new(Semaphore::new(1))]));
        meter.begin(true);
        assert!((0..2).all(|_| meter.tick().is_ok()) && !meter.turn.is_spent());
        meter.begin(false);
        assert!(meter.tick().is_ok() && meter.turn.is_spent());
        for _ in 0..100 {
            meter.begin(false);
        }
        assert!((0..3).all(|_| meter.tick().is_ok()));
        assert!(meter.tick().is_err(), "two budgets for two at once");
        meter.turn.rest();
        meter.begin(true);
        assert!((0..3).all(|_| meter.tick().is_ok()));
        assert!(meter.tick().is_err(), "one request has its own only");
    }
}
