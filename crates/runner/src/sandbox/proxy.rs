//! The only way out of the sandbox: an HTTP proxy of the runner on a Unix socket.
//!
//! It takes `CONNECT host:443` and plain `GET`/`HEAD http://host/…`, resolves the name itself, refuses
//! every address that is not public or is this machine's own, and connects to the address it checked,
//! so that a name cannot change its mind in between.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nokube_domain::git_source::{AddressPolicy, GitAccess};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::log::BuildLog;

const HEAD_MAX_BYTES: usize = 16 * 1024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A package of the largest kind on a slow line.
const CONNECTION_MAX: Duration = Duration::from_secs(900);
const CONNECTIONS_MAX: usize = 128;
/// Refusals that are told; a build that tries a thousand hosts gets the point.
const TOLD_MAX: usize = 20;

/// What is on its way.
type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The network that the proxy leads to; tests have one of their own.
trait Network: Send + Sync {
    /// All addresses of a host, asked for once per connection.
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> Pending<'a, Result<Vec<SocketAddr>, String>>;

    /// Connects to an address that was checked.
    fn connect(&self, address: SocketAddr) -> Pending<'_, io::Result<TcpStream>>;
}

/// The machine's own resolver and network.
struct System;

impl Network for System {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> Pending<'a, Result<Vec<SocketAddr>, String>> {
        Box::pin(crate::source::address::resolve(host, port))
    }

    fn connect(&self, address: SocketAddr) -> Pending<'_, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(address))
    }
}

/// A running proxy; dropping it closes the door and every connection.
pub(crate) struct Proxy {
    socket: PathBuf,
    _running: DropGuard,
}

impl Proxy {
    /// Listens in `folder`, which only the runner may enter (the socket itself is open to the build
    /// user, who gets it by bind mount).
    pub(crate) fn start(folder: &Path, download_bytes: u64, log: BuildLog) -> io::Result<Self> {
        let socket = folder.join("proxy.sock");
        // Socket addresses hold 108 bytes; the way over an open folder is always short.
        let handle = std::fs::File::open(folder)?;
        let listener =
            UnixListener::bind(format!("/proc/self/fd/{}/proxy.sock", handle.as_raw_fd()))?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666))?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            budget: Mutex::new(download_bytes),
            told: Mutex::default(),
            log,
            network: Box::new(System),
        });
        tokio::spawn(serve(listener, shared, stop.clone()));
        Ok(Self {
            socket,
            _running: stop.drop_guard(),
        })
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

struct Shared {
    /// Bytes that may still be fetched.
    budget: Mutex<u64>,
    told: Mutex<BTreeSet<String>>,
    log: BuildLog,
    network: Box<dyn Network>,
}

impl Shared {
    /// Says once per destination why it is not reached.
    async fn refuse(&self, destination: &str, reason: &str) {
        let new = {
            let mut told = self
                .told
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            told.len() < TOLD_MAX && told.insert(destination.to_owned())
        };
        if new {
            self.log
                .system(format!("the build may not reach {destination}: {reason}"))
                .await;
        }
    }

    fn remaining(&self) -> u64 {
        *self
            .budget
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn spend(&self, bytes: u64) -> bool {
        let mut budget = self
            .budget
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *budget = budget.saturating_sub(bytes);
        *budget > 0
    }
}

async fn serve(listener: UnixListener, shared: Arc<Shared>, stop: CancellationToken) {
    // Dropping the set, when told to stop, ends every connection.
    let mut open = JoinSet::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let client = tokio::select! {
            client = listener.accept() => client,
            Some(_) = open.join_next() => continue,
            () = stop.cancelled() => return,
        };
        let Ok((client, _)) = client else { continue };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            continue;
        };
        let shared = Arc::clone(&shared);
        open.spawn(async move {
            let _permit = permit;
            drop(tokio::time::timeout(CONNECTION_MAX, handle(client, &shared)).await);
        });
    }
}

async fn handle(mut client: UnixStream, shared: &Shared) -> io::Result<()> {
    let Ok(head) = tokio::time::timeout(HEAD_TIMEOUT, read_head(&mut client)).await else {
        return Ok(());
    };
    let (head, rest) = head?;
    let Some(request) = Request::parse(&head) else {
        return answer(
            &mut client,
            "400 Bad Request",
            "only CONNECT, and GET or HEAD of http:// addresses",
        )
        .await;
    };
    let destination = format!("{}:{}", request.host, request.port);
    let network = shared.network.as_ref();
    let addresses = match permitted(network, &request.host, request.port).await {
        Ok(addresses) => addresses,
        Err(reason) => {
            shared.refuse(&destination, &reason).await;
            return answer(&mut client, "403 Forbidden", &reason).await;
        }
    };
    if shared.remaining() == 0 {
        let reason = "this build has fetched as much as a build may";
        shared.refuse(&destination, reason).await;
        return answer(&mut client, "403 Forbidden", reason).await;
    }
    let mut server = match connect(network, &addresses).await {
        Ok(server) => server,
        Err(error) => {
            shared
                .refuse(&destination, &format!("no connection: {error}"))
                .await;
            return answer(&mut client, "502 Bad Gateway", "the host does not answer").await;
        }
    };
    match &request.forward {
        None => {
            client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await?
        }
        Some(head) => server.write_all(head.as_bytes()).await?,
    }
    server.write_all(&rest).await?;
    relay(&mut client, server, shared).await
}

/// Copies both ways; what comes in is paid from the build's budget.
async fn relay(client: &mut UnixStream, server: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut metered = Metered {
        inner: server,
        shared,
    };
    copy_bidirectional(client, &mut metered).await.map(drop)
}

struct Metered<'a> {
    inner: TcpStream,
    shared: &'a Shared,
}

impl tokio::io::AsyncRead for Metered<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if !self.shared.spend((buffer.filled().len() - before) as u64) {
            return std::task::Poll::Ready(Err(io::Error::other("the build's budget is used up")));
        }
        polled
    }
}

impl tokio::io::AsyncWrite for Metered<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

async fn answer(client: &mut UnixStream, status: &str, reason: &str) -> io::Result<()> {
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{reason}\n",
        reason.len() + 1
    );
    client.write_all(text.as_bytes()).await?;
    client.shutdown().await
}

/// The request's head, and what came after it.
async fn read_head(client: &mut UnixStream) -> io::Result<(String, Vec<u8>)> {
    let mut read = Vec::with_capacity(1024);
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            let head = String::from_utf8(read).map_err(|_| io::ErrorKind::InvalidData)?;
            return Ok((head, rest));
        }
        if read.len() > HEAD_MAX_BYTES || client.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// What the build asks for.
struct Request {
    host: String,
    port: u16,
    /// The head to send on, unless it is a tunnel.
    forward: Option<String>,
}

impl Request {
    fn parse(head: &str) -> Option<Self> {
        let (line, fields) = head.split_once("\r\n")?;
        let mut words = line.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !version.starts_with("HTTP/1.") {
            return None;
        }
        if method == "CONNECT" {
            let url = url::Url::parse(&format!("https://{target}")).ok()?;
            let plain = url.path() == "/"
                && url.query().is_none()
                && url.username().is_empty()
                && url.password().is_none();
            let host = url.host_str().filter(|_| plain)?.to_owned();
            return Some(Self {
                host,
                port: url.port_or_known_default()?,
                forward: None,
            });
        }
        let url = url::Url::parse(target)
            .ok()
            .filter(|url| url.scheme() == "http")?;
        if !matches!(method, "GET" | "HEAD") || !url.username().is_empty() {
            return None;
        }
        let host = url.host_str()?.to_owned();
        let port = url.port_or_known_default()?;
        let query = url
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let mut forward = format!(
            "{method} {}{query} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
            url.path(),
            authority(&url)
        );
        for field in fields.split("\r\n").filter(|field| !field.is_empty()) {
            let name = field
                .split(':')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase();
            // Only safe requests without a body pass, one per connection.
            let dropped = matches!(
                name.as_str(),
                "host"
                    | "connection"
                    | "proxy-connection"
                    | "proxy-authorization"
                    | "keep-alive"
                    | "te"
                    | "trailer"
                    | "transfer-encoding"
                    | "content-length"
                    | "upgrade"
            );
            if !dropped {
                forward.push_str(field);
                forward.push_str("\r\n");
            }
        }
        forward.push_str("\r\n");
        Some(Self {
            host,
            port,
            forward: Some(forward),
        })
    }
}

fn authority(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The addresses of a host that a build may connect to, or why none.
async fn permitted(
    network: &dyn Network,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, String> {
    if !matches!(port, 80 | 443) {
        return Err(format!(
            "port {port} is closed to builds; 80 and 443 are open"
        ));
    }
    let addresses = network.resolve(host, port).await?;
    let policy = AddressPolicy {
        access: GitAccess::Public,
        denied_ports: &[80, 443],
    };
    for address in &addresses {
        policy
            .check(address.ip(), port, is_own(address.ip()))
            .map_err(|refusal| refusal.to_string())?;
    }
    Ok(addresses)
}

/// Whether an address is one of this machine's: only those can be bound.
pub(crate) fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// Connects to the first of these addresses that answers, and asks for no name again.
async fn connect(network: &dyn Network, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, network.connect(*address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tunnels_and_plain_reads_are_understood() {
        let tunnel = Request::parse("CONNECT static.crates.io:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("a tunnel");
        assert_eq!(
            (tunnel.host.as_str(), tunnel.port, tunnel.forward),
            ("static.crates.io", 443, None)
        );
        let read = Request::parse("GET http://h.example/a?b HTTP/1.1\r\nHost: evil\r\nAccept: */*\r\nProxy-Authorization: x\r\n\r\n").expect("a read");
        assert_eq!(
            read.forward.as_deref(),
            Some(
                "GET /a?b HTTP/1.1\r\nhost: h.example\r\nconnection: close\r\nAccept: */*\r\n\r\n"
            )
        );
        for bad in [
            "POST http://h/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET ftp://h/ HTTP/1.1\r\n\r\n",
            "CONNECT h:443/x HTTP/1.1\r\n\r\n",
            "x\r\n\r\n",
        ] {
            assert!(Request::parse(bad).is_none(), "{bad}");
        }
    }

    /// A host whose name server gives another answer each time, and what was connected to.
    struct Rebinding {
        answers: Mutex<Vec<Vec<IpAddr>>>,
        connected: Arc<Mutex<Vec<SocketAddr>>>,
    }

    impl Network for Rebinding {
        fn resolve<'a>(
            &'a self,
            _host: &'a str,
            port: u16,
        ) -> Pending<'a, Result<Vec<SocketAddr>, String>> {
            let answer = self.answers.lock().expect("no panic").remove(0);
            let addresses = answer.into_iter().map(|ip| SocketAddr::new(ip, port));
            Box::pin(std::future::ready(Ok(addresses.collect())))
        }

        fn connect(&self, address: SocketAddr) -> Pending<'_, io::Result<TcpStream>> {
            self.connected.lock().expect("no panic").push(address);
            let refused = io::ErrorKind::ConnectionRefused.into();
            Box::pin(std::future::ready(Err(refused)))
        }
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_leads_to_what_was_checked_or_nowhere() {
        let ip = |text: &str| text.parse::<IpAddr>().expect(text);
        let (public, loopback) = (ip("192.0.2.1"), ip("127.0.0.1"));
        let connected = Arc::default();
        let shared = Shared {
            budget: Mutex::new(1000),
            told: Mutex::default(),
            log: BuildLog::for_tests(),
            network: Box::new(Rebinding {
                answers: Mutex::new(vec![
                    vec![public],
                    vec![loopback],
                    vec![public, ip("10.0.0.1")],
                    vec![ip("::ffff:169.254.169.254")],
                    vec![ip("2001:db8::1"), public],
                ]),
                connected: Arc::clone(&connected),
            }),
        };
        let mut statuses = Vec::new();
        for request in [
            "CONNECT rebound.example:443 HTTP/1.1\r\n\r\n",
            "CONNECT rebound.example:443 HTTP/1.1\r\n\r\n",
            "GET http://rebound.example/ HTTP/1.1\r\n\r\n",
            "GET http://rebound.example/ HTTP/1.1\r\n\r\n",
            "GET http://rebound.example/ HTTP/1.1\r\n\r\n",
        ] {
            let (client, mut build) = UnixStream::pair().expect("a pair");
            build.write_all(request.as_bytes()).await.expect("sent");
            handle(client, &shared).await.expect("answered");
            let mut answer = String::new();
            build.read_to_string(&mut answer).await.expect("an answer");
            statuses.push(answer.split(' ').nth(1).unwrap_or_default().to_owned());
        }
        assert_eq!(statuses, ["502", "403", "403", "403", "502"]);
        // One look-up each, and never an address that was not checked.
        let expected = [(public, 443), (ip("2001:db8::1"), 80), (public, 80)];
        assert_eq!(
            *connected.lock().expect("no panic"),
            expected.map(SocketAddr::from)
        );
    }

    #[tokio::test]
    async fn loopback_private_and_metadata_addresses_are_closed() {
        for (host, port) in [
            ("127.0.0.1", 80),
            ("localhost", 443),
            ("[::1]", 80),
            ("10.0.0.1", 443),
            ("169.254.169.254", 80),
            ("2130706433", 80),
            ("8.8.8.8", 22),
        ] {
            assert!(
                permitted(&System, host, port).await.is_err(),
                "{host}:{port}"
            );
        }
    }
}
