//! What is left of a request's body when its answer begins. hyper ends a connection whose request was not read to its
//! end; a client that is told so neither waits for the rest to be taken nor sends another request into the void.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::{Body, BodyError};

/// A body up to this size that nobody reads is mostly there already: hyper discards it and keeps the connection.
const SMALL_BODY_BYTES: u64 = 8 << 10;

/// What is left of a large request body when its answer begins.
pub(super) struct Rest(Arc<AtomicBool>);

impl Rest {
    /// The request for its handler, and what to ask afterwards. Small bodies are not followed.
    pub(super) fn of(request: Request<Incoming>) -> (Request<Body>, Option<Self>) {
        let small = request
            .body()
            .size_hint()
            .upper()
            .is_some_and(|upper| upper <= SMALL_BODY_BYTES);
        let unread = (!small).then(|| Arc::new(AtomicBool::new(true)));
        let followed = unread.clone().map(Self);
        let request = request.map(|body| {
            let body = body.map_err(|error: hyper::Error| -> BodyError { error.into() });
            match unread {
                Some(unread) => Followed { body, unread }.boxed_unsync(),
                None => body.boxed_unsync(),
            }
        });
        (request, followed)
    }

    /// Whether the connection has to end with the answer, which says so (RFC 9110, section 10.1.1): its client may
    /// be in the middle of sending, or never send because it was not asked to continue.
    pub(super) fn is_unread(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A body that notes its end.
struct Followed<B> {
    body: B,
    unread: Arc<AtomicBool>,
}

impl<B: HttpBody<Data = Bytes, Error = BodyError> + Unpin> HttpBody for Followed<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let ended = match &polled {
            Poll::Ready(Some(Ok(_))) => self.body.is_end_stream(),
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Pending => false,
        };
        if ended {
            self.unread.store(false, Ordering::Release);
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
