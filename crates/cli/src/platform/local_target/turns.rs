//! How many deployments are loaded at once: those that somebody waits for apart from those that may take their time.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;

/// Dormant applications that are loaded at once. Each is some file mappings and a few milliseconds of
/// computing: more at once would only make each of them slower.
const WAKES_AT_ONCE: usize = 4;
/// Revisions that the tenants' process loads at once.
const LOADED_AT_ONCE: usize = 16;
/// Loading maps files and takes milliseconds; what takes longer is probing.
const LOADED_WITHIN: Duration = Duration::from_secs(2);

/// Whose turn it is.
pub(super) struct Turns {
    wakes: Semaphore,
    loading: Semaphore,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            wakes: Semaphore::new(WAKES_AT_ONCE),
            loading: Semaphore::new(LOADED_AT_ONCE),
        }
    }

    /// Loads what was put aside. It is not probed, a visitor waits for it, and only other wakes come before it.
    pub(super) async fn wake<T>(&self, work: impl Future<Output = T>) -> T {
        // Neither of them is ever closed.
        let _turn = self.wakes.acquire().await;
        work.await
    }

    /// Loads a revision that is probed. Few are at once: after a start, and after an engine's update, every
    /// application is to be. Probing may take minutes, and nobody waits for another's.
    pub(super) async fn load<T>(&self, work: impl Future<Output = T>) -> T {
        let turn = self.loading.acquire().await;
        let mut work = pin!(work);
        match tokio::time::timeout(LOADED_WITHIN, &mut work).await {
            Ok(outcome) => outcome,
            Err(_) => {
                drop(turn);
                work.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::Poll;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_visitor_does_not_wait_for_the_probes_of_others() {
        let turns = Turns::new();
        // Twice as many as have a turn.
        let mut probes: Vec<_> = (0..2 * LOADED_AT_ONCE)
            .map(|_| Box::pin(turns.load(pending::<()>())))
            .collect();
        for probe in &mut probes {
            assert_eq!(futures::poll!(probe), Poll::Pending);
        }
        assert_eq!(
            turns.load(ready(())).now_or_never(),
            None,
            "a new one waits"
        );
        assert_eq!(turns.wake(ready(())).now_or_never(), Some(()));
    }
}
