//! A guest's standard output and error, cut into lines of its application's log.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::{AppLog, MAX_TEXT_BYTES, Stream};
use crate::running::Running;

/// One of a guest's two output streams. Clones write to the same line.
#[derive(Clone)]
pub(crate) struct GuestPipe {
    shared: Arc<Shared>,
}

struct Shared {
    log: Arc<AppLog>,
    component: Arc<str>,
    stream: Stream,
    running: Arc<Running>,
    /// The begun line.
    line: Mutex<Vec<u8>>,
}

impl GuestPipe {
    pub(crate) fn new(
        log: Arc<AppLog>,
        component: Arc<str>,
        stream: Stream,
        running: Arc<Running>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                log,
                component,
                stream,
                running,
                line: Mutex::default(),
            }),
        }
    }

    /// Writes what has no line end yet: whose it is will be unknown in a moment.
    pub(crate) fn finish_line(&self) {
        let mut line = self.lock();
        self.emit(&mut line);
    }

    fn push(&self, bytes: &[u8]) {
        let mut line = self.lock();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") || line.len() >= MAX_TEXT_BYTES {
                self.emit(&mut line);
            }
        }
    }

    fn emit(&self, line: &mut Vec<u8>) {
        if line.is_empty() {
            return;
        }
        let Shared {
            log,
            component,
            stream,
            running,
            ..
        } = &*self.shared;
        let id = running.request_id();
        log.write(
            *stream,
            Some(component),
            id.as_deref(),
            &String::from_utf8_lossy(line),
        );
        line.clear();
        // A guest that once wrote a long line must not cost its size for ever.
        line.shrink_to(1024);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.shared
            .line
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for GuestPipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestPipe {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for GuestPipe {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestPipe {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        // The log bounds rate and size itself, by dropping with notice: a guest must not wait for a disk.
        Ok(64 << 10)
    }
}

impl AsyncWrite for GuestPipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
