//! Time limits for what mostly does not wait.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::error::Elapsed;

/// What `future` comes to, if it takes no longer than `limit` from when it first has to wait. Until then there is no
/// timer, unlike with [`tokio::time::timeout`].
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match futures::poll!(future.as_mut()) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => tokio::time::timeout(limit, future).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_given_up_and_what_does_not_needs_no_time() {
        let limit = Duration::from_millis(10);
        assert_eq!(within(Duration::ZERO, std::future::ready(1)).await, Ok(1));
        assert_eq!(within(limit, tokio::task::yield_now()).await, Ok(()));
        let never = std::future::pending::<()>();
        assert!(within(limit, never).await.is_err());
    }
}
