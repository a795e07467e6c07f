//! The bytes of a connection, with two manners hyper leaves to us: a writer that is hardly read from gives up, and a
//! connection that is closed while its client is still sending is closed in a way that lets the answer arrive.
//!
//! The second: when a socket is closed with unread bytes in it the kernel sends a reset, and a client that is still
//! busy sending (a body that was refused by its size) sees that instead of the answer. RFC 9112, 9.6 asks to
//! stop writing first, then to read and discard until the client is done, within bounds.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep};

use crate::pace::{Pace, PaceLimits};

/// What is written in pieces that come to no more than this is put together first: a head and a short body, mostly. The
/// kernel takes one piece faster than a list of them.
const TOGETHER_BYTES: usize = 2 << 10;

/// Discarding ends when the client sent nothing for so long …
const LINGER_IDLE: Duration = Duration::from_secs(2);
/// … or went on for so long …
const LINGER_TOTAL: Duration = Duration::from_secs(30);
/// … or sent so much: above what a client may have meant well.
const LINGER_BYTES: u64 = 1 << 30;

pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

pub(super) struct Stream {
    socket: Socket,
    pace: Pace,
    /// Since when a write waits, and until when it may.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    linger: Option<Linger>,
}

struct Linger {
    idle: Pin<Box<Sleep>>,
    end: Instant,
    left: u64,
}

impl Stream {
    pub(super) fn new(socket: Socket, pace: PaceLimits) -> Self {
        Self {
            socket,
            pace: Pace::new(pace),
            waiting: None,
            linger: None,
        }
    }

    /// Passes `poll` on, but not for longer than the client may take nothing, or little.
    fn bound<T: Written>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = &poll {
            let waited = self.waiting.take().map(|(since, _)| since.elapsed());
            let bytes = result.as_ref().map_or(0, Written::bytes);
            self.pace.note(waited.unwrap_or_default(), bytes);
            return poll;
        }
        let patience = self.pace.patience();
        let (_, timer) = self
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(patience))));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| Linger {
            idle: Box::pin(tokio::time::sleep(LINGER_IDLE)),
            end: Instant::now() + LINGER_TOTAL,
            left: LINGER_BYTES,
        });
        let mut scratch = [0_u8; 16 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let Poll::Ready(read) = self.socket.poll_read(cx, &mut buffer) else {
                return linger.idle.as_mut().poll(cx);
            };
            let length = buffer.filled().len() as u64;
            let now = Instant::now();
            if read.is_err() || length == 0 || length > linger.left || now > linger.end {
                return Poll::Ready(());
            }
            linger.left -= length;
            linger
                .idle
                .as_mut()
                .reset((now + LINGER_IDLE).min(linger.end));
        }
    }
}

/// What a write tells of how much it wrote.
trait Written {
    fn bytes(&self) -> u64;
}

impl Written for usize {
    fn bytes(&self) -> u64 {
        *self as u64
    }
}

impl Written for () {
    fn bytes(&self) -> u64 {
        0
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Socket::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
        };
        self.bound(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if length <= TOGETHER_BYTES {
            let mut together = [0; TOGETHER_BYTES];
            let mut rest = together.as_mut_slice();
            for slice in slices {
                // There is room for all of them.
                let _ = rest.write(slice)?;
            }
            return self.poll_write(cx, &together[..length]);
        }
        let poll = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Socket::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
        };
        self.bound(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Unix(socket) => Pin::new(socket).poll_flush(cx),
        };
        self.bound(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let poll = match &mut self.socket {
                Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
                Socket::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            };
            ready!(self.bound(cx, poll))?;
        }
        self.poll_linger(cx).map(Ok)
    }
}

impl Socket {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buffer),
        }
    }
}
