//! Spin applications: SpinKube's own operator makes Deployment and Service of what the sidecar applies.

use nokube_api::sidecar::{AppPhase, DesiredState};
use nokube_tests::cluster::sidecar::{CHANGE_LIMIT, Installation};
use nokube_tests::cluster::spec::{Changed as _, Tenant};
use nokube_tests::cluster::visit;
use nokube_tests::guests;
use nokube_tests::wait::until;
use reqwest::Method;
use serde_json::Value;

use crate::objects::{DEPLOYMENTS, SERVICES, SPIN_APPS, object, objects_in, until_nothing_is_in};

fn has_owner(object: &Value, kind: &str) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|owner| owner["kind"] == kind))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spin_application_is_run_by_spinkubes_operator_from_start_to_end() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "spin").await;
    let sidecar = installation.start().await;
    let digest = sidecar.store_artifact(&guests::world("wasi02_hello"));
    let tenant = Tenant::new("ada", "spin-shop");
    let namespace = tenant.namespace();

    let first = tenant
        .spin("api", &digest)
        .then(|app| app.spec.replicas = 2);
    let status = sidecar.runs(&first).await;
    assert_eq!((status.replicas_ready, status.replicas_total), (2, 2));
    let spin_app = object(&kube, SPIN_APPS, &namespace, "api").await;
    assert_eq!(
        spin_app["spec"]["executor"],
        format!("containerd-shim-spin.{namespace}")
    );
    let image = spin_app["spec"]["image"].as_str().unwrap_or_default();
    assert!(image.ends_with(&digest), "{image}");
    // Made by the operator, not by the sidecar.
    let deployment = object(&kube, DEPLOYMENTS, &namespace, "api").await;
    assert!(has_owner(&deployment, "SpinApp"), "{deployment}");
    let pods = &deployment["spec"]["template"]["spec"];
    assert_eq!(pods["runtimeClassName"], "wasmtime-spin-v2");
    let service = object(&kube, SERVICES, &namespace, "api").await;
    assert!(has_owner(&service, "SpinApp"), "{service}");

    // There is no SpinApp without copies: a stopped one is removed and remembered.
    let stopped = first.then(|app| app.desired = DesiredState::Stopped);
    sidecar.want(&stopped).await;
    let _ = sidecar.reaches(&stopped, AppPhase::Stopped).await;
    until("the SpinApp to be gone", CHANGE_LIMIT, || async {
        let left = objects_in(&kube, &namespace, "").await;
        let is_there = left.iter().any(|object| object.starts_with("spinapps/"));
        (!is_there).then_some(())
    })
    .await;
    let started = stopped.then(|app| app.desired = DesiredState::Running);
    let status = sidecar.runs(&started).await;
    assert_eq!(status.replicas_ready, 2);

    sidecar.remove(&started).await;
    until_nothing_is_in(&kube, &namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_ends_while_another_one_has_spin_applications() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "apart").await;
    let sidecar = installation.start().await;
    let digest = sidecar.store_artifact(&guests::world("wasi02_hello"));
    let (one, other) = (
        Tenant::new("ada", "apart-one"),
        Tenant::new("ada", "apart-other"),
    );
    let (first, second) = (one.spin("api", &digest), other.spin("api", &digest));
    let _ = sidecar.runs(&first).await;
    let _ = sidecar.runs(&second).await;
    sidecar.remove(&first).await;
    until_nothing_is_in(&kube, &one.namespace()).await;
    let status = sidecar.status(&second).await.expect("it is known");
    assert_eq!(status.phase, AppPhase::Running);
    sidecar.remove(&second).await;
    until_nothing_is_in(&kube, &other.namespace()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spin_application_becomes_a_container_and_a_spin_application_again() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "kinds").await;
    let sidecar = installation.start().await;
    let digest = sidecar.store_artifact(&guests::world("wasi02_hello"));
    let tenant = Tenant::new("ada", "kinds-shop");
    let namespace = tenant.namespace();
    let spin = tenant.spin("api", &digest);
    let _ = sidecar.runs(&spin).await;
    let image = tenant.container("api");
    let container = spin.then(|app| {
        app.revision = 2;
        app.artifact = image.artifact;
        app.digest.clone_from(&image.digest);
    });
    let status = sidecar.runs(&container).await;
    assert_eq!((status.revision, status.replicas_ready), (2, 1));
    for kind in [DEPLOYMENTS, SERVICES] {
        let made = object(&kube, kind, &namespace, "api").await;
        assert!(!has_owner(&made, "SpinApp"), "{made}");
    }
    let path = format!("/apis/core.spinkube.dev/v1alpha1/namespaces/{namespace}/spinapps");
    assert_eq!(kube.list(&path).await.len(), 0);
    let back = container.then(|app| {
        app.revision = 3;
        app.artifact = spin.artifact;
        app.digest.clone_from(&spin.digest);
    });
    let status = sidecar.runs(&back).await;
    assert_eq!((status.revision, status.replicas_ready), (3, 1));
    for kind in [DEPLOYMENTS, SERVICES] {
        let made = object(&kube, kind, &namespace, "api").await;
        assert!(has_owner(&made, "SpinApp"), "{made}");
    }

    // The name is another deployment's as soon as it is free.
    let path = format!("/v1/apps/{}", back.deployment_id);
    let (status, body) = sidecar.call(Method::DELETE, &path, None).await;
    assert_eq!(status, 202, "{body}");
    let _ = sidecar.runs(&image).await;
    let made = object(&kube, DEPLOYMENTS, &namespace, "api").await;
    assert!(!has_owner(&made, "SpinApp"), "{made}");
    sidecar.remove(&image).await;
    until_nothing_is_in(&kube, &namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_for_a_newer_wasi_than_the_clusters_shim_is_refused_with_that_reason() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "wasi").await;
    let sidecar = installation.start().await;
    let digest = sidecar.store_artifact(&guests::world("wasi03_hello"));
    let tenant = Tenant::new("ada", "wasi-shop");
    let app = tenant.spin("api", &digest);
    sidecar.want(&app).await;
    let status = sidecar.reaches(&app, AppPhase::Failed).await;
    let message = status.message.unwrap_or_default();
    assert!(message.contains("WASI 0.3"), "{message}");
    let path = format!(
        "/apis/core.spinkube.dev/v1alpha1/namespaces/{}/spinapps",
        tenant.namespace()
    );
    assert_eq!(kube.list(&path).await.len(), 0);
    sidecar.remove(&app).await;
}
