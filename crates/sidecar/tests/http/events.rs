//! `/v1/apps/{id}/events`: what the sidecar did and what the target saw.

use std::sync::Arc;

use crate::support::{APP_ID, FakeTarget, Running, spec};
use nokube_api::deploy::{DeploymentEvent, DeploymentEvents, EventKind};
use nokube_api::sidecar::AppPhase;
use nokube_sidecar::{Health, TargetError};

const NO_PLATFORM: &str = "http://127.0.0.1:9";

async fn started(target: &Arc<FakeTarget>) -> (Running, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    *target.events.lock().unwrap() = Some(Vec::new());
    let running = Running::start(data.path(), target, NO_PLATFORM).await;
    (running, data)
}

async fn events(sidecar: &Running) -> Vec<DeploymentEvent> {
    let (status, body) = sidecar.get(&format!("/v1/apps/{APP_ID}/events")).await;
    assert_eq!(status, 200, "{body}");
    let told: DeploymentEvents = serde_json::from_value(body).unwrap();
    told.events
}

fn reasons(events: &[DeploymentEvent]) -> Vec<&str> {
    events.iter().map(|event| event.reason.as_str()).collect()
}

#[tokio::test]
async fn a_deployments_life_is_told_in_order() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    *target.faults.lock().unwrap() = vec![
        TargetError::Unavailable("busy".into()),
        TargetError::Unavailable("busy".into()),
    ];
    sidecar.put(&spec(1)).await;
    sidecar
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    let told = events(&sidecar).await;
    assert_eq!(reasons(&told), ["Retrying", "Applied", "Ready"]);
    assert_eq!(
        (told[0].kind, told[0].count, told[0].message.as_str()),
        (EventKind::Warning, 2, "busy")
    );
    assert!(told.iter().all(|event| event.object.is_none()));

    if let Some(app) = target.apps.lock().unwrap().get_mut(APP_ID) {
        app.health = Health::Progressing(Some("the node restarts".into()));
    }
    target.changed.notify_one();
    sidecar
        .wait_for(|status| status.phase == AppPhase::Deploying)
        .await;
    if let Some(app) = target.apps.lock().unwrap().get_mut(APP_ID) {
        app.health = Health::Failed("crash loop".into());
    }
    target.changed.notify_one();
    sidecar
        .wait_for(|status| status.phase == AppPhase::Failed)
        .await;
    let told = events(&sidecar).await;
    assert_eq!(
        reasons(&told),
        ["Retrying", "Applied", "Ready", "NotReady", "Failed"]
    );
    assert_eq!(told[3].message, "the node restarts");
    assert_eq!(told[4].message, "crash loop");
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    *target.faults.lock().unwrap() = vec![TargetError::Refused("no such import".into())];
    sidecar.put(&spec(1)).await;
    sidecar
        .wait_for(|status| status.phase == AppPhase::Failed)
        .await;
    let told = events(&sidecar).await;
    assert_eq!(reasons(&told), ["Refused"]);
    assert_eq!(told[0].message, "no such import");
}

#[tokio::test]
async fn what_the_target_saw_is_told_too_and_that_it_cannot_say() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    sidecar.put(&spec(1)).await;
    sidecar
        .wait_for(|status| status.phase == AppPhase::Running)
        .await;
    let seen = DeploymentEvent {
        time: "2026-01-01T00:00:00Z".to_owned(),
        kind: EventKind::Warning,
        reason: "FailedScheduling".to_owned(),
        message: "0/3 nodes are available".to_owned(),
        object: Some("Pod/api-1".to_owned()),
        count: 7,
    };
    *target.events.lock().unwrap() = Some(vec![seen.clone()]);
    let told = events(&sidecar).await;
    assert_eq!(told[0], seen, "it is older than what the sidecar did");
    assert_eq!(reasons(&told), ["FailedScheduling", "Applied", "Ready"]);
    *target.events.lock().unwrap() = None;
    let path = format!("/v1/apps/{APP_ID}/events");
    assert_eq!(sidecar.get(&path).await.0, 503);
    let unknown = "/v1/apps/01940000-0000-7000-8000-0000000000ff/events";
    assert_eq!(sidecar.get(unknown).await.0, 404);
}
