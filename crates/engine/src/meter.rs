//! Counting what an instance computes, and making it share the machine.
//!
//! Epochs interrupt a computing guest every tick. It then makes way for whatever else waits on its thread; once it
//! has used its burst it also needs one of the engine's heavy slots to go on, of which there is one fewer than
//! cores. So any number of looping guests leaves a core for requests that need a moment only.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::UpdateDeadline;

/// What the epoch callback (inside the guest's turn) and the worker (outside it) tell each other.
#[derive(Default)]
pub(crate) struct Turn {
    /// The guest has waited for something since the last tick, so that tick says nothing about computing.
    waited: AtomicBool,
    /// It is not waiting but making way.
    yielding: AtomicBool,
    heavy: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Turn {
    /// Called when the guest's turn ended without a result.
    pub(crate) fn over(&self) {
        if !self.yielding.load(Ordering::Acquire) {
            self.waited.store(true, Ordering::Release);
            self.hold(None);
        }
    }

    fn hold(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.heavy.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }

    async fn make_way(self: Arc<Self>, heavy: Option<Arc<Semaphore>>) {
        self.hold(None);
        tokio::task::yield_now().await;
        if let Some(slots) = heavy {
            // Never closed; and without a slot the guest simply goes on.
            self.hold(slots.acquire_owned().await.ok());
        }
        self.yielding.store(false, Ordering::Release);
    }
}

/// CPU time of the request an instance serves, in ticks.
pub(crate) struct Meter {
    pub(crate) turn: Arc<Turn>,
    used: u64,
    burst: u64,
    budget: u64,
    slots: Arc<Semaphore>,
}

/// The guest computed longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("the CPU limit is reached")]
pub(crate) struct OverBudget;

impl Meter {
    pub(crate) fn new(burst: u64, budget: u64, slots: Arc<Semaphore>) -> Self {
        Self {
            turn: Arc::default(),
            used: 0,
            burst,
            budget,
            slots,
        }
    }

    /// A new request begins.
    pub(crate) fn reset(&mut self) {
        self.used = 0;
    }

    /// A tick found the guest computing.
    pub(crate) fn tick(&mut self) -> Result<UpdateDeadline, OverBudget> {
        if !self.turn.waited.swap(false, Ordering::AcqRel) {
            self.used += 1;
        }
        if self.used > self.budget {
            return Err(OverBudget);
        }
        let heavy = (self.used > self.burst).then(|| Arc::clone(&self.slots));
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
    /// A growth was refused since the request began.
    pub(crate) refused: bool,
}

/// Elements of one table: as many functions as a large program refers to, at 8 bytes each.
const MAX_TABLE_ELEMENTS: usize = 100_000;

impl Bounds {
    pub(crate) fn new(memory_bytes: u64) -> Self {
        let memory_limit = usize::try_from(memory_bytes).unwrap_or(usize::MAX);
        Self {
            memory_limit,
            memory_used: 0,
            refused: false,
        }
    }
}

impl wasmtime::ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let after = self
            .memory_used
            .saturating_add(desired.saturating_sub(current));
        if after > self.memory_limit {
            self.refused = true;
            return Ok(false);
        }
        self.memory_used = after;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // Allowed by us, refused by the pool: the bound of the engine is lower than the application's.
        tracing::debug!(%error, "a linear memory could not grow");
        self.refused = true;
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
        let mut bounds = Bounds::new(100);
        assert!(bounds.memory_growing(0, 60, None).expect("asked"));
        assert!(!bounds.memory_growing(0, 50, None).expect("asked"));
        assert!(bounds.refused);
        assert!(bounds.memory_growing(60, 100, None).expect("asked"));
    }

    #[test]
    fn only_ticks_in_a_row_count_as_computing() {
        let mut meter = Meter::new(10, 3, Arc::new(Semaphore::new(1)));
        for _ in 0..100 {
            meter.turn.yielding.store(false, Ordering::Release);
            meter.turn.over();
            assert!(meter.tick().is_ok(), "waiting guests are not computing");
        }
        assert!((0..3).all(|_| meter.tick().is_ok()));
        assert!(meter.tick().is_err());
    }
}
