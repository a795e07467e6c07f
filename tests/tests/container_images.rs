//! Container images on one machine, which runs none: they are shown as a cluster would have them, and refused when they are
//! to run.

use std::time::Duration;

use nokube_tests::platform::Platform;
use nokube_tests::wait::until;
use serde_json::json;

#[tokio::test]
async fn a_container_image_is_previewed_and_refused_with_the_reason_on_one_machine() {
    let platform = Platform::start_with(&["--variable", "container_images=allowed"]);
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let request = json!({
        "project_id": project, "service_name": "web", "image_name": "nginx:1.27",
        "secrets": { "API_KEY": "not-to-be-seen" },
    });
    let shown = api.post("/deploy/preview", &request).await.expect(200);
    let manifests = &shown["manifests"];
    let deployment = manifests["Deployment/web"].as_str().expect("a manifest");
    assert!(
        deployment.contains("docker.io/library/nginx:1.27")
            && deployment.contains("shop-production"),
        "{deployment}"
    );
    assert!(!shown.to_string().contains("not-to-be-seen"), "{shown}");
    let listed = api.get("/deployments").await.expect(200);
    assert_eq!(listed["pagination"]["total"], 0, "a preview makes nothing");

    let made = api.post("/deploy", &request).await.expect(202);
    assert!(made["warnings"][0].is_string(), "{made}");
    let path = format!(
        "/deployments/{}",
        made["deployment_id"].as_str().expect("an id")
    );
    let failed = until(
        "the image to be refused",
        Duration::from_secs(20),
        || async {
            let deployment = api.get(&path).await.expect(200);
            (deployment["status"] == "failed").then_some(deployment)
        },
    )
    .await;
    let reason = failed["error_message"].as_str().unwrap_or_default();
    assert!(reason.contains("Kubernetes"), "{failed}");
    let events = api.get(&format!("{path}/events")).await.expect(200);
    let refused = &events["events"][0];
    assert_eq!(
        (&refused["type"], &refused["reason"]),
        (&json!("warning"), &json!("Refused")),
        "{events}"
    );
    let shown = api.get(&format!("{path}/manifests")).await.expect(200);
    assert!(shown["manifests"]["Deployment/web"].is_string(), "{shown}");
    assert!(!shown.to_string().contains("not-to-be-seen"), "{shown}");
    api.delete(&path).await.expect(202);
}
