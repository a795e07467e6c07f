//! Sending: every call has a time limit, and is repeated with growing pauses where that may help. All
//! calls are such that doing them twice is doing them once.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::error::{CallError, Refusal, Why};
use crate::leader::Term;
use crate::metrics::Metrics;

/// The API server gives up after a minute; webhooks have ten seconds by default.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// A call and its repetitions; then the deployment waits its own turn.
const ALL_TIMEOUT: Duration = Duration::from_secs(40);
/// The same where somebody waits for the answer.
const SHORT_CALL_TIMEOUT: Duration = Duration::from_secs(5);
const SHORT_ALL_TIMEOUT: Duration = Duration::from_secs(8);
/// Calls at once: each is a connection, with its buffers.
const AT_ONCE: usize = 24;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What the server asks for is waited for up to this; longer is left to the caller.
const LONGEST_WAIT_ASKED: Duration = Duration::from_secs(15);
const ATTEMPTS: u32 = 6;
/// A page of a hundred large objects; more is no answer of this API.
const MOST_BYTES: usize = 64 << 20;

const BROKEN_OFF: CallError = CallError::Unreachable("broke off its answer");

/// A cluster's API.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: kube::Client,
    metrics: Arc<Metrics>,
    calls: Arc<Semaphore>,
    call_timeout: Duration,
    all_timeout: Duration,
    /// Writes need its leave.
    term: Option<Arc<Term>>,
}

/// A 2xx answer.
pub(crate) struct Answer {
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            tracing::warn!(%error, "an answer of the cluster cannot be read");
            CallError::Unreachable("gave an answer that cannot be read")
        })
    }
}

impl Cluster {
    pub(crate) fn new(client: kube::Client, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            metrics,
            calls: Arc::new(Semaphore::new(AT_ONCE)),
            call_timeout: CALL_TIMEOUT,
            all_timeout: ALL_TIMEOUT,
            term: None,
        }
    }

    /// The same for what only the leader does: from the end of its term on nothing is written.
    pub(crate) fn in_term(&self, term: Arc<Term>) -> Self {
        Self {
            term: Some(term),
            ..self.clone()
        }
    }

    /// The same for what must not wait behind others, and not for long: the lease, and what is
    /// acknowledged.
    pub(crate) fn at_once(&self) -> Self {
        Self {
            calls: Arc::new(Semaphore::new(AT_ONCE)),
            call_timeout: SHORT_CALL_TIMEOUT,
            all_timeout: SHORT_ALL_TIMEOUT,
            ..self.clone()
        }
    }

    /// For watches, which live longer than a call.
    pub(crate) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Sends a request until it is answered well or repeating it can't help.
    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> Result<Answer, CallError> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let error = match self.send_once(request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(wait) = wait_before_repeating(&error, pause) else {
                return Err(error);
            };
            if attempt >= ATTEMPTS || begun.elapsed() + wait >= self.all_timeout {
                return Err(error);
            }
            tracing::debug!(
                method = %request.method(), path = request.uri().path(), %error, attempt, "repeating"
            );
            self.metrics.call_repeated();
            sleep(wait).await;
            attempt += 1;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends a request once, for what has its own way of repeating.
    pub(crate) async fn send_once(&self, request: Request<Vec<u8>>) -> Result<Answer, CallError> {
        // It is never closed.
        let _turn = self.calls.acquire().await;
        // Asked for after all waiting, and for each repetition again.
        let _leave = match &self.term {
            Some(term) if !request.method().is_safe() => {
                Some(term.leave().await.ok_or(CallError::Superseded)?)
            }
            _ => None,
        };
        match timeout(self.call_timeout, self.exchange(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::Unreachable("did not answer in time")),
        }
    }

    /// Sends a request once and gives its answer away piece by piece, until `take` has enough or there is no more.
    pub(crate) async fn read_once(
        &self,
        request: Request<Vec<u8>>,
        mut take: impl FnMut(&[u8]) -> ControlFlow<()> + Send,
    ) -> Result<(), CallError> {
        // It is never closed.
        let _turn = self.calls.acquire().await;
        let reading = async {
            let mut body = self.open(request).await?.into_body();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|_| BROKEN_OFF)?;
                if frame.data_ref().is_some_and(|data| take(data).is_break()) {
                    break;
                }
            }
            Ok(())
        };
        match timeout(self.call_timeout, reading).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::Unreachable("did not answer in time")),
        }
    }

    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Answer, CallError> {
        let body = self.open(request).await?.into_body();
        Ok(Answer {
            body: whole(body).await?,
        })
    }

    /// Sends a request; a 2xx answer whose body is yet to be read.
    async fn open(&self, request: Request<Vec<u8>>) -> Result<Response<Body>, CallError> {
        let response = self
            .client
            .send(request.map(Body::from))
            .await
            .map_err(|error| {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a call of the cluster's API failed"
                );
                CallError::Unreachable("cannot be reached")
            })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let refusal = Refusal::read(parts.status, &parts.headers, &whole(body).await?);
        Err(CallError::Refused(Box::new(refusal)))
    }
}

async fn whole(body: Body) -> Result<Bytes, CallError> {
    let body = Limited::new(body, MOST_BYTES).collect().await;
    Ok(body.map_err(|_| BROKEN_OFF)?.to_bytes())
}

/// How long to wait before the same again; nothing when that can't help.
fn wait_before_repeating(error: &CallError, pause: Duration) -> Option<Duration> {
    let refusal = match error {
        CallError::Unreachable(_) => return Some(pause),
        CallError::Superseded => return None,
        CallError::Refused(refusal) => refusal,
    };
    match refusal.why {
        // Rights in a namespace take a moment to be known after they were given.
        Why::Busy | Why::Conflict | Why::NotAllowed => match refusal.retry_after {
            Some(asked) if asked > LONGEST_WAIT_ASKED => None,
            asked => Some(asked.unwrap_or_default().max(pause)),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    fn refused(code: u16, retry_after: Option<&'static str>) -> CallError {
        let mut headers = HeaderMap::new();
        if let Some(after) = retry_after {
            headers.insert("retry-after", after.parse().unwrap());
        }
        let code = StatusCode::from_u16(code).unwrap();
        CallError::Refused(Box::new(Refusal::read(code, &headers, b"{}")))
    }

    #[test]
    fn what_may_pass_is_repeated_and_what_may_not_is_not() {
        for code in [409, 429, 500, 503, 403] {
            let wait = wait_before_repeating(&refused(code, None), FIRST_PAUSE);
            assert_eq!(wait, Some(FIRST_PAUSE), "{code}");
        }
        for code in [400, 404, 410, 422] {
            assert_eq!(
                wait_before_repeating(&refused(code, None), FIRST_PAUSE),
                None
            );
        }
    }

    #[test]
    fn the_server_says_how_long_to_wait_up_to_a_limit() {
        let wait = |after| wait_before_repeating(&refused(429, Some(after)), FIRST_PAUSE);
        assert_eq!(wait("3"), Some(Duration::from_secs(3)));
        assert_eq!(wait("3600"), None);
    }
}
