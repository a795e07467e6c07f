//! What one application takes is its own share: others find what they need.

use std::sync::Arc;
use std::time::Duration;

use nokube_engine::{Engine, EngineOptions, Registry, ShareLimits};
use serde_json::{Value, json};

use crate::support::{Served, Stage};

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
    let served = served_of(naps).await;
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

/// On an engine of its own.
async fn served_by(engine: &Engine, stage: Stage) -> Arc<Served> {
    let registry = Registry::new();
    let app = engine.load(stage.config.clone()).await;
    registry.put(app.expect("the application loads"));
    Arc::new(Served::start(registry, stage).await)
}

async fn owned_by(engine: &Engine, owner: &str) -> Arc<Served> {
    let mut stage = Stage::new(&format!("app-of-{owner}"));
    stage.config.owner = owner.to_owned();
    served_by(engine, stage).await
}

fn small_engine(options: EngineOptions) -> Engine {
    Engine::new(EngineOptions {
        max_instances: 16,
        ..options
    })
    .expect("an engine")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_applications_of_one_owner_leave_instances_to_others() {
    let engine = small_engine(EngineOptions::tenants());
    let mut greedy = Vec::new();
    for number in 0..5 {
        let routes = [("one", json!("/one/...")), ("two", json!("/two/..."))];
        let mut stage = Stage::of(&format!("greedy-{number}"), &routes, &Value::Null);
        stage.config.owner = "greedy".to_owned();
        greedy.push(served_by(&engine, stage).await);
    }
    let mut stage = Stage::new("owned-by-another");
    stage.config.owner = "modest".to_owned();
    let modest = served_by(&engine, stage).await;
    let naps: Vec<_> = greedy
        .iter()
        .flat_map(|served| [served; 8])
        .zip(["/one/nap?5000", "/two/nap?5000"].into_iter().cycle())
        .map(|(served, path)| {
            let served = Arc::clone(served);
            tokio::spawn(async move { served.get(path).await.status })
        })
        .collect();
    let in_flight = |served: &Arc<Served>| {
        let id = &served.stage.config.id;
        served.registry.by_id(id).map_or(0, |app| app.in_flight())
    };
    while greedy.iter().map(in_flight).sum::<usize>() < naps.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..5 {
        assert_eq!(modest.get("/ok").await.status, 200);
    }
    let served = served_of(naps).await;
    assert_eq!(served, 8, "half of the engine's");
}

/// How many of these requests were served; all others were told to come again.
async fn served_of(naps: Vec<tokio::task::JoinHandle<u16>>) -> usize {
    let mut served = 0;
    for nap in naps {
        match nap.await.expect("no panic") {
            200 => served += 1,
            status => assert_eq!(status, 503),
        }
    }
    served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_greedy_owners_leave_the_first_instances_of_others() {
    // Of which 56 are anybody's. As many naps as the two may have instances: 32 each.
    const INSTANCES: u32 = 64;
    let engine = Engine::new(EngineOptions {
        max_instances: INSTANCES,
        ..EngineOptions::tenants()
    })
    .expect("an engine");
    let greedy = [
        owned_by(&engine, "greedy").await,
        owned_by(&engine, "greedy-too").await,
    ];
    let modest = owned_by(&engine, "modest").await;
    let naps: Vec<_> = (0..INSTANCES as usize)
        .map(|number| {
            let served = Arc::clone(&greedy[number % 2]);
            tokio::spawn(async move { served.get("/nap?6000").await.status })
        })
        .collect();
    let in_flight = |served: &Arc<Served>| {
        let id = &served.stage.config.id;
        served.registry.by_id(id).map_or(0, |app| app.in_flight())
    };
    while greedy.iter().map(in_flight).sum::<usize>() < naps.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..5 {
        assert_eq!(modest.get("/ok").await.status, 200);
    }
    assert!(
        naps.iter().filter(|nap| !nap.is_finished()).count() >= 60,
        "others were served only after the sleepers had slept"
    );
    let served = served_of(naps).await;
    assert_eq!(served, 56 + 2 * 2, "the common ones, and the first of each");
}

/// Inserts until it is refused; what that said.
async fn filled(served: &Served, path: &str) -> String {
    for _ in 0..100 {
        let insert = "INSERT INTO t VALUES (zeroblob(500000))";
        let reply = served.post(path, insert).await;
        if reply.status != 200 {
            return reply.body;
        }
    }
    panic!("it takes whatever comes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_databases_of_one_application_share_its_disk() {
    const BUDGET: u64 = 16 << 20;
    let mut stage = Stage::with_databases("disk-share", &["one", "two"]);
    stage.config.share.disk_bytes = BUDGET;
    let served = stage.serve().await;
    for path in ["/sql?one", "/sql?two"] {
        let create = "CREATE TABLE t (x)\nINSERT INTO t VALUES (zeroblob(500000))";
        assert_eq!(served.post(path, create).await.status, 200);
    }
    for path in ["/sql?one", "/sql?two"] {
        let refused = filled(&served, path).await;
        assert!(refused.contains("DatabaseFull"), "{refused}");
    }
    let files = std::fs::read_dir(served.stage.dir.path()).expect("a folder");
    let bytes: u64 = files
        .map(|file| file.and_then(|file| file.metadata()))
        .map(|file| file.expect("a file").len())
        .sum();
    // A log that was just written to the end is counted before the next statement.
    assert!(bytes < BUDGET + (8 << 20), "{bytes} bytes");
    // What is deleted makes room in its own database, which need not grow for it.
    let again = "DELETE FROM t WHERE rowid = 1\nINSERT INTO t VALUES (zeroblob(400000))";
    assert_eq!(served.post("/sql?one", again).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_leave_a_reserve_of_the_disk_to_others() {
    let first = Stage::with_databases("before-reserve", &["default"]);
    let disk = rustix::fs::statvfs(first.dir.path()).expect("told");
    let free = disk.f_bavail * disk.f_frsize;
    let files = first.config.sqlite.clone();
    let served = first.serve().await;
    let fill = "CREATE TABLE t (x)\nINSERT INTO t VALUES (zeroblob(500000)), (2)";
    assert_eq!(served.post("/sql?default", fill).await.status, 200);
    // Less than that is free, and more than half of it; and less than half.
    for (id, reserve, may_delete) in [("reserve", free / 4 * 5, true), ("short", u64::MAX, false)] {
        let engine = small_engine(EngineOptions {
            disk_reserve_bytes: Some(reserve),
            ..EngineOptions::tenants()
        });
        let mut stage = Stage::with_databases(id, &["default"]);
        stage.config.sqlite.clone_from(&files);
        let served = served_by(&engine, stage).await;
        let refused = filled(&served, "/sql?default").await;
        assert!(refused.contains("DatabaseFull"), "{id}: {refused}");
        let deleted = served
            .post("/sql?default", "DELETE FROM t WHERE x = 2")
            .await;
        assert_eq!(deleted.status == 200, may_delete, "{id}: {deleted:?}");
        let count = served.post("/sql?default", "SELECT count(*) FROM t").await;
        assert_eq!((count.status, count.body.as_str()), (200, "1"), "{id}");
    }
}
