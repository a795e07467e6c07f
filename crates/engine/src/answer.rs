//! An answer on its way out: in flight until its last byte, its guest stopped when the client goes, its failing line
//! when it breaks off.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use wasmtime_wasi_http::Error;

use crate::Body;
use crate::component::ComponentShared;
use crate::request::RequestState;

/// Tells the worker that nobody waits any more, unless disarmed.
pub(crate) struct CancelOnDrop(Option<Arc<RequestState>>);

impl CancelOnDrop {
    pub(crate) fn new(state: Arc<RequestState>) -> Self {
        Self(Some(state))
    }

    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(state) = &self.0 {
            state.cancel();
        }
    }
}

/// An answer's body. While it lives the request counts as in flight; when it is dropped before its end, the client
/// has gone and the guest is stopped.
pub(crate) struct Answer {
    body: Body,
    state: Arc<RequestState>,
    component: Arc<ComponentShared>,
    complete: bool,
    /// Bytes that are still to come when the length is announced. hyper drops such a body at its last byte, without
    /// asking for its end.
    expected: Option<u64>,
    /// Told at the next poll.
    broken: Option<Error>,
}

impl Answer {
    /// Wraps the answer to a request; `is_head` tells that its body will not be sent.
    pub(crate) fn wrap(
        response: Response<Body>,
        is_head: bool,
        state: Arc<RequestState>,
        component: Arc<ComponentShared>,
    ) -> Response<Body> {
        state.answered();
        let without_body = is_head
            || matches!(
                response.status(),
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        let length = response.headers().get(header::CONTENT_LENGTH);
        let expected = length.and_then(|value| value.to_str().ok()?.parse().ok());
        response.map(|body| {
            let complete = without_body || expected == Some(0) || body.is_end_stream();
            let broken = None;
            Self {
                body,
                state,
                component,
                complete,
                expected,
                broken,
            }
            .boxed_unsync()
        })
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => {
                self.complete = true;
                // A body whose writer vanished with its instance just ends. Passed on like that, half an answer
                // would look like a whole one.
                if self.state.failure().is_some() {
                    self.component.log_broken_answer(&self.state);
                    self.broken = Some(Error::HttpResponseIncomplete);
                }
            }
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.expected = self
                    .expected
                    .map(|expected| expected.saturating_sub(length));
                self.complete |= self.expected == Some(0) || self.body.is_end_stream();
            }
            Poll::Ready(Some(Err(_))) => {
                self.complete = true;
                self.component.log_broken_answer(&self.state);
                self.broken = Some(Error::HttpResponseIncomplete);
            }
            _ => {}
        }
        if self.broken.is_some() {
            // hyper throws away what it has not sent yet when a body fails; it sends that when a body makes it
            // wait. So the client gets what there was of the answer.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.complete {
            self.state.cancel();
        }
        self.state.over();
    }
}

impl ComponentShared {
    /// The answer had begun when its instance failed: the client sees it break off, the log says why. Or it was
    /// complete, and the guest did something else.
    pub(crate) fn log_broken_answer(&self, state: &RequestState) {
        if let Some(failure) = state.failure().filter(|failure| failure.is_worth_a_line())
            && state.first_to_log()
        {
            let what = if state.is_sent() {
                "the instance failed after the answer"
            } else {
                "the answer broke off"
            };
            let line = format!("{what}: {failure}");
            self.log.system(Some(&self.id), Some(&state.id), &line);
        }
    }
}
