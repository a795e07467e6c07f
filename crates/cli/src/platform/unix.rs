//! HTTP over the Unix sockets between the front process and the tenants' process.

use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tower_service::Service;

/// A socket's queue is full while the tenants' process is away; it is back within this time, or
/// something is wrong.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const CONNECT_AGAIN: Duration = Duration::from_millis(20);
/// The tenants' process closes connections that were idle for 20 s; ours go first, so that no request
/// is written to a connection that is being closed.
const IDLE: Duration = Duration::from_secs(10);

/// A folder of sockets, addressed by a handle: a path below it may be longer than the 108 bytes that
/// the address of a socket has room for (unix(7)).
#[derive(Clone)]
pub(crate) struct SocketDir(Arc<OwnedFd>);

impl SocketDir {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(std::fs::File::open(path)?.into())))
    }

    /// Listens on a socket of this name; what a process left there is removed.
    pub(crate) fn listen(&self, name: &str) -> io::Result<std::os::unix::net::UnixListener> {
        let path = self.path(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => std::os::unix::net::UnixListener::bind(path),
        }
    }

    fn path(&self, name: &str) -> String {
        format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd())
    }
}

/// A client whose every request goes to one socket, with kept connections.
pub(crate) fn client<B>(dir: &SocketDir, name: &'static str) -> Client<UnixConnector, B>
where
    B: http_body::Body + Send + 'static + Unpin,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .build(UnixConnector {
            dir: dir.clone(),
            name,
        })
}

/// Connects to one socket, whatever the address asked for.
#[derive(Clone)]
pub(crate) struct UnixConnector {
    dir: SocketDir,
    name: &'static str,
}

impl Service<Uri> for UnixConnector {
    type Response = UnixConnection;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<UnixConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let deadline = tokio::time::Instant::now() + CONNECT_WITHIN;
            loop {
                match UnixStream::connect(this.dir.path(this.name)).await {
                    Ok(stream) => return Ok(UnixConnection(TokioIo::new(stream))),
                    Err(error)
                        if error.kind() == io::ErrorKind::WouldBlock
                            && tokio::time::Instant::now() < deadline =>
                    {
                        tokio::time::sleep(CONNECT_AGAIN).await;
                    }
                    Err(error) => return Err(error),
                }
            }
        })
    }
}

/// A connection over a Unix socket.
pub(crate) struct UnixConnection(TokioIo<UnixStream>);

impl Connection for UnixConnection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for UnixConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for UnixConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_in_a_deep_folder_can_be_reached() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(200));
        std::fs::create_dir(&deep).unwrap();
        let sockets = SocketDir::open(&deep).unwrap();
        drop(sockets.listen("s").unwrap());
        let _listener = sockets.listen("s").unwrap();
        let mut connector = UnixConnector {
            dir: sockets,
            name: "s",
        };
        connector.call(Uri::from_static("http://x/")).await.unwrap();
    }
}
