//! The requests that one instance serves now, and the end that they share.
//!
//! Mostly it is one. A component of WASI 0.3 whose manifest asks for it (`reuse = { requests, concurrent }`) serves
//! several at once in one instance. They share its memory and its CPU time, so nobody can tell which of them made it
//! fail: whatever ends the instance ends them all, and the log says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::host::outbound_http::ChainDepth;
use crate::request::RequestState;

/// The requests of one instance, shared with its output streams.
#[derive(Default)]
pub(crate) struct Running(Mutex<State>);

#[derive(Default)]
struct State {
    members: Vec<Arc<RequestState>>,
    /// Something of the guest may still run: for these members, or for earlier ones.
    busy: bool,
    /// By when what earlier members left running has to be over.
    leftovers: Option<Instant>,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request. True when the instance had nothing to do before.
    pub(crate) fn join(&self, request: Arc<RequestState>) -> bool {
        let mut state = self.lock();
        state.members.push(request);
        !std::mem::replace(&mut state.busy, true)
    }

    pub(crate) fn is_any_over(&self) -> bool {
        self.lock().members.iter().any(|request| request.is_over())
    }

    /// Lets go of requests that are over. What the guest does on the side for them has to end within `wall` of their
    /// start.
    pub(crate) fn leave(&self, wall: Duration) {
        let mut state = self.lock();
        let (over, members) = std::mem::take(&mut state.members)
            .into_iter()
            .partition::<Vec<_>, _>(|request| request.is_over());
        state.members = members;
        for request in &over {
            state.leftovers = state.leftovers.max(request.deadline(wall));
            request.end();
        }
    }

    /// Nothing of the guest runs any more. True when something did.
    pub(crate) fn rest(&self) -> bool {
        let State { members, busy, .. } = std::mem::take(&mut *self.lock());
        for request in &members {
            request.end();
        }
        busy
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().members.len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<RequestState>> {
        self.lock().members.clone()
    }

    /// Whose output it is: known when one request runs.
    pub(crate) fn request_id(&self) -> Option<Arc<str>> {
        match self.lock().members.as_slice() {
            [request] => Some(Arc::clone(&request.id)),
            _ => None,
        }
    }

    /// Of requests that the guest sends now, which may be for any of them.
    pub(crate) fn depth(&self) -> ChainDepth {
        let depths = |state: &State| state.members.iter().map(|request| request.depth).max();
        depths(&self.lock()).unwrap_or_default()
    }

    /// When the first of them has to be over, or what is left of earlier ones.
    pub(crate) fn deadline(&self, wall: Duration) -> Option<Instant> {
        let state = self.lock();
        let deadlines = state.members.iter();
        deadlines
            .filter_map(|request| request.deadline(wall))
            .min()
            .or(state.leftovers)
    }

    /// Has `waker` woken when one of them is over or unwanted.
    pub(crate) fn register(&self, waker: &Waker) {
        for request in &self.lock().members {
            request.register_worker(waker);
        }
    }

    /// Nobody waits for any of them any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        let state = self.lock();
        !state.members.is_empty() && state.members.iter().all(|request| request.is_cancelled())
    }

    /// The instance ends, and why, for those who have no reason yet.
    pub(crate) fn fail(&self, failure: &Failure) {
        for request in &self.lock().members {
            request.fail(failure.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;
    use crate::gate::Flights;
    use crate::request::Place;
    use crate::ticker::Ticker;

    const WALL: Duration = Duration::from_secs(30);

    fn request(id: &str, depth: u32) -> Arc<RequestState> {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned();
        let ticker = Ticker::start(wasmtime::Engine::default(), Duration::from_millis(10));
        let place = Place::new(
            permit.expect("it is free"),
            Arc::new(Flights::default()).begin(),
            ticker.expect("a thread").busy(),
        );
        let request = RequestState::new(id.into(), ChainDepth(depth), place);
        request.start(true);
        Arc::new(request)
    }

    #[test]
    fn what_requests_at_once_share_is_the_strictest_of_each() {
        let running = Running::default();
        let (first, second) = (request("first", 3), request("second", 1));
        assert!(running.join(Arc::clone(&first)), "it had rested");
        assert_eq!(running.request_id().as_deref(), Some("first"));
        assert!(!running.join(Arc::clone(&second)));
        assert_eq!(running.request_id(), None);
        assert_eq!(running.depth(), ChainDepth(3));
        assert_eq!(running.deadline(WALL), first.deadline(WALL));
        first.returned();
        assert!(!running.is_any_over(), "its body is still sent");
        first.over();
        assert!(running.is_any_over());
        running.leave(WALL);
        assert_eq!((running.count(), running.depth()), (1, ChainDepth(1)));
        assert_eq!(running.request_id().as_deref(), Some("second"));
        assert_eq!(running.deadline(WALL), second.deadline(WALL));
    }

    #[test]
    fn an_instance_rests_when_nothing_of_earlier_requests_is_left() {
        let running = Running::default();
        let (stays, leaves) = (request("stays", 0), request("leaves", 0));
        running.join(Arc::clone(&leaves));
        running.join(Arc::clone(&stays));
        leaves.cancel();
        assert!(!running.is_abandoned(), "one client still waits");
        stays.cancel();
        assert!(running.is_abandoned());
        leaves.returned();
        stays.returned();
        running.leave(WALL);
        assert!(running.count() == 0 && !running.is_abandoned());
        let latest = leaves.deadline(WALL).max(stays.deadline(WALL));
        assert_eq!(
            running.deadline(WALL),
            latest,
            "what they left running has to end"
        );
        assert!(!running.join(request("next", 0)), "it has not rested");
        assert!(running.rest() && !running.rest());
        assert_eq!(running.deadline(WALL), None);
    }
}
