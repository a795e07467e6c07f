//! Many requests at once, of clients that keep their connections: nobody is turned away who gets a place in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nokube_engine::{Engine, EngineOptions, Registry, Reuse};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::guests;
use crate::support::{Served, Stage};

/// A connection that is kept.
struct Kept {
    stream: TcpStream,
    host: String,
}

impl Kept {
    async fn open(served: &Served) -> Self {
        let stream = TcpStream::connect(served.addr).await.expect("a connection");
        Self {
            stream,
            host: served.host().to_owned(),
        }
    }

    /// The whole answer, whose end is known by these bytes.
    async fn get(&mut self, path: &str, end: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        self.stream
            .write_all(request.as_bytes())
            .await
            .expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            let read = self.stream.read_buf(&mut answer).await.expect("answered");
            let so_far = String::from_utf8_lossy(&answer);
            assert!(read > 0 && so_far.starts_with("HTTP/1.1 200 "), "{so_far}");
        }
        String::from_utf8(answer).expect("text")
    }
}

/// So many clients that each ask so often; every answer has to be a success and end with these bytes.
async fn crowd(served: &Arc<Served>, clients: usize, each: usize, end: &'static str) {
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let served = Arc::clone(served);
            tokio::spawn(async move {
                let mut kept = Kept::open(&served).await;
                for _ in 0..each {
                    kept.get("/ok", end).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("every answer is a success");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_clients_of_one_application_all_get_their_turn_and_leave_no_place_taken() {
    let probe = |id: &str, requests: u32| {
        let mut stage = Stage::new(id);
        stage.config.reuse.max_requests_per_instance = requests;
        (stage, "\r\n\r\nok")
    };
    let hello = |id: &str, metadata: Value| {
        let mut stage = guests::stage("wasi03_hello", &metadata);
        stage.config.id = id.to_owned();
        (stage, "\r\n\r\nhello")
    };
    let shared = json!({ "nokube": { "reuse": { "requests": 128, "concurrent": 16 } } });
    for (stage, end) in [
        probe("crowd-fresh", 1),
        probe("crowd-reused", 128),
        hello("crowd-fresh-3", json!({})),
        hello("crowd-shared-3", shared),
    ] {
        let id = stage.config.id.clone();
        let served = Arc::new(stage.serve().await);
        crowd(&served, 64, 40, end).await;
        let app = served.registry.by_id(&id).expect("it is there");
        // Far below the time after which a request that is stuck would be ended.
        let is_drained = app.drain(Duration::from_secs(10)).await;
        assert!(is_drained, "{id}: {} are in flight", app.in_flight());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_of_the_engine_is_free_only_when_the_instance_before_is_gone() {
    let engine = Engine::new(EngineOptions {
        max_instances: 2,
        ..EngineOptions::tenants()
    });
    let stage = Stage::new("narrow");
    let registry = Registry::new();
    let app = engine.expect("an engine").load(stage.config.clone()).await;
    registry.put(app.expect("the application loads"));
    let served = Arc::new(Served::start(registry, stage).await);
    crowd(&served, 16, 200, "\r\n\r\nok").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_idle_make_room_for_other_components() {
    let routes = [("one", json!("/one/...")), ("other", json!("/other/..."))];
    let mut stage = Stage::of("roommates", &routes, &Value::Null);
    stage.config.share.instances = 2;
    stage.config.reuse = Reuse {
        max_requests_per_instance: 100,
        idle_ms: 60_000,
    };
    let served = stage.serve().await;
    let both = tokio::join!(served.get("/one/nap?300"), served.get("/one/nap?300"));
    assert_eq!((both.0.status, both.1.status), (200, 200));
    // Both places are taken by instances that do nothing for a minute.
    let other = served.get("/other/served").await;
    assert_eq!((other.status, other.body.as_str()), (200, "1"), "{other:?}");
    assert_eq!(served.get("/one/served").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_idles_makes_room_in_memory_for_another_component() {
    let routes = [("one", json!("/one/...")), ("other", json!("/other/..."))];
    let mut stage = Stage::of("neighbours", &routes, &Value::Null);
    // What is left beside 46 MiB is less than the probe begins with.
    stage.config.share.memory_bytes = 48 << 20;
    stage.config.reuse = Reuse {
        max_requests_per_instance: 100,
        idle_ms: 60_000,
    };
    let served = stage.serve().await;
    assert_eq!(served.get("/one/grow?46").await.body, "46");
    let other = served.get("/other/ok").await;
    assert_eq!(
        (other.status, other.body.as_str()),
        (200, "ok"),
        "{other:?}"
    );
}

/// Without TCP_NODELAY the end of an answer waits until the client has acknowledged its beginning, which clients put off
/// for 40 ms in the hope of sending something along (RFC 9293, 3.8.6.3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunked_answers_on_a_kept_connection_wait_for_no_acknowledgement() {
    const ANSWERS: usize = 50;
    const PUT_OFF: Duration = Duration::from_millis(40);
    let served = Stage::new("chunks").serve().await;
    let mut kept = Kept::open(&served).await;
    let mut took = Vec::new();
    for _ in 0..ANSWERS {
        let began = Instant::now();
        let answer = kept.get("/stream?/ok", "\r\n0\r\n\r\n").await;
        took.push(began.elapsed());
        let head = answer.to_ascii_lowercase();
        assert!(head.contains("transfer-encoding: chunked"), "{answer}");
        assert!(answer.contains("begun") && answer.contains("done"));
    }
    // A busy machine delays some; an acknowledgement that is waited for would delay nearly all.
    took.sort();
    let median = took[ANSWERS / 2];
    assert!(median < PUT_OFF / 2, "{took:?}");
}
