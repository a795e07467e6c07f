//! Requests and answers: routing, Spin's headers, sizes, connections.

use std::time::Duration;

use nokube_engine::{Limits, Reuse};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Reply, Stage, exchange};

fn headers(echo: &Value, name: &str) -> Vec<String> {
    let all = echo["headers"].as_array().expect("headers");
    let ours = all.iter().filter(|pair| pair[0] == name);
    ours.map(|pair| pair[1].as_str().expect("text").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_sees_the_request_with_headers_as_spin_sets_them() {
    let served = Stage::new("echo").serve().await;
    let lies = "spin-client-addr: 1.2.3.4:5\r\nspin-invented: x\r\nx-nokube-client-addr: 1.2.3.4:5\r\nx-request-id: abc\r\n";
    let reply = served.get_with("/echo?a=b", lies).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let echo = reply.json();
    assert_eq!(echo["target"], "/echo?a=b");
    assert_eq!(
        headers(&echo, "spin-full-url"),
        ["http://echo.test/echo?a=b"]
    );
    assert_eq!(headers(&echo, "spin-path-info"), ["/echo"]);
    assert_eq!(headers(&echo, "spin-matched-route"), ["/..."]);
    assert_eq!(headers(&echo, "spin-component-route"), [""]);
    assert_eq!(headers(&echo, "spin-base-path"), ["/"]);
    let addr = headers(&echo, "spin-client-addr");
    assert!(
        addr.len() == 1 && addr[0].starts_with("127.0.0.1:"),
        "{addr:?}"
    );
    assert!(headers(&echo, "spin-invented").is_empty());
    assert!(headers(&echo, "x-nokube-client-addr").is_empty());
    assert_eq!(headers(&echo, "x-request-id"), ["abc"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_most_specific_public_route_answers_and_private_ones_do_not() {
    let routes = [
        ("all", json!("/a/...")),
        ("one", json!("/a/:name")),
        ("hidden", json!({ "private": true })),
    ];
    let served = Stage::of("routes", &routes, &Value::Null).serve().await;
    let echo = |reply: Reply| {
        if reply.status == 200 {
            reply.json()
        } else {
            json!(reply.status)
        }
    };
    // The probe answers only paths it knows; the echo it gives for none of these says enough.
    let one = served.get("/a/ok").await;
    assert_eq!(
        (one.status, one.body.as_str()),
        (502, "no such path: /a/ok")
    );
    for path in ["/b", "/hidden", "/"] {
        let reply = served.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(echo(reply), json!(404));
    }
    assert_eq!(served.get("/.well-known/spin/health").await.body, "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_host_is_a_problem_with_a_request_id() {
    let served = Stage::new("known").serve().await;
    let reply = exchange(
        served.addr,
        b"GET / HTTP/1.1\r\nhost: other.test\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(reply.status, 404);
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json")
    );
    let problem = reply.json();
    assert_eq!(problem["request_id"].as_str(), reply.header("x-request-id"));
    assert_eq!(problem["instance"], "/");
    assert!(problem["detail"].is_string(), "{problem}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    let same = exchange(
        served.addr,
        b"GET /ok HTTP/1.1\r\nhost: KNOWN.test:80\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!((same.status, same.body.as_str()), (200, "ok"));
    let own = same.header("content-security-policy");
    assert_eq!(own, None, "an application's answer is its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_kept_for_many_requests() {
    let served = Stage::new("kept").serve().await;
    let mut stream = TcpStream::connect(served.addr).await.expect("a connection");
    for _ in 0..3 {
        stream
            .write_all(b"GET /ok HTTP/1.1\r\nhost: kept.test\r\n\r\n")
            .await
            .expect("sent");
        let mut bytes = [0; 1024];
        let length = stream.read(&mut bytes).await.expect("answered");
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        assert!(
            text.starts_with("HTTP/1.1 200") && text.ends_with("ok"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_instance_serves_each_request_unless_reuse_is_asked_for() {
    let served = Stage::new("fresh").serve().await;
    for _ in 0..3 {
        assert_eq!(served.get("/served").await.body, "1");
    }
    let mut stage = Stage::new("reused");
    stage.config.reuse = Reuse {
        max_requests_per_instance: 3,
        idle_ms: 10_000,
    };
    let served = stage.serve().await;
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(served.get("/served").await.body);
    }
    assert_eq!(seen, ["1", "2", "3", "1", "2", "3", "1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_refused_before_and_while_it_is_read() {
    let mut stage = Stage::new("bodies");
    stage.config.limits = Limits {
        request_body_bytes: 1_000,
        ..Limits::default()
    };
    let served = stage.serve().await;
    let fits = format!(
        "POST /echo HTTP/1.1\r\nhost: bodies.test\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n{}",
        "x".repeat(1000)
    );
    let reply = exchange(served.addr, fits.as_bytes()).await;
    assert_eq!(reply.json()["body_bytes"], 1000);
    let declared = b"POST /echo HTTP/1.1\r\nhost: bodies.test\r\nconnection: close\r\ncontent-length: 1001\r\n\r\n";
    let reply = exchange(served.addr, declared).await;
    assert_eq!(reply.status, 413);
    assert_eq!(reply.json()["type"], "/problems/body-too-large");
    let chunk = format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001));
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nhost: bodies.test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"
    );
    let reply = exchange(served.addr, chunked.as_bytes()).await;
    assert_eq!(reply.status, 413, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_does_not_read_a_body_may_answer_one_of_any_size() {
    let mut stage = Stage::new("unread");
    stage.config.limits.request_body_bytes = 1_000;
    let served = stage.serve().await;
    let mut stream = TcpStream::connect(served.addr).await.expect("a connection");
    let size = 9 << 20;
    let head = format!("POST /ok HTTP/1.1\r\nhost: unread.test\r\ncontent-length: {size}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream
        .write_all(&vec![b'x'; size])
        .await
        .expect("the whole body is taken");
    let reply = Reply::read(&mut stream).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "ok"));
    assert!(reply.complete);
    assert_eq!(reply.header("connection"), Some("close"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_held_back_is_asked_for_when_it_is_read() {
    let served = Stage::new("expecting").serve().await;
    let request = |path: &str| {
        let size = 1 << 20;
        let head = format!("POST {path} HTTP/1.1\r\nhost: expecting.test\r\n");
        format!("{head}content-length: {size}\r\nexpect: 100-continue\r\n\r\n")
    };
    // The connection ends with the answer: nothing was sent, and nothing was asked for.
    let reply = exchange(served.addr, request("/ok").as_bytes()).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "ok"));
    assert_eq!(reply.header("connection"), Some("close"));

    let mut stream = TcpStream::connect(served.addr).await.expect("a connection");
    let echo = request("/echo");
    stream.write_all(echo.as_bytes()).await.expect("sent");
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut bytes = vec![0; go_on.len()];
    stream.read_exact(&mut bytes).await.expect("asked for");
    assert_eq!(bytes, go_on, "{}", String::from_utf8_lossy(&bytes));
    stream.write_all(&vec![b'x'; 1 << 20]).await.expect("sent");
    let again = "GET /ok HTTP/1.1\r\nhost: expecting.test\r\nconnection: close\r\n\r\n";
    stream.write_all(again.as_bytes()).await.expect("sent");
    let reply = Reply::read(&mut stream).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.body.contains(r#""body_bytes":1048576"#), "{reply:?}");
    assert!(
        reply.body.ends_with("ok"),
        "the connection is kept: {reply:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_still_sends_a_refused_body_gets_the_answer() {
    let served = Stage::new("lingering").serve().await;
    let mut stream = TcpStream::connect(served.addr).await.expect("a connection");
    let size = 50 << 20;
    let head =
        format!("POST /echo HTTP/1.1\r\nhost: lingering.test\r\ncontent-length: {size}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    // It does not look at the answer before everything is sent, as simple clients do.
    stream
        .write_all(&vec![b'x'; size])
        .await
        .expect("the whole body is taken");
    let reply = Reply::read(&mut stream).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    assert!(reply.complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_gets_an_answer() {
    let served = Stage::new("nonsense").serve().await;
    let no_host = exchange(served.addr, b"GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(no_host.status, 404);
    let garbage = exchange(served.addr, b"\x16\x03\x01 nothing\r\n\r\n").await;
    assert_eq!(garbage.status, 400);
    let huge = format!(
        "GET / HTTP/1.1\r\nhost: nonsense.test\r\nx: {}\r\n\r\n",
        "x".repeat(300_000)
    );
    assert_eq!(exchange(served.addr, huge.as_bytes()).await.status, 431);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_whose_client_went_away_is_stopped() {
    let served = Stage::new("gone").serve().await;
    let mut stream = TcpStream::connect(served.addr).await.expect("a connection");
    stream
        .write_all(b"GET /sleep HTTP/1.1\r\nhost: gone.test\r\n\r\n")
        .await
        .expect("sent");
    let app = served.registry.by_id("gone").expect("it is there");
    while app.in_flight() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stream);
    assert!(
        app.drain(Duration::from_secs(5)).await,
        "the sleeper still runs"
    );
}
