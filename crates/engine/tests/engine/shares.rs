//! What one application takes is its own share: others find what they need.

use std::sync::Arc;
use std::time::Duration;

use nokube_engine::ShareLimits;
use serde_json::{Value, json};

use crate::support::Stage;

/// Never ends by itself.
const ENDLESS: &str =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";

/// As many threads for blocking work as the tenants' process has.
const BLOCKING_THREADS: usize = 16;

#[test]
fn endless_statements_of_one_application_leave_others_their_databases_files_and_names() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let greedy = Arc::new(
            Stage::with_databases("greedy", &["one", "two"])
                .serve()
                .await,
        );
        let mut stage = Stage::with_databases("modest", &["default"]);
        let files = stage.dir.path().join("files");
        std::fs::create_dir(&files).expect("a folder");
        std::fs::write(files.join("hello.txt"), "hello").expect("a file");
        if let Some(component) = stage.config.components.get_mut("probe") {
            component.files = Some(files);
        }
        let modest = stage.serve().await;
        assert_eq!(modest.get("/sqlite?default").await.body, "1");

        // Each runs for five seconds.
        let endless: Vec<_> = ["/sql?one", "/sql?two"]
            .into_iter()
            .cycle()
            .take(BLOCKING_THREADS)
            .map(|path| {
                let greedy = Arc::clone(&greedy);
                tokio::spawn(async move { greedy.post(path, ENDLESS).await })
            })
            .collect();
        let app = greedy.registry.by_id("greedy").expect("it is there");
        while app.in_flight() < BLOCKING_THREADS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(modest.get("/sqlite?default").await.body, "2");
        assert_eq!(modest.get("/files").await.json()["text"], "hello");
        let fetched = modest.get("/fetch?http://localhost:1/").await;
        assert_eq!(fetched.status, 502, "{fetched:?}");
        modest.logged("belongs to this machine").await;
        assert!(
            endless.iter().all(|request| !request.is_finished()),
            "others were served only after the endless statements were interrupted"
        );
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_does_not_get_past_the_bounds_of_its_database() {
    let served = Stage::with_databases("sql", &["default"]).serve().await;
    let ask = async |sql: &str| served.post("/sql?default", sql).await;
    assert_eq!(ask("SELECT 1 + 1").await.body, "2");
    for (sql, reason) in [
        ("ATTACH '/etc/passwd' AS other", "not authorized"),
        ("SELECT zeroblob(4194305)", "too big"),
        (
            "SELECT replace(hex(zeroblob(2000000)), '0', 'abc')",
            "too big",
        ),
        (
            "SELECT hex(zeroblob(2000000)) LIKE '%' || hex(zeroblob(2000)) || 'b'",
            "interrupted: the statement ran for more than 5000 ms",
        ),
        (
            "CREATE TEMP TABLE t AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 60) SELECT zeroblob(4000000) FROM c",
            "out of memory",
        ),
    ] {
        let reply = ask(sql).await;
        assert_eq!(reply.status, 502, "{sql}: {reply:?}");
        assert!(reply.body.contains(reason), "{sql}: {reply:?}");
    }
    let page_size =
        "PRAGMA journal_mode = delete\nPRAGMA page_size = 65536\nVACUUM\nPRAGMA page_size";
    assert_eq!(ask(page_size).await.body, "4096");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleeping_components_of_one_application_leave_instances_to_others() {
    let names: Vec<String> = ('a'..='h')
        .map(|letter| format!("sleeper-{letter}"))
        .collect();
    let routes: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), json!(format!("/{name}/..."))))
        .collect();
    let greedy = Arc::new(Stage::of("sleepers", &routes, &Value::Null).serve().await);
    let modest = Stage::new("waker").serve().await;
    // As many as the engine has instances: 32 at once for each component.
    let naps: Vec<_> = names
        .iter()
        .cycle()
        .take(256)
        .map(|name| {
            let (greedy, path) = (Arc::clone(&greedy), format!("/{name}/nap?6000"));
            tokio::spawn(async move { greedy.get(&path).await.status })
        })
        .collect();
    let app = greedy.registry.by_id("sleepers").expect("it is there");
    while app.in_flight() < 256 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..5 {
        assert_eq!(modest.get("/ok").await.status, 200);
    }
    assert!(
        naps.iter().filter(|nap| !nap.is_finished()).count() >= 64,
        "others were served only after the sleepers had slept"
    );
    let mut served = 0;
    for nap in naps {
        match nap.await.expect("no panic") {
            200 => served += 1,
            status => assert_eq!(status, 503),
        }
    }
    assert_eq!(served, 64, "the application's share");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_one_application_share_its_memory() {
    let mut stage = Stage::new("memory-share");
    stage.config.share = ShareLimits {
        memory_bytes: 48 << 20,
        ..ShareLimits::default()
    };
    let served = Arc::new(stage.serve().await);
    assert_eq!(served.get("/grow?30").await.body, "30");
    let holder = tokio::spawn({
        let served = Arc::clone(&served);
        async move { served.get("/hold?30").await.body }
    });
    served.logged("held 30").await;
    assert_eq!(served.get("/grow?30").await.status, 500);
    served
        .logged("memory limit reached: more than 50331648 bytes")
        .await;
    assert_eq!(holder.await.expect("no panic"), "30");
    assert_eq!(served.get("/grow?30").await.body, "30");
}
