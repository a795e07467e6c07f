//! Measurements, to be run by hand on a quiet machine:
//! `NOKUBE_MEASURE=1 cargo test --release -p nokube-engine --test engine measure -- --nocapture --test-threads 1`.
//! Otherwise they do nothing: figures of a busy machine say nothing, and nothing is asserted about them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nokube_engine::Reuse;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::guests;
use crate::support::{Served, Stage, engine};

fn wanted() -> bool {
    std::env::var_os("NOKUBE_MEASURE").is_some()
}

/// Another component than the probe can be measured: `NOKUBE_MEASURE_WASM=hello.wasm`.
fn stage(id: &str, reuse: Reuse) -> Stage {
    let mut stage = Stage::new(id);
    stage.config.reuse = reuse;
    stage.config.limits.concurrency = 64;
    if let Some(wasm) = std::env::var_os("NOKUBE_MEASURE_WASM") {
        let native = stage.dir.path().join("measured.cwasm");
        let began = Instant::now();
        engine()
            .compile_file(&PathBuf::from(wasm), &native)
            .expect("it compiles");
        eprintln!("compiled in {:?}", began.elapsed());
        if let Some(component) = stage.config.components.get_mut("probe") {
            component.module = native;
        }
    }
    stage
}

async fn load(served: &Arc<Served>, path: &'static str, connections: usize, time: Duration) {
    let ended = Instant::now() + time;
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            let served = Arc::clone(served);
            tokio::spawn(async move {
                let mut times = Vec::new();
                let mut stream = TcpStream::connect(served.addr).await.expect("a connection");
                let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", served.host());
                let mut bytes = vec![0; 4096];
                while Instant::now() < ended {
                    let began = Instant::now();
                    stream.write_all(request.as_bytes()).await.expect("sent");
                    let mut length = 0;
                    while !is_whole(&bytes[..length]) {
                        length += stream.read(&mut bytes[length..]).await.expect("answered");
                    }
                    times.push(began.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.expect("no failed request"));
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let rate = times.len() as f64 / time.as_secs_f64();
    eprintln!(
        "{connections:>3} connections: {rate:>7.0} requests/s, p50 {:?}, p99 {:?}, {} MiB resident",
        at(0.5),
        at(0.99),
        resident_mebibytes()
    );
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    assert!(head.starts_with("HTTP/1.1 200"), "{text}");
    match head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
    {
        Some(length) => body.len().to_string() == length,
        None => body.ends_with("0\r\n\r\n"),
    }
}

fn resident_mebibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or_default()
        / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measure_requests_per_second() {
    if !wanted() {
        return;
    }
    let reused = Reuse {
        max_requests_per_instance: 1_000,
        idle_ms: 1_000,
    };
    for (name, reuse) in [("fresh", Reuse::default()), ("reused", reused)] {
        let served = Arc::new(stage(name, reuse).serve().await);
        eprintln!("{name}:");
        for connections in [1, 16, 64] {
            load(&served, "/ok", connections, Duration::from_secs(3)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measure_requests_at_once_in_one_instance() {
    if !wanted() {
        return;
    }
    for (name, guest, concurrent) in [
        ("0.2 in turn", "wasi02_hello", 1),
        ("0.3 in turn", "wasi03_hello", 1),
        ("0.3 at once", "wasi03_hello", 16),
    ] {
        let reuse = json!({ "requests": 1_000, "concurrent": concurrent });
        let mut stage = guests::stage(guest, &json!({ "nokube": { "reuse": reuse } }));
        stage.config.limits.concurrency = 64;
        let served = Arc::new(stage.serve().await);
        eprintln!("{name}:");
        for connections in [1, 16, 64] {
            load(&served, "/", connections, Duration::from_secs(3)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measure_cold_start() {
    if !wanted() {
        return;
    }
    let mut stage = stage("cold", Reuse::default());
    stage.config.lazy = true;
    let began = Instant::now();
    let served = stage.serve().await;
    eprintln!("loaded and listening after {:?}", began.elapsed());
    for number in 1..=3 {
        let began = Instant::now();
        assert_eq!(served.get("/ok").await.status, 200);
        eprintln!("request {number} after {:?}", began.elapsed());
    }
    eprintln!("{} MiB resident", resident_mebibytes());
}
