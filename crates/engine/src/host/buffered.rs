//! Lists that the host keeps for a guest until it has read them as a stream, bounded together.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::vec::IntoIter;

use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

/// Items that are handed over at once to a reader that is no guest, who says how many it takes.
const ITEMS_AT_ONCE: usize = 64;

/// What one instance has not read yet.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            used: Arc::default(),
            limit,
        }
    }

    /// `items`, of `bytes` bytes, to be read. None when the instance has something to read already, and it would be too
    /// much together.
    pub(crate) fn keep<T>(&self, items: Vec<T>, bytes: usize) -> Option<Buffered<T>> {
        let before = self.used.fetch_add(bytes, Ordering::AcqRel);
        // Given back with it when there is no room.
        let held = Held {
            used: Arc::clone(&self.used),
            bytes,
        };
        (before == 0 || before.saturating_add(bytes) <= self.limit).then(|| Buffered {
            items: items.into_iter(),
            _held: held,
        })
    }
}

struct Held {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Items on their way to a guest. They count until the last one is read, or nobody wants them any more.
pub(crate) struct Buffered<T> {
    items: IntoIter<T>,
    _held: Held,
}

impl<T> Buffered<T> {
    /// Nothing to read.
    pub(crate) fn none() -> Self {
        Self {
            items: Vec::new().into_iter(),
            _held: Held {
                used: Arc::default(),
                bytes: 0,
            },
        }
    }
}

impl<T, D> StreamProducer<D> for Buffered<T>
where
    T: Unpin + Send + Sync + 'static,
{
    type Item = T;
    type Buffer = VecBuffer<T>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, T, VecBuffer<T>>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = self.get_mut();
        // No more than is read now: what is handed over beyond that is kept where it is not counted.
        let wanted = destination.remaining(&mut store).unwrap_or(ITEMS_AT_ONCE);
        let items: Vec<T> = this.items.by_ref().take(wanted).collect();
        destination.set_buffer(items.into());
        Poll::Ready(Ok(if this.items.as_slice().is_empty() {
            StreamResult::Dropped
        } else {
            StreamResult::Completed
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_counts_until_it_is_gone() {
        let budget = Budget::new(100);
        let first = budget.keep(vec![1], 60).expect("there is room");
        assert!(budget.keep(vec![2], 50).is_none());
        let second = budget.keep(vec![2], 40).expect("there is room");
        drop(first);
        assert!(budget.keep(vec![3], 60).is_some());
        drop(second);
        assert!(
            budget.keep(vec![4], 200).is_some(),
            "one alone has a bound elsewhere"
        );
        assert_eq!(budget.used.load(Ordering::Acquire), 0);
    }
}
