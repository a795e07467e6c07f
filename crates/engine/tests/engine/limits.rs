//! Guests that misbehave: each costs its own request only, and the log says why.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nokube_engine::logs::Stream;
use nokube_engine::{Limits, Reuse};

use crate::support::{Served, Stage};

async fn limited(id: &str, limits: Limits) -> Served {
    let mut stage = Stage::new(id);
    stage.config.limits = limits;
    stage.serve().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_is_a_500_and_the_log_names_the_function() {
    let served = Stage::new("trap").serve().await;
    let reply = served.get_with("/trap", "x-request-id: the-one\r\n").await;
    assert_eq!(reply.status, 500, "{reply:?}");
    let problem = reply.json();
    assert_eq!(problem["request_id"], "the-one");
    assert_eq!(problem["instance"], "/trap");
    assert!(problem["detail"].is_string(), "{problem}");
    assert!(
        !reply.body.contains("panic"),
        "nothing of the inside is told"
    );
    let line = served.logged("cause_of_the_trap").await;
    assert_eq!(line.stream, Stream::System);
    assert_eq!(line.request_id.as_deref(), Some("the-one"));
    assert_eq!(line.component.as_deref(), Some("probe"));
    assert!(line.text.contains("unreachable"), "{}", line.text);
    assert!(
        line.text.contains("; at probe::cause_of_the_trap"),
        "{}",
        line.text
    );
    let panic = served.logged("asked to panic").await;
    assert_eq!(
        (panic.stream, panic.request_id.as_deref()),
        (Stream::Stderr, Some("the-one"))
    );
    let lines = served.stage.log();
    let failures = lines
        .iter()
        .filter(|line| line.stream == Stream::System)
        .count();
    assert_eq!(failures, 1, "one line for one failure: {lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_is_a_500_with_its_code_in_the_log() {
    let served = Stage::new("exit").serve().await;
    assert_eq!(served.get("/exit").await.status, 500);
    served.logged("exited with code").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_trapped_is_not_used_again() {
    let mut stage = Stage::new("trap-reused");
    stage.config.reuse = Reuse {
        max_requests_per_instance: 100,
        idle_ms: 10_000,
    };
    let served = stage.serve().await;
    assert_eq!(served.get("/served").await.body, "1");
    assert_eq!(served.get("/served").await.body, "2");
    for path in ["/trap", "/exit"] {
        assert_eq!(served.get(path).await.status, 500);
        assert_eq!(served.get("/served").await.body, "1", "after {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_loop_ends_at_the_cpu_limit() {
    let served = limited(
        "loop",
        Limits {
            cpu_ms: 200,
            ..Limits::default()
        },
    )
    .await;
    let began = Instant::now();
    assert_eq!(served.get("/loop").await.status, 504);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    served.logged("CPU limit reached").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_sleep_ends_at_the_time_limit() {
    let served = limited(
        "sleep",
        Limits {
            wall_ms: 200,
            ..Limits::default()
        },
    )
    .await;
    let began = Instant::now();
    let reply = served.get("/sleep").await;
    assert_eq!(reply.status, 504);
    assert_eq!(reply.json()["instance"], "/sleep");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    served.logged("time limit reached").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_limit_holds_for_a_guest_that_computes() {
    let served = limited(
        "busy",
        Limits {
            wall_ms: 200,
            cpu_ms: 600_000,
            ..Limits::default()
        },
    )
    .await;
    assert_eq!(served.get("/loop").await.status, 504);
    served.logged("time limit reached").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_allocation_ends_at_the_memory_limit() {
    let served = limited(
        "alloc",
        Limits {
            memory_bytes: 32 << 20,
            ..Limits::default()
        },
    )
    .await;
    assert_eq!(served.get("/alloc").await.status, 500);
    served.logged("memory limit reached").await;
    assert_eq!(served.get("/grow?8").await.body, "8");
    assert_eq!(served.get("/grow?40").await.status, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_seen_by_the_client_and_explained_in_the_log() {
    let served = limited(
        "stream",
        Limits {
            wall_ms: 500,
            ..Limits::default()
        },
    )
    .await;
    let whole = served.get("/stream?/ok").await;
    assert_eq!(
        (whole.body.as_str(), whole.complete),
        ("begundone", true),
        "{whole:?}"
    );
    for (path, reason) in [
        ("/stream?/trap", "unreachable"),
        ("/stream?/sleep", "time limit reached"),
    ] {
        let broken = served.get(path).await;
        assert_eq!((broken.status, broken.complete), (200, false), "{broken:?}");
        served.logged(reason).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_at_once_are_told_to_come_back() {
    let limits = Limits {
        concurrency: 2,
        queue: 1,
        queue_ms: 10_000,
        wall_ms: 5_000,
        ..Limits::default()
    };
    let served = Arc::new(limited("queue", limits).await);
    let requests = (0..6).map(|_| {
        let served = Arc::clone(&served);
        tokio::spawn(async move { served.get("/nap?300").await })
    });
    let replies: Vec<_> = futures::future::join_all(requests)
        .await
        .into_iter()
        .map(|r| r.expect("no panic"))
        .collect();
    let busy: Vec<_> = replies.iter().filter(|reply| reply.status == 503).collect();
    assert_eq!(busy.len(), 3, "{replies:?}");
    assert!(
        busy.iter()
            .all(|reply| reply.header("retry-after") == Some("1"))
    );
    assert_eq!(
        replies.iter().filter(|reply| reply.status == 200).count(),
        3
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_answer_on_time_while_many_guests_loop() {
    let bad = Arc::new(
        limited(
            "bad",
            Limits {
                cpu_ms: 1_000,
                wall_ms: 3_000,
                ..Limits::default()
            },
        )
        .await,
    );
    let good = Stage::new("good").serve().await;
    assert_eq!(good.get("/ok").await.body, "ok");
    let loops: Vec<_> = ["/loop", "/sleep", "/alloc", "/trap"]
        .into_iter()
        .cycle()
        .take(32)
        .map(|path| {
            let bad = Arc::clone(&bad);
            tokio::spawn(async move { bad.get(path).await.status })
        })
        .collect();
    let mut times = Vec::new();
    while !loops.iter().all(tokio::task::JoinHandle::is_finished) {
        let began = Instant::now();
        assert_eq!(good.get("/ok").await.body, "ok");
        times.push(began.elapsed());
    }
    for request in loops {
        assert!(request.await.expect("no panic") >= 500);
    }
    times.sort();
    let median = times[times.len() / 2];
    let worst = times[times.len() - 1];
    eprintln!(
        "{} requests beside 32 bad ones: median {median:?}, worst {worst:?}",
        times.len()
    );
    // A machine that also compiles is slow by itself; a starved runtime is slower than this by far.
    assert!(
        median < Duration::from_millis(250),
        "median {median:?}, worst {worst:?}"
    );
    assert!(worst < Duration::from_secs(2), "worst {worst:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_guest_prints_is_logged_by_line_and_bounded_in_rate() {
    let served = Stage::new("print").serve().await;
    served.get_with("/print", "x-request-id: p\r\n").await;
    served.logged("unfinished").await;
    let texts: Vec<_> = served
        .stage
        .log()
        .into_iter()
        .map(|line| (line.stream, line.text))
        .collect();
    for (stream, text) in [
        (Stream::Stdout, "one"),
        (Stream::Stdout, "two"),
        (Stream::Stdout, "unfinished"),
        (Stream::Stderr, "to stderr"),
    ] {
        assert!(texts.contains(&(stream, text.to_owned())), "{texts:?}");
    }
    served.get("/spam?100000").await;
    served.get("/trap").await;
    served.logged("lines were dropped").await;
}
