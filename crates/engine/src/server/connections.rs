//! The connections that are open: how many of one client, which of them idle, and what they are told from outside.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Instant;

use futures::task::AtomicWaker;

/// Requests are being answered.
const BUSY: u64 = u64::MAX;
/// Chosen to make room; nothing is answered any more.
const DISMISSED: u64 = u64::MAX - 1;

/// The table.
pub(super) struct Connections {
    base: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    open: HashMap<u64, Arc<Activity>>,
    by_customer: HashMap<IpAddr, u32>,
}

/// What one connection does, and is told to do.
///
/// A connection asks for its orders whenever it is polled. That is an atomic load, where cancellation tokens that all
/// connections share would be a lock that all of them take several times for each request.
pub(super) struct Activity {
    base: Instant,
    /// Milliseconds after `base` since when it idles, [`BUSY`] or [`DISMISSED`].
    state: AtomicU64,
    order: AtomicU8,
    task: AtomicWaker,
}

/// What a connection is to do. A later one of these is never taken back for an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Order {
    Serve,
    /// Answer what has been asked, then end.
    Finish,
    /// End now.
    Drop,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self {
            base: Instant::now(),
            inner: Mutex::default(),
        }
    }

    /// Adds a connection of `address`, unless its client has `most` of them. Connections without an address are not
    /// counted for anybody.
    pub(super) fn add(self: &Arc<Self>, address: Option<IpAddr>, most: u32) -> Option<Entry> {
        let customer = address.map(customer);
        let mut inner = self.lock();
        if let Some(customer) = customer {
            let count = inner.by_customer.entry(customer).or_default();
            if *count >= most {
                return None;
            }
            *count += 1;
        }
        let id = inner.next;
        inner.next += 1;
        let activity = Arc::new(Activity {
            base: self.base,
            // Nobody serves it yet.
            state: AtomicU64::new(BUSY),
            order: AtomicU8::new(Order::Serve as u8),
            task: AtomicWaker::new(),
        });
        inner.open.insert(id, Arc::clone(&activity));
        Some(Entry {
            connections: Arc::clone(self),
            id,
            customer,
            activity,
        })
    }

    /// Ends the connection that idles for longest, if one does.
    pub(super) fn dismiss_idle(&self) {
        let inner = self.lock();
        loop {
            let idle = inner
                .open
                .values()
                .map(|activity| (activity.state.load(Ordering::Acquire), activity))
                .filter(|(state, _)| *state < DISMISSED)
                .min_by_key(|(since, _)| *since);
            let Some((since, activity)) = idle else {
                return;
            };
            let exchanged = activity.state.compare_exchange(
                since,
                DISMISSED,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            // Else a request has just come.
            if exchanged.is_ok() {
                activity.tell(Order::Drop);
                return;
            }
        }
    }

    /// Tells all of them.
    pub(super) fn tell(&self, order: Order) {
        for activity in self.lock().open.values() {
            activity.tell(order);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Activity {
    /// Nothing is asked for now.
    pub(super) fn idle(&self) {
        let since = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(0);
        self.state
            .store(since.min(DISMISSED - 1), Ordering::Release);
    }

    /// A request begins. What is returned is held until its answer is sent. None when the connection is being ended.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Busy> {
        let change = |state| (state != DISMISSED).then_some(BUSY);
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, change)
            .ok()?;
        Some(Busy(Arc::clone(self)))
    }

    fn tell(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        self.task.wake();
    }

    /// What to do now; `waker` is woken when that changes.
    pub(super) fn order(&self, waker: &Waker) -> Order {
        // Before it is looked: an order that comes in between wakes.
        self.task.register(waker);
        self.told()
    }

    fn told(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Finish,
            _ => Order::Drop,
        }
    }
}

/// A connection that answers a request.
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle();
    }
}

/// A connection's place in the table.
pub(super) struct Entry {
    connections: Arc<Connections>,
    id: u64,
    customer: Option<IpAddr>,
    pub(super) activity: Arc<Activity>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut inner = self.connections.lock();
        inner.open.remove(&self.id);
        if let Some(customer) = self.customer
            && let Some(count) = inner.by_customer.get_mut(&customer)
        {
            *count -= 1;
            if *count == 0 {
                inner.by_customer.remove(&customer);
            }
        }
    }
}

/// Whom connections of `address` are counted for: of IPv6, a customer mostly has a network of 64 bits to choose
/// addresses from.
fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_64_bits_is_one_customer() {
        let of = |text: &str| customer(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:2::9"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_client_has_so_many_connections_and_no_more() {
        let connections = Arc::new(Connections::new());
        let [one, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        let first = connections.add(Some(one), 2).expect("the first");
        let _second = connections.add(Some(one), 2).expect("the second");
        assert!(connections.add(Some(one), 2).is_none());
        assert!(connections.add(Some(other), 2).is_some());
        assert!(connections.add(None, 0).is_some());
        drop(first);
        assert!(connections.add(Some(one), 2).is_some());
    }

    #[test]
    fn the_one_that_idles_is_dismissed_and_the_one_at_work_is_not() {
        let connections = Arc::new(Connections::new());
        let [first, second] = [0, 1].map(|_| connections.add(None, 0).expect("added"));
        connections.dismiss_idle();
        first.activity.idle();
        second.activity.idle();
        let working = first.activity.begin().expect("not dismissed");
        connections.dismiss_idle();
        connections.dismiss_idle();
        assert_eq!(first.activity.told(), Order::Serve);
        assert_eq!(second.activity.told(), Order::Drop);
        assert!(second.activity.begin().is_none());
        drop(working);
        connections.dismiss_idle();
        assert_eq!(first.activity.told(), Order::Drop);
    }

    #[test]
    fn an_order_wakes_and_no_lesser_one_takes_its_place() {
        let connections = Arc::new(Connections::new());
        let entry = connections.add(None, 0).expect("added");
        let woken = futures::task::noop_waker();
        assert_eq!(entry.activity.order(&woken), Order::Serve);
        connections.tell(Order::Finish);
        assert!(entry.activity.task.take().is_none(), "it was woken");
        assert_eq!(entry.activity.order(&woken), Order::Finish);
        connections.tell(Order::Drop);
        connections.tell(Order::Finish);
        assert_eq!(entry.activity.order(&woken), Order::Drop);
    }
}
