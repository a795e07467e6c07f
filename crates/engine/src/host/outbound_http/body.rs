//! Bodies that are cut off at their largest size, or when they stall.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

/// A request's body of bounded size.
pub(super) struct RequestBody {
    inner: WasiBody,
    left: u64,
    max: u64,
}

impl RequestBody {
    pub(super) fn new(inner: WasiBody, max: u64) -> Self {
        Self {
            inner,
            left: max,
            max,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(self.max))))),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response's body of bounded size, whose pieces must come in time. Holds the request's place among those in flight.
pub(super) struct ResponseBody<B> {
    /// `None` when it was given up, which closes its connection.
    inner: Option<B>,
    left: u64,
    max: u64,
    patience: Duration,
    /// Runs from the moment the guest waits: a guest that reads late has all the time it wants.
    stalled: Option<Pin<Box<Sleep>>>,
    permits: Vec<OwnedSemaphorePermit>,
}

impl<B> ResponseBody<B> {
    pub(super) fn new(
        inner: B,
        max: u64,
        patience: Duration,
        permits: Vec<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            inner: Some(inner),
            left: max,
            max,
            patience,
            stalled: None,
            permits,
        }
    }

    fn end(&mut self) {
        self.inner = None;
        self.permits.clear();
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(inner).poll_frame(context) else {
            let patience = this.patience;
            let stalled = this
                .stalled
                .get_or_insert_with(|| Box::pin(sleep(patience)));
            ready!(stalled.as_mut().poll(context));
            this.end();
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        };
        if let Some(stalled) = &mut this.stalled {
            stalled.as_mut().reset(Instant::now() + this.patience);
        }
        let frame = match frame {
            None => {
                this.end();
                return Poll::Ready(None);
            }
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                this.end();
                return Poll::Ready(Some(Err(error.into())));
            }
        };
        if let Some(data) = frame.data_ref() {
            match this.left.checked_sub(data.len() as u64) {
                Some(left) => this.left = left,
                None => {
                    this.end();
                    return Poll::Ready(Some(Err(Error::HttpResponseBodySize(Some(this.max)))));
                }
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
