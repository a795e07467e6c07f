//! Listeners and connections: the front process's socket, the graceful end, clients that dawdle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nokube_engine::Registry;
use nokube_engine::server::{self, ServerOptions};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::Stage;

async fn registry(stage: &Stage) -> Arc<Registry> {
    let registry = Registry::new();
    registry.put(stage.load().await);
    Arc::new(registry)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_front_process_is_believed_about_its_client() {
    let stage = Stage::new("front");
    let path = stage.dir.path().join("http.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let stop = CancellationToken::new();
    tokio::spawn(server::serve(
        listener,
        registry(&stage).await,
        ServerOptions::default(),
        stop.clone(),
    ));
    let mut stream = UnixStream::connect(&path).await.expect("a connection");
    let request = "GET /echo HTTP/1.1\r\nhost: front.test\r\nconnection: close\r\nspin-client-addr: 6.6.6.6:6\r\nx-nokube-client-addr: 192.0.2.7:4711\r\nx-nokube-client-scheme: https\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    let (_, body) = text.split_once("\r\n\r\n").expect("a head");
    let echo: Value = serde_json::from_str(body).expect("JSON");
    let headers = echo["headers"].to_string();
    assert!(
        headers.contains(r#"["spin-client-addr","192.0.2.7:4711"]"#),
        "{headers}"
    );
    assert!(headers.contains("https://front.test/echo"), "{headers}");
    assert!(
        !headers.contains("6.6.6.6") && !headers.contains("x-nokube"),
        "{headers}"
    );
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_finishes_what_it_began() {
    let stage = Stage::new("ending");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let registry = registry(&stage).await;
    let app = registry.by_id("ending").expect("it is there");
    let serving = tokio::spawn(server::serve(
        listener,
        registry,
        ServerOptions::default(),
        stop.clone(),
    ));
    let idle = TcpStream::connect(addr).await.expect("a connection");
    let slow = tokio::spawn(async move {
        crate::support::exchange(
            addr,
            b"GET /nap?300 HTTP/1.1\r\nhost: ending.test\r\nconnection: close\r\n\r\n",
        )
        .await
    });
    while app.in_flight() == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.cancel();
    assert_eq!(slow.await.expect("no panic").body, "rested");
    let ended = timeout(Duration::from_secs(5), serving).await;
    assert!(ended.is_ok(), "an idle connection keeps nothing alive");
    assert!(
        TcpStream::connect(addr).await.is_err(),
        "nobody listens any more"
    );
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_finishes_its_head_is_cut_off() {
    let stage = Stage::new("dawdle");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let options = ServerOptions {
        header_read_ms: 200,
        ..ServerOptions::default()
    };
    tokio::spawn(server::serve(
        listener,
        registry(&stage).await,
        options,
        stop.clone(),
    ));
    // What there is of it at once, and a byte more from time to time.
    for drips in [false, true] {
        let began = Instant::now();
        let stream = TcpStream::connect(addr).await.expect("a connection");
        let (mut reader, mut writer) = stream.into_split();
        let head = b"GET / HTTP/1.1\r\nhost: dawdle.test\r\n";
        writer.write_all(head).await.expect("sent");
        let dripping = tokio::spawn(async move {
            while drips && writer.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Still open: it is not the client who ends.
            std::future::pending::<()>().await;
        });
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_secs(10), reader.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "drips: {drips}");
        assert!(began.elapsed() >= Duration::from_millis(200), "{rest:?}");
        dripping.abort();
    }
    stop.cancel();
}

/// The bound of a pause is ten seconds, which is what this waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_finishes_its_body_is_told_so() {
    let served = Stage::new("slow-body").serve().await;
    let mut stream = TcpStream::connect(served.addr).await.expect("a connection");
    let head = "POST /echo HTTP/1.1\r\nhost: slow-body.test\r\ncontent-length: 10\r\n\r\n12345";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let ended = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(ended.is_ok(), "it was never given up: {answer}");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("body-too-slow"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_allowed_wait_for_a_place() {
    let stage = Stage::new("places");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let options = ServerOptions {
        max_connections: 1,
        ..ServerOptions::default()
    };
    let registry = registry(&stage).await;
    let app = registry.by_id("places").expect("it is there");
    tokio::spawn(server::serve(listener, registry, options, stop.clone()));
    let ask = |path: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: places.test\r\nconnection: close\r\n\r\n");
        tokio::spawn(async move { crate::support::exchange(addr, request.as_bytes()).await })
    };
    let first = ask("/nap?500");
    while app.in_flight() == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let second = ask("/ok");
    assert_eq!(first.await.expect("no panic").body, "rested");
    let answer = timeout(Duration::from_secs(10), second)
        .await
        .expect("in time");
    assert_eq!(answer.expect("no panic").body, "ok");
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_idles_makes_room_for_another() {
    let stage = Stage::new("room");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let options = ServerOptions {
        max_connections: 2,
        ..ServerOptions::default()
    };
    tokio::spawn(server::serve(
        listener,
        registry(&stage).await,
        options,
        stop.clone(),
    ));
    // Kept alive after its answer.
    let mut kept = TcpStream::connect(addr).await.expect("a connection");
    kept.write_all(b"GET /ok HTTP/1.1\r\nhost: room.test\r\n\r\n")
        .await
        .expect("sent");
    let mut bytes = [0; 1024];
    assert!(kept.read(&mut bytes).await.expect("answered") > 0);
    // Says nothing at all.
    let mut silent = TcpStream::connect(addr).await.expect("a connection");
    for _ in 0..3 {
        let request = b"GET /ok HTTP/1.1\r\nhost: room.test\r\nconnection: close\r\n\r\n";
        let answer = crate::support::exchange(addr, request);
        let answer = timeout(Duration::from_secs(10), answer).await;
        assert_eq!(answer.expect("in time").body, "ok");
    }
    // Which of the two has idled for longer depends on when the server noticed that its answer was taken.
    let mut other = [0; 1024];
    let ended = timeout(Duration::from_secs(10), async {
        tokio::select! {
            () = until_closed(&mut kept, &mut bytes) => {}
            () = until_closed(&mut silent, &mut other) => {}
        }
    });
    assert!(ended.await.is_ok(), "one that idles is closed");
    stop.cancel();
}

async fn until_closed(connection: &mut TcpStream, bytes: &mut [u8]) {
    while connection.read(bytes).await.is_ok_and(|length| length > 0) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_its_answer_too_slowly_is_cut_off() {
    const LENGTH: usize = 32 << 20;
    let stage = Stage::new("sipper");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let options = ServerOptions {
        write_stall_ms: 500,
        min_write_rate: 16 << 20,
        ..ServerOptions::default()
    };
    let registry = registry(&stage).await;
    let app = registry.by_id("sipper").expect("it is there");
    tokio::spawn(server::serve(listener, registry, options, stop.clone()));
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    stream
        .write_all(format!("GET /bytes?{LENGTH} HTTP/1.1\r\nhost: sipper.test\r\n\r\n").as_bytes())
        .await
        .expect("sent");
    let mut bytes = vec![0; 64 << 10];
    let mut taken = 0;
    // Always some, never enough: at most 64 KiB in 20 ms.
    while let Ok(length @ 1..) = stream.read(&mut bytes).await {
        taken += length;
        assert!(taken < LENGTH, "it was served to the end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while app.in_flight() > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.cancel();
}
