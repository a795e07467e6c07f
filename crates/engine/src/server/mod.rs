//! Serving HTTP/1.1 over TCP or a Unix socket: the accept loop, what bounds a connection, and the graceful end.
//!
//! Who answers is a [`Handler`]: the [`crate::Registry`] (by host name), or a function that first looks
//! whether the request is for somebody else.

mod connection;
mod connections;
mod rest;
mod stream;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Request, Response};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connections::{Connections, Order};
use crate::Body;
use crate::request::Client;

/// Set by the front process when it passes a request on over a Unix socket: the client's `address:port`. Believed
/// there and removed everywhere else.
pub const CLIENT_ADDR: HeaderName = HeaderName::from_static("x-nokube-client-addr");

/// The same for the scheme the client used, `http` or `https`.
pub const CLIENT_SCHEME: HeaderName = HeaderName::from_static("x-nokube-client-scheme");

/// Answers requests. It does not fail: what goes wrong is an answer too.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(
        &self,
        request: Request<Body>,
        client: Client,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Whether an address speaks for many clients, as a proxy's does: its connections are not counted as one client's.
    fn is_proxy(&self, _address: IpAddr) -> bool {
        false
    }
}

impl<F, Answer> Handler for F
where
    F: Fn(Request<Body>, Client) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Response<Body>> + Send,
{
    fn handle(
        &self,
        request: Request<Body>,
        client: Client,
    ) -> impl Future<Output = Response<Body>> + Send {
        self(request, client)
    }
}

/// What bounds a listener's connections. Bodies are bounded by who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerOptions {
    /// Connections at once. For one more, the one that idles for longest is closed; when none does, it waits.
    pub max_connections: u32,
    /// Connections of one client's address (of IPv6, its network of 64 bits); more are closed at once.
    pub max_connections_per_address: u32,
    /// Milliseconds for a request's head, and for the next request on an idle connection.
    pub header_read_ms: u64,
    /// Bytes of a request's head.
    pub max_header_bytes: usize,
    /// Fields of a request's head.
    pub max_headers: usize,
    /// Milliseconds in which a client must take something of what is written to it, and in which it must begin to take
    /// it at [`ServerOptions::min_write_rate`].
    pub write_stall_ms: u64,
    /// Bytes per second that a client must take of what is written to it: an answer's place is free again only when it
    /// is sent.
    pub min_write_rate: u64,
    /// Milliseconds that requests get to end when the server does.
    pub drain_ms: u64,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_connections: 2_048,
            max_connections_per_address: 256,
            header_read_ms: 20_000,
            max_header_bytes: 64 << 10,
            max_headers: 128,
            write_stall_ms: 30_000,
            min_write_rate: 8 << 10,
            drain_ms: 10_000,
        }
    }
}

/// Where connections come from.
pub enum Listener {
    /// From clients, who are not believed.
    Tcp(TcpListener),
    /// From our own front process, which says who its client is ([`CLIENT_ADDR`]).
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// Accepts and serves until `shutdown`, then lets what is in flight end (at most `drain_ms`) and returns.
pub async fn serve<H: Handler>(
    listener: impl Into<Listener>,
    handler: Arc<H>,
    options: ServerOptions,
    shutdown: CancellationToken,
) {
    let listener = listener.into();
    let places = Arc::new(Semaphore::new(options.max_connections.max(1) as usize));
    let table = Arc::new(Connections::new());
    let options = Arc::new(options);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly too many open files: without a pause this would spin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let address = counted(peer).filter(|address| !handler.is_proxy(*address));
        let Some(entry) = table.add(address, options.max_connections_per_address) else {
            tracing::debug!("a client has too many connections");
            continue;
        };
        let place = tokio::select! {
            () = shutdown.cancelled() => break,
            place = make_room(&places, &table) => match place {
                Some(place) => place,
                None => break,
            },
        };
        let serving = connection::serve(
            stream,
            peer,
            entry,
            Arc::clone(&handler),
            Arc::clone(&options),
        );
        connections.spawn(async move {
            serving.await;
            drop(place);
        });
    }
    drop(listener);
    table.tell(Order::Finish);
    connections.close();
    if tokio::time::timeout(Duration::from_millis(options.drain_ms), connections.wait())
        .await
        .is_err()
    {
        table.tell(Order::Drop);
        connections.wait().await;
    }
}

/// How often it is looked for a connection that idles while another waits for a place.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Waits for a place, and sees to it that one becomes free.
async fn make_room(places: &Arc<Semaphore>, table: &Connections) -> Option<OwnedSemaphorePermit> {
    let mut waiting = pin!(Arc::clone(places).acquire_owned());
    loop {
        if places.available_permits() == 0 {
            table.dismiss_idle();
        }
        if let Ok(place) = tokio::time::timeout(LOOK_AGAIN, waiting.as_mut()).await {
            return place.ok();
        }
    }
}

/// Whose connections are counted: clients', one by one, but this machine's own.
fn counted(peer: Peer) -> Option<IpAddr> {
    let Peer::Client(address) = peer else {
        return None;
    };
    let address = address.ip().to_canonical();
    (!address.is_loopback()).then_some(address)
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy)]
enum Peer {
    Client(SocketAddr),
    Front,
}

async fn accept(listener: &Listener) -> std::io::Result<(stream::Socket, Peer)> {
    match listener {
        Listener::Tcp(listener) => {
            let (socket, addr) = listener.accept().await?;
            // Without it a chunked answer on a kept-alive connection waits for the client's delayed
            // acknowledgement, about 40 ms.
            socket.set_nodelay(true)?;
            Ok((stream::Socket::Tcp(socket), Peer::Client(addr)))
        }
        Listener::Unix(listener) => {
            let (socket, _) = listener.accept().await?;
            Ok((stream::Socket::Unix(socket), Peer::Front))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_this_machine_are_not_counted() {
        for (address, is_counted) in [
            ("127.0.0.1", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("198.51.100.1", true),
            ("2001:db8::1", true),
        ] {
            let ip: IpAddr = address.parse().expect("an address");
            let peer = Peer::Client(SocketAddr::new(ip, 1));
            assert_eq!(counted(peer).is_some(), is_counted, "{address}");
        }
        assert!(counted(Peer::Front).is_none());
    }
}
