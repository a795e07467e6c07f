//! Why something does not run, in words for its owner.

use nokube_api::sidecar::{AppPhase, AppSpec, AppStatus};
use nokube_tests::cluster::sidecar::{Installation, Options, Sidecar};
use nokube_tests::cluster::spec::{Changed as _, Tenant};
use nokube_tests::cluster::visit;

/// Waits for a status that says this, in whatever case.
async fn says(sidecar: &Sidecar, app: &AppSpec, words: &str) -> AppStatus {
    sidecar
        .becomes(app, |status| {
            let message = status.message.as_deref().unwrap_or_default();
            status.phase != AppPhase::Running && message.to_lowercase().contains(words)
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_pods_from_running_is_told() {
    let Some(visit) = visit().await else {
        return;
    };
    let installation = Installation::new(&visit, "reasons").await;
    let sidecar = installation.start().await;
    let tenant = Tenant::new("ada", "reasons-shop");
    let probed = tenant.image("probed", "not-ready").then(|app| {
        app.spec.health_check_enabled = true;
    });
    // In a namespace of its own: it leaves nothing of the quota to others.
    let large = Tenant::new("ada", "reasons-large");
    let large = large.container("large").then(|app| {
        app.spec.replicas = 50;
        app.spec.memory_request = "4Gi".to_owned();
        app.spec.memory_limit = "4Gi".to_owned();
    });
    let cases = [
        (tenant.image("pulled", "pull-fails"), "cannot be pulled"),
        (tenant.image("crashing", "crashes"), "exit code 101"),
        (probed, "prob"),
        (large, "quota"),
    ];
    for (app, _) in &cases {
        sidecar.want(app).await;
    }
    for (app, words) in &cases {
        let _ = says(&sidecar, app, words).await;
    }
    // A revision that works is what its owner does next.
    let mended = cases[0].0.then(|app| {
        app.revision = 2;
        app.image_name = "registry.example.org/ada/good:1".to_owned();
    });
    let _ = sidecar.runs(&mended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_fits_on_no_node_waits_and_that_is_told() {
    let Some(visit) = visit().await else {
        return;
    };
    let installation = Installation::new(&visit, "no-room").await;
    // More than `kwok.yaml` gives a node.
    let sidecar = installation
        .start_with(
            Options::default()
                .with("NOKUBE_QUOTA_MEMORY_REQUESTS", "2Ti")
                .with("NOKUBE_QUOTA_MEMORY_LIMITS", "2Ti"),
        )
        .await;
    let tenant = Tenant::new("ada", "no-room-shop");
    let large = tenant.container("large").then(|app| {
        app.spec.memory_request = "1Ti".to_owned();
        app.spec.memory_limit = "1Ti".to_owned();
    });
    sidecar.want(&large).await;
    let status = says(&sidecar, &large, "no node has room for it").await;
    let message = status.message.unwrap_or_default();
    assert!(message.contains("Insufficient memory"), "{message}");
    // Smaller, it fits.
    let small = large.then(|app| {
        app.spec.memory_request = "64Mi".to_owned();
        app.spec.memory_limit = "128Mi".to_owned();
    });
    let _ = sidecar.runs(&small).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_revision_serves_on_when_the_next_one_fails() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "serves-on").await;
    let sidecar = installation.start().await;
    let tenant = Tenant::new("ada", "serves-on-shop");
    let first = tenant.container("web");
    let _ = sidecar.runs(&first).await;
    let bad = first.then(|app| {
        app.revision = 2;
        app.image_name = "registry.example.org/ada/crashes:2".to_owned();
        app.digest = format!("sha256:{}", "c".repeat(64));
    });
    sidecar.want(&bad).await;
    let _ = says(&sidecar, &bad, "exit code 101").await;
    let path = format!("/api/v1/namespaces/{}/pods", tenant.namespace());
    let pods = kube.list(&path).await;
    let serving = pods.iter().filter(|pod| {
        let ready = pod["status"]["containerStatuses"][0]["ready"] == true;
        let image = pod["spec"]["containers"][0]["image"].as_str();
        ready && image.is_some_and(|image| image.ends_with(&first.digest))
    });
    assert_eq!(serving.count(), 1, "{pods:?}");
}
