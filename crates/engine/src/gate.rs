//! Who may in: counting what is in flight, and the bounded queue in front of a component.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::failure::Crowd;

/// Counts requests of an application; drained when it is zero.
#[derive(Default)]
pub(crate) struct Flights {
    count: AtomicUsize,
    landed: Notify,
}

impl Flights {
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.count.fetch_add(1, Ordering::AcqRel);
        InFlight(Arc::clone(self))
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until nothing is in flight. False when `limit` passed first.
    pub(crate) async fn drained(&self, limit: Duration) -> bool {
        let wait = async {
            loop {
                let landed = self.landed.notified();
                if self.count() == 0 {
                    return;
                }
                landed.await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }
}

/// One request that is counted until this is dropped.
pub(crate) struct InFlight(Arc<Flights>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.landed.notify_waiters();
        }
    }
}

/// The bounded queue in front of a component.
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
    patience: Duration,
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.concurrency.max(1) as usize)),
            waiting: AtomicUsize::new(0),
            queue: limits.queue as usize,
            patience: Duration::from_millis(limits.queue_ms),
        }
    }

    /// A place, at once or after waiting in turn, unless too many wait already or it takes too long.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Crowd> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = Waiting::join(&self.waiting, self.queue).ok_or(Crowd::Queue)?;
        let turn = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(self.patience, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Crowd::Component),
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(count: &'a AtomicUsize, limit: usize) -> Option<Self> {
        let waiting = Self(count);
        (count.fetch_add(1, Ordering::AcqRel) < limit).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_turns_away_and_a_slow_one_gives_up() {
        let limits = Limits {
            concurrency: 1,
            queue: 1,
            queue_ms: 20,
            ..Limits::default()
        };
        let gate = Gate::new(&limits);
        let held = gate.enter().await.expect("the first gets in");
        let (second, third) = tokio::join!(gate.enter(), gate.enter());
        assert_eq!(second.err(), Some(Crowd::Component));
        assert_eq!(third.err(), Some(Crowd::Queue));
        drop(held);
        assert!(gate.enter().await.is_ok());
    }
}
