//! `/v1/apps` over HTTP, with a fake target: what is told is kept, and converged to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{APP_ID, FakePlatform, FakeTarget, Running, SEALING_KEY, spec};
use nokube_api::sidecar::AppPhase;
use nokube_domain::Timestamp;
use nokube_keys::{SealingKey, Secret};
use nokube_sidecar::{Health, LogQuery, TargetError};
use serde_json::{Value, json};

/// No platform answers there: the sidecar must not mind.
const NO_PLATFORM: &str = "http://127.0.0.1:9";

async fn started(target: &Arc<FakeTarget>) -> (Running, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let running = Running::start(data.path(), target, NO_PLATFORM).await;
    (running, data)
}

#[tokio::test]
async fn an_app_that_was_put_runs_and_its_secrets_arrive_opened() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    let mut app = spec(1);
    let sealed = SealingKey::from_base64(SEALING_KEY).unwrap().seal(
        &Secret::new("s3cret".into()),
        &format!("{APP_ID}/API_KEY"),
        [1; 24],
    );
    app["sealed_secrets"] = json!({ "API_KEY": sealed });
    let (status, body) = sidecar.put(&app).await;
    assert_eq!((status, body["phase"].as_str()), (202, Some("pending")));
    let status = sidecar
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    assert_eq!((status.generation, status.replicas_ready), (1, 1));
    assert_eq!(status.access_url.as_deref(), Some("http://api.localhost/"));
    assert_eq!(target.secrets.lock().unwrap()["API_KEY"], "s3cret");
    let (_, list) = sidecar.get("/v1/apps").await;
    assert_eq!(list["apps"][0]["deployment_id"], APP_ID);
}

#[tokio::test]
async fn a_secret_of_another_place_fails_the_deployment_with_its_name() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    let mut app = spec(1);
    let sealed = SealingKey::from_base64(SEALING_KEY).unwrap().seal(
        &Secret::new("s3cret".into()),
        "other/API_KEY",
        [1; 24],
    );
    app["sealed_secrets"] = json!({ "API_KEY": sealed });
    sidecar.put(&app).await;
    let status = sidecar
        .wait_for(|status| status.phase == AppPhase::Failed)
        .await;
    assert!(status.message.unwrap().contains("API_KEY"));
    // What stops has no use for it.
    app["generation"] = json!(2);
    app["desired"] = json!("stopped");
    sidecar.put(&app).await;
    sidecar
        .wait_for(|status| status.phase == AppPhase::Stopped)
        .await;
}

#[tokio::test]
async fn callers_without_the_token_are_refused_and_learn_nothing() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    for path in [
        "/v1/apps",
        "/v1/apps/x",
        "/v1/apps/x/logs",
        "/v1/apps/x/events",
        "/v1/apps/x/manifests",
        "/v1/preview",
        "/v1/dns/txt?name=_nokube-challenge.www.example.com",
        "/v1/artifacts/x",
    ] {
        for token in [None, Some("other"), Some("")] {
            let url = format!("{}{path}", sidecar.url);
            let mut request = match path {
                "/v1/preview" => sidecar.client.post(url),
                _ => sidecar.client.get(url),
            };
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 401, "{path}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
    }
    for path in ["/healthz", "/readyz"] {
        let answer = sidecar
            .client
            .get(format!("{}{path}", sidecar.url))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn faults_are_refused_all_at_once_and_nothing_is_kept() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    let mut app = spec(1);
    app["owner"] = json!("../x");
    app["digest"] = json!("latest");
    let (status, body) = sidecar.put(&app).await;
    assert_eq!(status, 422);
    assert_eq!(body["errors"].as_array().unwrap().len(), 2);
    // What only the target knows is told in the same way.
    *target.refuses.lock().unwrap() = Some("/spec/replicas");
    let (status, body) = sidecar.put(&spec(1)).await;
    assert_eq!(status, 422);
    assert_eq!(body["errors"][0]["pointer"], "/spec/replicas");
    let (status, _) = sidecar
        .call(
            sidecar
                .client
                .put(format!("{}/v1/apps/{APP_ID}", sidecar.url))
                .body("{"),
        )
        .await;
    assert_eq!(status, 400);
    assert_eq!(sidecar.get(&format!("/v1/apps/{APP_ID}")).await.0, 404);
}

#[tokio::test]
async fn an_older_generation_is_a_conflict_and_the_same_again_is_not() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    assert_eq!(sidecar.put(&spec(2)).await.0, 202);
    assert_eq!(sidecar.put(&spec(2)).await.0, 202);
    assert_eq!(sidecar.put(&spec(1)).await.0, 409);
}

#[tokio::test]
async fn what_the_target_cannot_do_now_is_tried_again() {
    let target = Arc::new(FakeTarget::default());
    let unavailable = || TargetError::Unavailable("busy".into());
    *target.faults.lock().unwrap() = vec![unavailable(), unavailable()];
    let (sidecar, _data) = started(&target).await;
    sidecar.put(&spec(1)).await;
    sidecar
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    assert_eq!(*target.applied.lock().unwrap(), [1, 1, 1]);
}

#[tokio::test]
async fn what_the_target_refuses_fails_and_the_next_generation_runs() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    sidecar.put(&spec(1)).await;
    sidecar
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    *target.faults.lock().unwrap() = vec![TargetError::Refused("no such import".into())];
    sidecar.put(&spec(2)).await;
    let status = sidecar
        .wait_for(|status| status.phase == AppPhase::Failed)
        .await;
    assert_eq!(status.generation, 2);
    assert_eq!(status.message.as_deref(), Some("no such import"));
    assert_eq!(target.apps.lock().unwrap()[APP_ID].serving, Some(1));
    sidecar.put(&spec(3)).await;
    sidecar
        .wait_for(|status| status.generation == 3 && status.phase == AppPhase::Running)
        .await;
}

#[tokio::test]
async fn a_newer_generation_does_not_wait_for_one_that_hangs() {
    let target = Arc::new(FakeTarget::default());
    *target.hangs.lock().unwrap() = true;
    let (sidecar, _data) = started(&target).await;
    sidecar.put(&spec(1)).await;
    sidecar
        .wait_for(|status| status.phase == AppPhase::Deploying)
        .await;
    *target.hangs.lock().unwrap() = false;
    sidecar.put(&spec(2)).await;
    sidecar
        .wait_for(|status| status.generation == 2 && status.phase == AppPhase::Running)
        .await;
}

#[tokio::test]
async fn a_target_is_told_of_a_restart_that_it_never_got_to() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    sidecar.put(&spec(1)).await;
    sidecar
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    *target.hangs.lock().unwrap() = true;
    let mut again = spec(2);
    again["revision"] = json!(1);
    sidecar.put(&again).await;
    *target.hangs.lock().unwrap() = false;
    let mut scaled = spec(3);
    scaled["revision"] = json!(1);
    scaled["spec"]["replicas"] = json!(2);
    sidecar.put(&scaled).await;
    sidecar
        .wait_for(|status| status.generation == 3 && status.phase == AppPhase::Running)
        .await;
    assert_eq!(*target.restarted.lock().unwrap(), 2);
}

#[tokio::test]
async fn everything_is_back_after_a_restart_on_an_empty_target() {
    let data = tempfile::tempdir().unwrap();
    let target = Arc::new(FakeTarget::default());
    let first = Running::start(data.path(), &target, NO_PLATFORM).await;
    first.put(&spec(1)).await;
    first
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    settled(data.path(), 1).await;
    drop(first);
    let emptied = Arc::new(FakeTarget::default());
    let second = Running::start(data.path(), &emptied, NO_PLATFORM).await;
    second
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    assert_eq!(*emptied.adopted.lock().unwrap(), [(1, true)]);
}

#[tokio::test]
async fn a_target_is_told_which_deployments_had_not_been_reached() {
    let data = tempfile::tempdir().unwrap();
    let target = Arc::new(FakeTarget::default());
    let first = Running::start(data.path(), &target, NO_PLATFORM).await;
    first.put(&spec(1)).await;
    settled(data.path(), 1).await;
    *target.hangs.lock().unwrap() = true;
    first.put(&spec(2)).await;
    drop(first);
    let emptied = Arc::new(FakeTarget::default());
    let second = Running::start(data.path(), &emptied, NO_PLATFORM).await;
    second
        .wait_for(|status| status.generation == 2 && status.phase == AppPhase::Running)
        .await;
    assert_eq!(*emptied.adopted.lock().unwrap(), [(2, false)]);
    assert_eq!(
        *emptied.applied.lock().unwrap(),
        [1, 2],
        "without a request"
    );
}

#[tokio::test]
async fn what_was_put_aside_is_applied_again_when_it_is_asked_for_and_runs_all_the_while() {
    let data = tempfile::tempdir().unwrap();
    let target = Arc::new(FakeTarget::default());
    let sidecar = Running::start(data.path(), &target, NO_PLATFORM).await;
    sidecar.put(&spec(1)).await;
    settled(data.path(), 1).await;
    target.applied.lock().unwrap().clear();
    *target.hangs.lock().unwrap() = true;
    for app in target.apps.lock().unwrap().values_mut() {
        app.health = Health::Asked;
    }
    target.changed.notify_one();
    until("the target to be asked", || {
        !target.applied.lock().unwrap().is_empty()
    })
    .await;
    let status = sidecar.wait_for(|_| true).await;
    assert_eq!(status.phase, AppPhase::Running);
}

#[tokio::test]
async fn what_somebody_may_have_changed_is_applied_again_and_runs_whatever_comes_of_it() {
    let data = tempfile::tempdir().unwrap();
    let target = Arc::new(FakeTarget::default());
    let sidecar = Running::start(data.path(), &target, NO_PLATFORM).await;
    sidecar.put(&spec(1)).await;
    settled(data.path(), 1).await;
    *target.events.lock().unwrap() = Some(Vec::new());
    for fault in [None, Some(TargetError::Unavailable("later".into()))] {
        target.applied.lock().unwrap().clear();
        let is_well = fault.is_none();
        *target.faults.lock().unwrap() = fault.into_iter().collect();
        *target.stale.lock().unwrap() = 1;
        target.changed.notify_one();
        until("it to be applied again", || {
            *target.applied.lock().unwrap() == [1]
        })
        .await;
        // Nothing fails by what could not be applied again, and it is not repeated at once.
        let status = sidecar.wait_for(|_| true).await;
        assert_eq!(status.phase, AppPhase::Running);
        let mut is_told = is_well;
        while !is_told {
            let (_, events) = sidecar.get(&format!("/v1/apps/{APP_ID}/events")).await;
            is_told = events.to_string().contains("NotReapplied");
        }
        assert_eq!(*target.applied.lock().unwrap(), [1]);
    }
}

/// Waits until it is on disk that `generation` was reached.
async fn settled(data: &std::path::Path, generation: u64) {
    let file = data.join(format!("sidecar/apps/{APP_ID}.json"));
    until("the generation to be settled", || {
        let read = std::fs::read(&file).ok();
        read.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
            .is_some_and(|app| app["settled"]["generation"] == generation)
    })
    .await;
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited five seconds in vain for {what}");
}

#[tokio::test]
async fn the_revision_that_served_comes_back_while_the_wanted_one_fails() {
    let data = tempfile::tempdir().unwrap();
    let target = Arc::new(FakeTarget::default());
    let first = Running::start(data.path(), &target, NO_PLATFORM).await;
    first.put(&spec(1)).await;
    first
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    // Settling is written after it is seen to run.
    tokio::time::sleep(Duration::from_millis(100)).await;
    *target.faults.lock().unwrap() = vec![TargetError::Refused("bad".into())];
    first.put(&spec(2)).await;
    first
        .wait_for(|status| status.phase == AppPhase::Failed)
        .await;
    drop(first);
    let emptied = Arc::new(FakeTarget::default());
    let second = Running::start(data.path(), &emptied, NO_PLATFORM).await;
    second
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    assert_eq!(*emptied.applied.lock().unwrap(), [1, 2]);
}

#[tokio::test]
async fn what_vanishes_at_the_target_is_applied_again() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    sidecar.put(&spec(1)).await;
    sidecar
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    target.apps.lock().unwrap().clear();
    target.changed.notify_one();
    for _ in 0..500 {
        if target.apps.lock().unwrap().contains_key(APP_ID) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not applied again");
}

#[tokio::test]
async fn what_stops_being_ready_is_not_called_running() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    sidecar.put(&spec(1)).await;
    sidecar
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    if let Some(app) = target.apps.lock().unwrap().get_mut(APP_ID) {
        app.health = Health::Progressing(Some("restarting".into()));
    }
    target.changed.notify_one();
    sidecar
        .wait_for(|status| status.phase == AppPhase::Deploying)
        .await;
}

#[tokio::test]
async fn a_deleted_app_is_gone_and_stays_gone() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    sidecar.put(&spec(1)).await;
    sidecar
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    let path = format!("/v1/apps/{APP_ID}");
    let delete = || sidecar.client.delete(format!("{}{path}", sidecar.url));
    assert_eq!(sidecar.call(delete()).await.0, 202);
    for _ in 0..500 {
        if sidecar.get(&path).await.0 == 404 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(sidecar.call(delete()).await.0, 404);
    assert!(target.apps.lock().unwrap().is_empty());
    assert_eq!(sidecar.put(&spec(2)).await.0, 409);
}

#[tokio::test]
async fn logs_are_the_targets_and_a_bad_cursor_is_said() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    sidecar.put(&spec(1)).await;
    let path = format!("/v1/apps/{APP_ID}/logs");
    assert_eq!(sidecar.get(&path).await.1["cursor"], "1");
    assert_eq!(sidecar.get(&format!("{path}?cursor=bad")).await.0, 400);
    assert_eq!(sidecar.get(&format!("{path}?since=today")).await.0, 400);
}

#[tokio::test]
async fn what_is_looked_for_in_a_log_reaches_the_target() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    sidecar.put(&spec(1)).await;
    let query = "cursor=1&tail=5&since=2027-01-15T09:00:00%2B01:00&q=a%20b&limit=7";
    let (status, _) = sidecar
        .get(&format!("/v1/apps/{APP_ID}/logs?{query}"))
        .await;
    assert_eq!(status, 200);
    let asked = target.queries.lock().unwrap().pop().unwrap();
    assert_eq!(
        asked,
        LogQuery {
            cursor: Some("1".into()),
            tail: Some(5),
            since: Some(Timestamp::parse("2027-01-15T08:00:00Z").unwrap()),
            contains: Some("a b".into()),
            limit: 7,
        }
    );
}

#[tokio::test]
async fn the_platform_is_ticked_at_once_and_goes_on_being() {
    let platform = Arc::new(FakePlatform::default());
    let url = platform.serve().await;
    let data = tempfile::tempdir().unwrap();
    let target = Arc::new(FakeTarget::default());
    let _sidecar = Running::start(data.path(), &target, &url).await;
    for _ in 0..300 {
        if platform.ticks.load(Ordering::Relaxed) >= 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not ticked twice within three seconds");
}
