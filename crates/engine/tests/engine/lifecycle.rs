//! Applications that are added, replaced and removed while requests arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nokube_engine::Reuse;
use nokube_engine::registry::AppInfo;

use crate::support::{Served, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_is_replaced_without_a_failed_request() {
    let mut stage = Stage::new("swap");
    stage
        .config
        .environment
        .insert("REVISION".to_owned(), "1".to_owned());
    let served = Arc::new(stage.serve().await);
    let ended = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (served, ended) = (Arc::clone(&served), Arc::clone(&ended));
            tokio::spawn(async move {
                let mut count = 0;
                while !ended.load(Ordering::Relaxed) {
                    let reply = served.get("/env").await;
                    assert_eq!((reply.status, reply.complete), (200, true), "{reply:?}");
                    count += 1;
                }
                count
            })
        })
        .collect();
    for revision in 2..=6 {
        let mut next = served.stage.config.clone();
        next.generation = revision;
        next.environment
            .insert("REVISION".to_owned(), revision.to_string());
        let app = crate::support::engine().load(next).await.expect("it loads");
        served.registry.put(app);
        let reply = served.get("/env").await;
        assert_eq!(
            reply.json()["REVISION"],
            revision.to_string(),
            "new requests go to the new one at once"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ended.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.expect("no failed request") > 0);
    }
    let info = AppInfo {
        id: "swap".to_owned(),
        generation: 6,
        hosts: vec!["swap.test".to_owned()],
        in_flight: 0,
    };
    assert_eq!(served.registry.list(), [info]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_application_answers_what_it_began_and_then_is_gone() {
    let served = Arc::new(Stage::new("removed").serve().await);
    let slow = {
        let served = Arc::clone(&served);
        tokio::spawn(async move { served.get("/nap?300").await })
    };
    let app = served.registry.by_id("removed").expect("it is there");
    while app.in_flight() == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(served.registry.remove("removed"));
    assert!(!served.registry.remove("removed"));
    assert_eq!(served.get("/ok").await.status, 404);
    assert_eq!(slow.await.expect("no panic").body, "rested");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_instances_of_a_replaced_application_end() {
    let mut stage = Stage::new("idle");
    stage.config.reuse = Reuse {
        max_requests_per_instance: 1_000,
        idle_ms: 3_600_000,
    };
    let served = stage.serve().await;
    served.get("/ok").await;
    let old = served.registry.by_id("idle").expect("it is there");
    let old_weak = Arc::downgrade(&old);
    drop(old);
    served.registry.put(served.stage.load().await);
    for _ in 0..200 {
        if old_weak.strong_count() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the replaced application is still held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_tells_whether_an_application_is_ready() {
    let served: Served = Stage::new("probed").serve().await;
    let app = served.registry.by_id("probed").expect("it is there");
    assert!(app.probe("/ok", Duration::from_secs(5)).await.is_ok());
    let error = app
        .probe("/trap", Duration::from_secs(5))
        .await
        .expect_err("it trapped");
    assert_eq!(
        error.to_string(),
        "/trap answered 500 Internal Server Error"
    );
    let error = app
        .probe("/sleep", Duration::from_millis(100))
        .await
        .expect_err("it sleeps");
    assert!(error.to_string().contains("did not answer within"));
    assert!(
        app.drain(Duration::from_secs(5)).await,
        "the sleeper was stopped with its probe"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_is_reused_whatever_its_answers_look_like() {
    let mut stage = Stage::new("looks");
    stage.config.reuse = Reuse {
        max_requests_per_instance: 1_000,
        idle_ms: 60_000,
    };
    let served = stage.serve().await;
    let mut served_by_it = 0_u32;
    for _ in 0..50 {
        served.get("/ok").await;
        served.get("/stream?/ok").await;
        let head = format!(
            "HEAD /ok HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            served.host()
        );
        assert_eq!(
            crate::support::exchange(served.addr, head.as_bytes())
                .await
                .status,
            200
        );
        let served_so_far = served.get("/served").await.body.parse();
        served_by_it = served_by_it.max(served_so_far.expect("a number"));
    }
    // Another instance is started when a request comes before the first has returned from the one before.
    assert!(
        served_by_it >= 40,
        "instances were dropped: none served more than {served_by_it}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_whose_memory_grew_serves_on_but_does_not_rest_for_long() {
    let mut stage = Stage::new("grown");
    stage.config.reuse = Reuse {
        max_requests_per_instance: 1_000,
        idle_ms: 3_600_000,
    };
    let served = stage.serve().await;
    assert_eq!(served.get("/grow?20").await.body, "20");
    assert_eq!(served.get("/served").await.body, "2", "the same one");
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        if served.get("/served").await.body == "1" {
            return;
        }
    }
    panic!("it keeps its memory");
}
