//! `/v1/preview` and `/v1/apps/{id}/manifests`: what a cluster gets, without its secrets.

use std::sync::Arc;

use crate::support::{APP_ID, FakeTarget, Running, SEALING_KEY, spec};
use nokube_keys::{SealingKey, Secret};
use serde_json::{Value, json};

const NO_PLATFORM: &str = "http://127.0.0.1:9";
const SECRET: &str = "s3cret-value";

async fn started(target: &Arc<FakeTarget>) -> (Running, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let running = Running::start(data.path(), target, NO_PLATFORM).await;
    (running, data)
}

/// A spec with a secret, which is told to its target alone.
fn secretive(generation: u64) -> Value {
    let mut app = spec(generation);
    let key = SealingKey::from_base64(SEALING_KEY).unwrap();
    let place = format!("{APP_ID}/API_KEY");
    let sealed = key.seal(&Secret::new(SECRET.to_owned()), &place, [1; 24]);
    app["sealed_secrets"] = json!({ "API_KEY": sealed });
    app
}

async fn preview(sidecar: &Running, app: &Value) -> (u16, Value) {
    let request = sidecar.client.post(format!("{}/v1/preview", sidecar.url));
    sidecar.call(request.json(app)).await
}

#[tokio::test]
async fn a_preview_shows_every_object_and_keeps_nothing() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    let mut app = secretive(1);
    app["namespace"] = json!("shop-production");
    let (status, body) = preview(&sidecar, &app).await;
    assert_eq!(status, 200, "{body}");
    let manifests = body["manifests"].as_object().unwrap();
    for id in ["Namespace/shop-production", "SpinApp/api"] {
        assert!(manifests.contains_key(id), "{id} of {:?}", manifests.keys());
    }
    let text = body.to_string();
    assert!(text.contains("API_KEY"), "its name is shown");
    for hidden in [SECRET, app["sealed_secrets"]["API_KEY"].as_str().unwrap()] {
        assert!(!text.contains(hidden), "{text}");
    }
    assert_eq!(sidecar.get(&format!("/v1/apps/{APP_ID}")).await.0, 404);
    assert!(target.applied.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_preview_has_the_faults_that_a_release_would_have() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    let mut app = spec(1);
    app["owner"] = json!("../x");
    app["namespace"] = json!("kube-system");
    app["spec"]["memory_limit"] = json!("1e9Gi");
    let (status, body) = preview(&sidecar, &app).await;
    assert_eq!(status, 422);
    assert_eq!(body["errors"].as_array().unwrap().len(), 3, "{body}");
}

#[tokio::test]
async fn what_is_wanted_now_is_shown_also_where_there_is_no_cluster() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    let path = format!("/v1/apps/{APP_ID}/manifests");
    assert_eq!(sidecar.get(&path).await.0, 404);
    // A platform of before records no namespace.
    sidecar.put(&secretive(1)).await;
    let (status, body) = sidecar.get(&path).await;
    assert_eq!(status, 200, "{body}");
    assert!(
        body["manifests"]["Namespace/shop-production"].is_string(),
        "{body}"
    );
    assert!(!body.to_string().contains(SECRET));
    let delete = sidecar
        .client
        .delete(format!("{}/v1/apps/{APP_ID}", sidecar.url));
    sidecar.call(delete).await;
    assert_eq!(sidecar.get(&path).await.0, 404);
}

#[tokio::test]
async fn a_container_is_a_deployment_and_loosens_nothing() {
    let target = Arc::new(FakeTarget::default());
    let (sidecar, _data) = started(&target).await;
    let mut app = spec(1);
    app["namespace"] = json!("shop-production");
    app["artifact"] = json!("container");
    app["image_name"] = json!("docker.io/library/nginx:1.27");
    app["digest"] = json!("");
    let (status, body) = preview(&sidecar, &app).await;
    assert_eq!(status, 200, "{body}");
    let shown = |id: &str| {
        body["manifests"][id]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        shown("Deployment/api").contains("docker.io/library/nginx:1.27"),
        "{body}"
    );
    assert!(
        shown("Namespace/shop-production").contains("restricted"),
        "{body}"
    );
    // Beside a Spin application its namespace allows what that needs.
    let mut beside = spec(1);
    beside["namespace"] = json!("shop-production");
    beside["deployment_id"] = json!("01940000-0000-7000-8000-000000000002");
    beside["service"] = json!("web");
    sidecar.put(&beside).await;
    let (_, body) = preview(&sidecar, &app).await;
    let namespace = body["manifests"]["Namespace/shop-production"]
        .as_str()
        .unwrap();
    assert!(namespace.contains("baseline"), "{namespace}");
}
