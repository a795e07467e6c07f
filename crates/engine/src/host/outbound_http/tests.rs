//! What leaves, what is refused, and what is cut off: against servers on this machine.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;
use crate::threads::Threads;

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl LogSink for Log {
    fn system(&self, _request_id: Option<&str>, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// Answers every name with the next of its addresses, and the last one for ever.
struct Scripted(Mutex<Vec<Vec<&'static str>>>);

impl Resolve for Scripted {
    fn resolve(&self, _host: String, port: u16) -> Resolving {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        };
        let addresses = answer
            .into_iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
        let addresses: Vec<_> = addresses.collect();
        Box::pin(async move { Ok(addresses) })
    }
}

struct Other;

impl Chain for Other {
    fn call(
        &self,
        component: &str,
        request: Request<WasiBody>,
    ) -> BoxFuture<Result<Response<WasiBody>, Error>> {
        let ChainDepth(depth) = request.extensions().get().copied().unwrap_or_default();
        let text = format!("{component} {} {depth}", request.uri().path());
        Box::pin(async move { Ok(Response::new(body(text))) })
    }
}

fn body(text: impl Into<Bytes>) -> WasiBody {
    Full::new(text.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

fn get(uri: &str) -> Request<WasiBody> {
    let empty = Empty::new().map_err(|never: Infallible| match never {});
    Request::get(uri).body(empty.boxed_unsync()).unwrap()
}

struct Fixture {
    log: Arc<Log>,
    outbound: Arc<OutboundHttp>,
}

fn fixture(egress: Egress, limits: Limits, resolver: Option<Arc<dyn Resolve>>) -> Fixture {
    fixture_with(egress, limits, 16, resolver)
}

fn fixture_with(
    egress: Egress,
    limits: Limits,
    places: usize,
    resolver: Option<Arc<dyn Resolve>>,
) -> Fixture {
    let log = Arc::new(Log::default());
    let allowed: AllowList = Arc::new(|_scheme, host, _port| host != "evil.example");
    let outbound = OutboundHttp::with_resolver(
        allowed,
        egress,
        Some(Arc::new(Other)),
        Arc::clone(&log) as Arc<dyn LogSink>,
        limits,
        vec![Arc::new(Semaphore::new(places))],
        resolver.unwrap_or_else(|| {
            let threads = Arc::new(Threads::new("names", 2, 0).unwrap());
            Arc::new(SystemResolver::new(threads.share(2)))
        }),
    );
    Fixture {
        log,
        outbound: Arc::new(outbound),
    }
}

fn limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(2),
        first_byte_timeout: Duration::from_secs(2),
        between_bytes_timeout: Duration::from_millis(200),
        ..Limits::tenant()
    }
}

impl Fixture {
    async fn send(&self, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
        let mut state = OutboundHttpState::new(Arc::clone(&self.outbound));
        let sent = state.send_request(request, None, Box::new(async { Ok(()) }));
        let (response, _rest) = Box::into_pin(sent).await?;
        Ok(response)
    }

    async fn text(&self, uri: &str) -> Result<String, Error> {
        let response = self.send(get(uri)).await?;
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn log(&self) -> String {
        self.log.0.lock().unwrap().join("\n")
    }
}

/// A server that answers with `answer`; counts its connections.
async fn server<F, A>(answer: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<WasiBody>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    (address, connections)
}

/// A piece of body, then silence.
struct Stalling(Option<Bytes>);

impl http_body::Body for Stalling {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        match self.0.take() {
            Some(bytes) => std::task::Poll::Ready(Some(Ok(http_body::Frame::data(bytes)))),
            None => std::task::Poll::Pending,
        }
    }
}

async fn echo(request: Request<Incoming>) -> Response<WasiBody> {
    let host = request.headers()["host"].to_str().unwrap().to_owned();
    let path = request.uri().path().to_owned();
    let bytes = request.into_body().collect().await;
    let length = bytes.map_or(0, |bytes| bytes.to_bytes().len());
    Response::new(body(format!("{host} {path} {length}")))
}

#[tokio::test]
async fn an_allowed_request_is_sent_and_its_connection_used_again() {
    let (address, connections) = server(echo).await;
    let fixture = fixture(Egress::Any, limits(), None);
    for _ in 0..3 {
        let request = get(&format!("http://{address}/path")).map(|_| body("hello"));
        let response = fixture.send(request).await.unwrap();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(bytes, format!("{address} /path 5"));
        // The connection goes back to the pool a moment after the body's end.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_request_to_a_host_that_is_not_declared_is_denied_and_explained() {
    let fixture = fixture(Egress::Any, limits(), None);
    let denied = fixture.text("http://evil.example/").await;
    assert!(
        matches!(denied, Err(Error::HttpRequestDenied)),
        "{denied:?}"
    );
    let log = fixture.log();
    assert!(
        log.contains("http://evil.example:80, which is not in allowed_outbound_hosts"),
        "{log}"
    );
    let upper = fixture.text("http://EVIL.example/").await;
    assert!(matches!(upper, Err(Error::HttpRequestDenied)), "{upper:?}");
}

#[tokio::test]
async fn a_machine_named_self_is_not_the_application() {
    let (address, connections) = server(echo).await;
    let resolver = || Arc::new(Scripted(Mutex::new(vec![vec!["127.0.0.1"]])));
    for host in ["self", "SELF"] {
        let fixture = fixture(Egress::Any, limits(), Some(resolver()));
        let uri = format!("http://{host}:{}/", address.port());
        let denied = fixture.text(&uri).await;
        assert!(
            matches!(denied, Err(Error::HttpRequestDenied)),
            "{denied:?}"
        );
        let log = fixture.log();
        assert!(log.contains("the application itself is self.alt"), "{log}");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn user_information_and_tunnels_are_denied() {
    let fixture = fixture(Egress::Any, limits(), None);
    let denied = fixture.text("http://good.example@evil.example/").await;
    assert!(
        matches!(denied, Err(Error::HttpRequestDenied)),
        "{denied:?}"
    );
    let mut connect = get("http://good.example/");
    *connect.method_mut() = http::Method::CONNECT;
    let denied = fixture.send(connect).await.map(drop);
    assert!(
        matches!(denied, Err(Error::HttpRequestDenied)),
        "{denied:?}"
    );
}

#[tokio::test]
async fn tenants_do_not_reach_this_machine_under_any_of_its_names() {
    let (address, connections) = server(echo).await;
    let port = address.port();
    let fixture = fixture(Egress::Public, limits(), None);
    for host in [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
    ] {
        let uri = format!("http://{host}:{port}/");
        // Some of these are not names to every resolver.
        let denied = fixture.text(&uri).await;
        let is_refused = matches!(
            denied,
            Err(Error::HttpRequestDenied | Error::DnsError { .. })
        );
        assert!(is_refused, "{host}: {denied:?}");
    }
    let log = fixture.log();
    assert!(
        log.contains("127.0.0.1 belongs to this machine or a private network"),
        "{log}"
    );
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_address_gains_nothing() {
    let (address, connections) = server(echo).await;
    // Public when first asked about, this machine ever after. What is connected to is what was checked.
    let resolver = Scripted(Mutex::new(vec![vec!["203.0.113.9"], vec!["127.0.0.1"]]));
    let limits = Limits {
        connect_timeout: Duration::from_millis(300),
        ..limits()
    };
    let fixture = fixture(Egress::Public, limits, Some(Arc::new(resolver)));
    let uri = format!("http://rebinding.example:{}/", address.port());
    fixture.text(&uri).await.unwrap_err();
    for _ in 0..2 {
        let denied = fixture.text(&uri).await;
        assert!(
            matches!(denied, Err(Error::HttpRequestDenied)),
            "{denied:?}"
        );
    }
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn of_several_addresses_only_the_permitted_are_tried() {
    let (address, connections) = server(echo).await;
    let mapped = vec![
        "::ffff:127.0.0.1",
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
    ];
    let resolver = Scripted(Mutex::new(vec![mapped]));
    let fixture = fixture(Egress::Public, limits(), Some(Arc::new(resolver)));
    let denied = fixture
        .text(&format!("http://mixed.example:{}/", address.port()))
        .await;
    assert!(
        matches!(denied, Err(Error::HttpRequestDenied)),
        "{denied:?}"
    );
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn the_platform_reaches_this_machine() {
    let (address, _connections) = server(echo).await;
    let fixture = fixture(Egress::Any, limits(), None);
    let text = fixture
        .text(&format!("http://localhost:{}/", address.port()))
        .await
        .unwrap();
    assert!(text.starts_with("localhost:"), "{text}");
}

#[tokio::test]
async fn a_call_to_a_component_is_chained_and_counted() {
    let fixture = fixture(Egress::Public, limits(), None);
    let text = fixture
        .text("http://auth.spin.internal/verify")
        .await
        .unwrap();
    assert_eq!(text, "auth /verify 1");
    let denied = fixture.text("https://auth.spin.internal/verify").await;
    assert!(
        matches!(denied, Err(Error::HttpRequestDenied)),
        "{denied:?}"
    );

    let mut state = OutboundHttpState::new(Arc::clone(&fixture.outbound));
    state.set_origin(Origin {
        depth: ChainDepth(16),
        ..Origin::default()
    });
    let request = get("http://auth.spin.internal/verify");
    let sent = state.send_request(request, None, Box::new(async { Ok(()) }));
    let looped = Box::into_pin(sent).await.map(drop);
    assert!(matches!(looped, Err(Error::LoopDetected)), "{looped:?}");
}

#[tokio::test]
async fn bodies_have_a_largest_size() {
    let large = async |_request| Response::new(body(vec![0; 2000]));
    let (address, _connections) = server(large).await;
    let small = Limits {
        max_request_body_bytes: 1000,
        max_response_body_bytes: 1000,
        ..limits()
    };
    let fixture = fixture(Egress::Any, small, None);
    let uri = format!("http://{address}/");
    let cut = fixture.text(&uri).await;
    assert!(
        matches!(cut, Err(Error::HttpResponseBodySize(Some(1000)))),
        "{cut:?}"
    );

    let (address, _connections) = server(echo).await;
    let request = get(&format!("http://{address}/")).map(|_| body(vec![0; 1001]));
    let cut = fixture.send(request).await.map(drop);
    assert!(
        matches!(cut, Err(Error::HttpRequestBodySize(Some(1000)))),
        "{cut:?}"
    );
}

#[tokio::test]
async fn a_server_that_stalls_is_given_up() {
    let (address, _connections) = server(|request: Request<Incoming>| async move {
        if request.uri().path() == "/silent" {
            std::future::pending::<()>().await;
        }
        Response::new(Stalling(Some(Bytes::from_static(b"x"))).boxed_unsync())
    })
    .await;
    let quick = Limits {
        first_byte_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_millis(200),
        ..limits()
    };
    let fixture = fixture(Egress::Any, quick, None);
    let late = fixture.text(&format!("http://{address}/silent")).await;
    assert!(
        matches!(late, Err(Error::ConnectionReadTimeout)),
        "{late:?}"
    );
    let late = fixture.text(&format!("http://{address}/stalling")).await;
    assert!(
        matches!(late, Err(Error::ConnectionReadTimeout)),
        "{late:?}"
    );
}

#[tokio::test]
async fn requests_of_one_instance_wait_for_each_other() {
    let (address, _connections) = server(|_request| async {
        Response::new(Stalling(Some(Bytes::from_static(b"x"))).boxed_unsync())
    })
    .await;
    let few = Limits {
        max_requests_per_instance: 1,
        connect_timeout: Duration::from_millis(200),
        ..limits()
    };
    let fixture = fixture(Egress::Any, few, None);
    let mut state = OutboundHttpState::new(Arc::clone(&fixture.outbound));
    let mut send = || {
        let request = get(&format!("http://{address}/"));
        Box::into_pin(state.send_request(request, None, Box::new(async { Ok(()) })))
    };
    let (first, second, third) = (send(), send(), send());
    let first = first.await.unwrap();
    let refused = second.await.map(drop);
    assert!(
        matches!(refused, Err(Error::ConnectionLimitReached)),
        "{refused:?}"
    );
    drop(first);
    third.await.map(drop).unwrap();
}

#[tokio::test]
async fn what_can_not_be_reached_is_told_apart() {
    let fixture = fixture(Egress::Any, limits(), None);
    let unknown = fixture.text("http://no-such-host.invalid/").await;
    assert!(
        matches!(unknown, Err(Error::DnsError { .. })),
        "{unknown:?}"
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let closed = fixture.text(&format!("http://{address}/")).await;
    assert!(matches!(closed, Err(Error::Connect(_))), "{closed:?}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    // Something that does not speak TLS at all is the simplest of them.
    let (address, _connections) = server(echo).await;
    let fixture = fixture(Egress::Any, limits(), None);
    let refused = fixture.text(&format!("https://{address}/")).await;
    assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");
    assert!(fixture.log().contains("TLS"), "{}", fixture.log());
}

#[tokio::test]
async fn open_connections_are_counted_those_that_are_kept_too() {
    let (first, _connections) = server(echo).await;
    let (second, _connections) = server(echo).await;
    let brief = Limits {
        connect_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(400),
        ..limits()
    };
    let fixture = fixture_with(Egress::Any, brief, 1, None);
    fixture.text(&format!("http://{first}/")).await.unwrap();
    let uri = format!("http://{second}/");
    let crowded = fixture.text(&uri).await;
    assert!(
        matches!(crowded, Err(Error::ConnectionLimitReached)),
        "{crowded:?}"
    );
    let log = fixture.log();
    assert!(log.contains("too many connections are open"), "{log}");
    // The one that is kept is closed after a while.
    let began = std::time::Instant::now();
    while fixture.text(&uri).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "it stays open");
    }
}
