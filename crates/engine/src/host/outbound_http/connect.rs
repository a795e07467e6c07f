//! Connecting: the name is resolved once, the addresses are checked, and only a checked address is connected to.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::Scheme;
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::address::is_own;
use super::{BoxFuture, Egress, is_public, tls};
use crate::threads::Share;

/// The least time that one of several addresses gets.
const MIN_ATTEMPT: Duration = Duration::from_millis(300);

/// The addresses of a name.
pub type Resolving = BoxFuture<io::Result<Vec<SocketAddr>>>;

/// Finds the addresses of names.
pub trait Resolve: Send + Sync {
    /// The addresses of `host`, which may be an address itself, with `port`.
    fn resolve(&self, host: String, port: u16) -> Resolving;
}

/// The system's resolver, which blocks, and for as long as it likes.
#[derive(Debug)]
pub(super) struct SystemResolver {
    threads: Share,
}

impl SystemResolver {
    pub(super) fn new(threads: Share) -> Self {
        Self { threads }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, host: String, port: u16) -> Resolving {
        let threads = self.threads.clone();
        Box::pin(async move {
            // Loopback by definition (RFC 6761, section 6.3), which not every C library knows.
            let name = host.strip_suffix('.').unwrap_or(&host);
            if name.ends_with(".localhost") {
                return Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]);
            }
            let look_up = move || (host.as_str(), port).to_socket_addrs();
            let addresses = threads.run(look_up).await.map_err(io::Error::other)??;
            Ok(addresses.collect())
        })
    }
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    /// The name leads to addresses that the policy refuses.
    #[error("{0} is not an address of the public internet")]
    Prohibited(IpAddr),
    /// The name leads nowhere.
    #[error("the name can't be resolved: {0}")]
    Name(String),
    /// The server does not listen, or is not reached.
    #[error("no connection: {0}")]
    Io(io::Error),
    /// TLS failed.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// As many connections are open as may be, and none was closed in time.
    #[error("too many connections are open")]
    Crowded,
    /// It took too long.
    #[error("connecting took too long")]
    Timeout,
    /// The address is not `http://host` or `https://host`.
    #[error("not an address that can be connected to")]
    Address,
}

/// Makes connections for the HTTP client.
#[derive(Clone)]
pub(super) struct Connector {
    egress: Egress,
    resolver: Arc<dyn Resolve>,
    places: Arc<[Arc<Semaphore>]>,
    limit: Duration,
}

impl Connector {
    /// Each connection takes one of each of the `places` for as long as it is open, also while it is kept for the next
    /// request.
    pub(super) fn new(
        egress: Egress,
        resolver: Arc<dyn Resolve>,
        places: Vec<Arc<Semaphore>>,
        limit: Duration,
    ) -> Self {
        Self {
            egress,
            resolver,
            places: places.into(),
            limit,
        }
    }

    async fn take_places(&self) -> Result<Vec<OwnedSemaphorePermit>, ConnectError> {
        let taking = async {
            let mut taken = Vec::with_capacity(self.places.len());
            for places in self.places.iter() {
                taken.push(Arc::clone(places).acquire_owned().await?);
            }
            Ok::<_, AcquireError>(taken)
        };
        // Before `call` gives up, who would not say why.
        match timeout(self.limit / 2, taking).await {
            Ok(Ok(taken)) => Ok(taken),
            Ok(Err(_)) | Err(_) => Err(ConnectError::Crowded),
        }
    }

    async fn connect(self, uri: Uri) -> Result<Stream, ConnectError> {
        let host = bare_host(&uri).ok_or(ConnectError::Address)?.to_owned();
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let addresses = self
            .resolver
            .resolve(host.clone(), port)
            .await
            .map_err(|error| ConnectError::Name(error.to_string()))?;
        let addresses = permitted(addresses, self.egress, is_own)?;
        let places = self.take_places().await?;
        let stream = self.connect_to_one(&addresses).await?;
        if !is_tls {
            return Ok(Stream {
                io: Io::Plain(TokioIo::new(stream)),
                _places: places,
            });
        }
        let name = ServerName::try_from(host).map_err(|_invalid| ConnectError::Address)?;
        let stream = tls::connector()
            .connect(name, stream)
            .await
            .map_err(ConnectError::Tls)?;
        Ok(Stream {
            io: Io::Tls(Box::new(TokioIo::new(stream))),
            _places: places,
        })
    }

    /// Tries the addresses one after another, each with its share of the time that is left.
    async fn connect_to_one(&self, addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
        let end = Instant::now() + self.limit;
        let mut failure = ConnectError::Timeout;
        for (index, address) in addresses.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            let tries = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = (left / tries).max(MIN_ATTEMPT);
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(ConnectError::Io)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = ConnectError::Io(error),
                Err(_elapsed) => failure = ConnectError::Timeout,
            }
        }
        Err(failure)
    }
}

/// Keeps the addresses that may be connected to; `is_own` tells those of this machine, which may be public ones.
fn permitted(
    addresses: Vec<SocketAddr>,
    egress: Egress,
    is_own: fn(IpAddr) -> bool,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let Some(first) = addresses.first().map(SocketAddr::ip) else {
        return Err(ConnectError::Name("it has no address".to_owned()));
    };
    let permitted: Vec<_> = match egress {
        Egress::Any => addresses,
        Egress::Public => addresses
            .into_iter()
            .filter(|address| is_public(address.ip()) && !is_own(address.ip()))
            .collect(),
    };
    if permitted.is_empty() {
        return Err(ConnectError::Prohibited(first));
    }
    Ok(permitted)
}

/// The host of `uri`, an IPv6 address without its brackets.
fn bare_host(uri: &Uri) -> Option<&str> {
    let host = uri.host().filter(|host| !host.is_empty())?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    Some(bare.unwrap_or(host))
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = BoxFuture<Result<Stream, ConnectError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let limit = connector.limit;
            timeout(limit, connector.connect(uri))
                .await
                .unwrap_or(Err(ConnectError::Timeout))
        })
    }
}

/// A connection.
pub(super) struct Stream {
    io: Io,
    _places: Vec<OwnedSemaphorePermit>,
}

/// In clear or not.
enum Io {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Io::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(context),
            Io::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_of_this_machine_is_refused_like_its_others() {
        let own: IpAddr = [198, 51, 100, 7].into();
        let is_own: fn(IpAddr) -> bool = |address| address == IpAddr::from([198, 51, 100, 7]);
        let other = SocketAddr::from(([203, 0, 113, 9], 80));
        let addresses = vec![SocketAddr::new(own, 80), other];
        let permit = |addresses, egress| permitted(addresses, egress, is_own);
        assert_eq!(
            permit(addresses.clone(), Egress::Public).expect("one is left"),
            [other]
        );
        let refused = permit(vec![SocketAddr::new(own, 80)], Egress::Public);
        assert!(matches!(refused, Err(ConnectError::Prohibited(address)) if address == own));
        assert_eq!(
            permit(addresses.clone(), Egress::Any).expect("all are"),
            addresses
        );
    }
}
