//! Requests at once in one instance: only of WASI 0.3, only when the manifest asks for it, and with one end for all.

use std::sync::Arc;
use std::time::Duration;

use nokube_engine::logs::Stream;
use nokube_engine::{Limits, Reuse};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::guests;
use crate::support::{Reply, Served, Stage};

/// As `[component.x.tool.nokube] reuse = { … }` of a manifest becomes in its locked form.
fn reuse(requests: u32, concurrent: u32) -> Value {
    json!({ "nokube": { "reuse": { "requests": requests, "concurrent": concurrent } } })
}

fn pair() -> Stage {
    guests::stage("wasi03_together", &reuse(1_000, 2))
}

async fn serve(stage: Stage) -> Arc<Served> {
    Arc::new(stage.serve().await)
}

fn asked(served: &Arc<Served>, path: &str) -> JoinHandle<Reply> {
    let (served, path) = (Arc::clone(served), path.to_owned());
    tokio::spawn(async move { served.get(&path).await })
}

/// Asks for all of them at once.
async fn ask(served: &Arc<Served>, paths: &[&str]) -> Vec<Reply> {
    let requests: Vec<_> = paths.iter().map(|path| asked(served, path)).collect();
    let replies = futures::future::join_all(requests).await;
    replies
        .into_iter()
        .map(|reply| reply.expect("no panic"))
        .collect()
}

/// Asks for the second when the first, the `number`th of its instance, is inside: at the same moment they would begin
/// one instance each.
async fn meet(served: &Arc<Served>, number: u32, first: &str, second: &str) -> [Reply; 2] {
    let first = asked(served, first);
    served.logged(&format!("request {number} came")).await;
    let second = asked(served, second).await.expect("no panic");
    [first.await.expect("no panic"), second]
}

/// How many were at once in the instance, and the number that the request has in it.
fn counts(reply: &Reply) -> (u32, u32) {
    assert_eq!((reply.status, reply.complete), (200, true), "{reply:?}");
    let mut words = reply.body.rsplit(' ').map(str::parse);
    let (Some(Ok(number)), Some(Ok(peak))) = (words.next(), words.next()) else {
        panic!("{reply:?}")
    };
    (peak, number)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_requests_wait_for_each_other_in_one_instance() {
    for path in ["/?10000", "/stream?10000"] {
        let served = serve(pair()).await;
        for reply in &meet(&served, 1, path, path).await {
            assert_eq!(counts(reply).0, 2, "{path}");
        }
        let after = served.get("/quick").await;
        assert_eq!(counts(&after), (2, 3), "{path}: the instance stays");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_requests_share_an_instance_than_its_manifest_says() {
    let served = serve(pair()).await;
    for reply in ask(&served, &["/?200"; 12]).await {
        assert!(counts(&reply).0 <= 2, "{reply:?}");
    }
    let used = serve(guests::stage("wasi03_together", &reuse(3, 2))).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(counts(&used.get("/quick").await).1);
    }
    assert_eq!(seen, [1, 2, 3, 1], "nor more in its life");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_nobody_asked_to_share_never_do() {
    let fresh = serve(guests::stage("wasi03_together", &Value::Null)).await;
    let in_turn = serve(guests::stage("wasi03_together", &reuse(1_000, 1))).await;
    let mut stage = guests::stage("wasi03_together", &Value::Null);
    stage.config.reuse = Reuse {
        max_requests_per_instance: 1_000,
        idle_ms: 10_000,
    };
    let by_the_platform = serve(stage).await;
    let mut stage = pair();
    stage.config.limits.instance_concurrency = 1;
    let capped = serve(stage).await;
    for served in [&fresh, &in_turn, &by_the_platform, &capped] {
        // The head of a streamed answer is out long before the guest is done.
        for path in ["/?100", "/stream?100"] {
            for reply in ask(served, &[path; 8]).await {
                assert_eq!(counts(&reply).0, 1, "{reply:?}");
            }
        }
    }
    assert_eq!(begun(&fresh, "/quick").await, 40);
    for served in [in_turn, by_the_platform] {
        assert!(begun(&served, "/quick").await < 20);
    }
}

/// How many of forty requests in turn begin an instance.
async fn begun(served: &Served, path: &str) -> u32 {
    let mut begun = 0;
    for _ in 0..40 {
        begun += u32::from(counts(&served.get(path).await).1 == 1);
    }
    begun
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_of_wasi_02_serves_one_after_another_whatever_it_says() {
    let served = serve(guests::stage("wasi02_together", &reuse(1_000, 16))).await;
    for reply in ask(&served, &["/?50"; 8]).await {
        assert_eq!(counts(&reply).0, 1, "{reply:?}");
    }
    assert!(begun(&served, "/?0").await < 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_ends_all_that_share_the_instance_and_the_log_says_so() {
    let cpu = Limits {
        cpu_ms: 200,
        ..Limits::default()
    };
    let wall = Limits {
        wall_ms: 3_000,
        ..Limits::default()
    };
    let cases = [
        ("/trap?10000", Limits::default(), 500, "unreachable"),
        ("/loop?10000", cpu, 504, "CPU limit reached"),
        ("/sleep?10000", wall, 504, "time limit reached"),
    ];
    for (path, limits, status, words) in cases {
        let mut stage = pair();
        stage.config.limits = limits;
        let served = serve(stage).await;
        let replies = meet(&served, 1, "/sleep?10000", path).await;
        for reply in &replies {
            assert_eq!(reply.status, status, "{path}: {reply:?}");
        }
        let line = served.logged("served 2 requests at once").await;
        assert!(line.text.contains(words), "{path}: {}", line.text);
        assert_eq!((line.stream, line.request_id), (Stream::System, None));
        for reply in &replies {
            let id = reply.json()["request_id"].as_str().map(str::to_owned);
            let id = id.expect("an id");
            assert!(line.text.contains(&id), "{path}: {id} in {}", line.text);
            let own =
                served.stage.log().into_iter().find(|line| {
                    line.request_id.as_ref() == Some(&id) && line.text.contains(words)
                });
            assert!(own.is_some(), "{path}: a line for each of them");
        }
        let after = served.get("/quick").await;
        assert_eq!(counts(&after).1, 1, "{path}: another instance");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_breaks_off_an_answer_that_shares_the_instance() {
    let served = serve(pair()).await;
    let [begun, trapped] = meet(&served, 1, "/stream/sleep?10000", "/trap?10000").await;
    assert_eq!((begun.status, begun.complete), (200, false), "{begun:?}");
    assert_eq!(trapped.status, 500, "{trapped:?}");
    served.logged("the answer broke off").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_requests_does_not_pay_for_one_that_computes() {
    let mut stage = pair();
    stage.config.limits = Limits {
        cpu_ms: 300,
        wall_ms: 60_000,
        ..Limits::default()
    };
    let served = serve(stage).await;
    let grinding = asked(&served, "/grind?0");
    let ended = async {
        while !grinding.is_finished() {
            let reply = served.get("/quick").await;
            // It may have been there when the other one reached the limit.
            assert!([200, 504].contains(&reply.status), "{reply:?}");
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), ended).await;
    assert!(in_time.is_ok(), "it goes on and on");
    assert_eq!(grinding.await.expect("no panic").status, 504);
    served.logged("CPU limit reached").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_takes_nobody_with_it() {
    let served = serve(pair()).await;
    let in_flight = || served.registry.list()[0].in_flight;
    let leaving = asked(&served, "/sleep?10000");
    served.logged("request 1 came").await;
    let staying = asked(&served, "/stream/grind?10000");
    served.logged("request 2 goes on").await;
    leaving.abort();
    for _ in 0..20 {
        assert_eq!(served.get("/quick").await.status, 200);
    }
    assert!(!staying.is_finished(), "the other one was stopped too");
    assert_eq!(in_flight(), 2, "it goes on, as long as it may");
    // Nobody is left: the instance ends although one would sleep for a day and one would grind for ever.
    staying.abort();
    for _ in 0..500 {
        if in_flight() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("an instance without clients goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_printed_has_a_request_id_when_one_request_runs() {
    let served = serve(pair()).await;
    served.get_with("/?0", "x-request-id: alone\r\n").await;
    let line = served.logged("request 1 came").await;
    assert_eq!(line.request_id.as_deref(), Some("alone"));
    meet(&served, 2, "/stream?10000", "/?10000").await;
    let line = served.logged("request 3 came").await;
    assert_eq!(line.request_id, None, "it could be of either");
}
