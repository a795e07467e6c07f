//! A request's body on its way in: bounded in size and in how long it may dawdle.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::Sleep;
use wasmtime_wasi_http::Error;

use crate::Body;
use crate::failure::Failure;
use crate::pace::{Pace, PaceLimits};
use crate::request::RequestState;

/// How much of a body is taken in before its request takes a place at a component. So a client that announces a
/// small body and never sends it occupies a connection only, of which there are many more than places.
const AHEAD_BYTES: usize = 16 << 10;

/// How long a client may send nothing in the middle of a body, and how much of that it may do: one that sends a byte
/// now and then occupies a connection for minutes, not for hours.
const PACE: PaceLimits = PaceLimits {
    stall: Duration::from_secs(10),
    grace: Duration::from_secs(30),
    bytes_per_second: 1 << 10,
};

/// What a request's head says about its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announced {
    /// `Content-Length`; none for a chunked body.
    length: Option<u64>,
    /// The client sends it when asked to, not before (`Expect: 100-continue`, RFC 9110, section 10.1.1).
    held_back: bool,
}

impl Announced {
    pub(crate) fn of(request: &Request<Body>) -> Self {
        let text = |name| request.headers().get(name)?.to_str().ok();
        Self {
            length: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            held_back: text(header::EXPECT)
                .is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue")),
        }
    }

    fn exceeds(self, limit: u64) -> bool {
        self.length.is_some_and(|length| length > limit)
    }

    /// Whether the beginning of the body is to be taken in [`ahead`]. Not of one that can't be read anyway, nor of a
    /// large one that its client holds back: the guest may answer without it, and only reading asks for it.
    pub(crate) fn comes_ahead(self, limit: u64) -> bool {
        let small = self
            .length
            .is_some_and(|length| length <= AHEAD_BYTES as u64);
        !self.exceeds(limit) && (small || !self.held_back)
    }
}

/// Takes in the beginning of `body`: all of a small one.
pub(crate) async fn ahead(body: Body) -> Result<Body, Failure> {
    ahead_within(body, PACE).await
}

async fn ahead_within(mut body: Body, limits: PaceLimits) -> Result<Body, Failure> {
    let mut frames = VecDeque::new();
    let mut length = 0;
    let mut pace = Pace::new(limits);
    while length < AHEAD_BYTES && !body.is_end_stream() {
        let began = Instant::now();
        let frame = tokio::time::timeout(pace.patience(), body.frame()).await;
        let bytes = match &frame {
            Ok(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        pace.note(began.elapsed(), bytes as u64);
        match frame {
            Err(_) => return Err(Failure::BodyTooSlow),
            Ok(None) => break,
            // The client went away or sent nonsense; it will hardly read the answer.
            Ok(Some(Err(_))) => return Err(Failure::BadRequest("The body broke off.")),
            Ok(Some(Ok(frame))) => {
                length += bytes;
                frames.push_back(frame);
            }
        }
    }
    if frames.is_empty() {
        return Ok(body);
    }
    Ok(Ahead { frames, rest: body }.boxed_unsync())
}

struct Ahead {
    frames: VecDeque<Frame<Bytes>>,
    rest: Body,
}

impl HttpBody for Ahead {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let length: usize = self
            .frames
            .iter()
            .filter_map(Frame::data_ref)
            .map(Bytes::len)
            .sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + length as u64);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + length as u64);
        }
        hint
    }
}

/// `body`, failing once it is longer than `limit` bytes or nothing comes for too long. One that was announced to be
/// longer fails at the first read: a guest that does not read it can still answer, such as with a redirection.
pub(crate) fn bounded(
    body: Body,
    announced: Announced,
    limit: u64,
    state: &Arc<RequestState>,
) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let state = Arc::clone(state);
    Bounded {
        body,
        left: (!announced.exceeds(limit)).then_some(limit),
        limit,
        pace: Pace::new(PACE),
        waiting: None,
        state,
    }
    .boxed_unsync()
}

struct Bounded {
    body: Body,
    /// Bytes that may still come. None: too many are known to come.
    left: Option<u64>,
    limit: u64,
    pace: Pace,
    /// Since when a read waits, and until when it may.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    state: Arc<RequestState>,
}

impl Bounded {
    fn too_large(&mut self) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.left = None;
        self.state.fail(Failure::BodyTooLarge {
            limit_bytes: self.limit,
        });
        Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(self.limit)))))
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(left) = self.left else {
            return self.too_large();
        };
        let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(cx) else {
            let patience = self.pace.patience();
            let (_, timer) = self
                .waiting
                .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(patience))));
            std::task::ready!(timer.as_mut().poll(cx));
            self.state.fail(Failure::BodyTooSlow);
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        };
        let waited = self.waiting.take().map(|(since, _)| since.elapsed());
        let bytes = match &polled {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        self.pace.note(waited.unwrap_or_default(), bytes as u64);
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
        {
            let Some(left) = left.checked_sub(data.len() as u64) else {
                return self.too_large();
            };
            self.left = Some(left);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Error>>());
        let limits = PaceLimits {
            stall: Duration::from_millis(10),
            ..PACE
        };
        let given_up = ahead_within(never.boxed_unsync(), limits).await;
        assert!(matches!(given_up, Err(Failure::BodyTooSlow)));
    }

    #[tokio::test]
    async fn a_body_that_comes_byte_by_byte_is_given_up() {
        let pause = Duration::from_millis(5);
        let bytes = stream::unfold((), move |()| async move {
            tokio::time::sleep(pause).await;
            Some((Ok::<_, Error>(Frame::data(Bytes::from_static(b"x"))), ()))
        });
        let limits = PaceLimits {
            stall: Duration::from_secs(10),
            grace: Duration::from_millis(50),
            ..PACE
        };
        let given_up = ahead_within(StreamBody::new(bytes).boxed_unsync(), limits).await;
        assert!(matches!(given_up, Err(Failure::BodyTooSlow)));
    }

    #[tokio::test]
    async fn what_was_taken_in_ahead_is_not_lost() {
        let pieces = [b"one ".as_slice(), &[b'x'; AHEAD_BYTES], b" end"];
        let frames = pieces.map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))));
        let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
        let body = ahead(body).await.expect("it comes");
        let whole = body.collect().await.expect("read").to_bytes();
        assert_eq!(whole.len(), AHEAD_BYTES + 8);
        assert!(whole.starts_with(b"one x") && whole.ends_with(b"x end"));
    }
}
