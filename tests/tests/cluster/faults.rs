//! What the API server answers on a bad day, and what is not installed.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures::FutureExt as _;
use nokube_api::sidecar::AppPhase;
use nokube_tests::cluster::faults::{FaultyApi, Given};
use nokube_tests::cluster::sidecar::{CHANGE_LIMIT, Installation, Options};
use nokube_tests::cluster::spec::{Changed as _, Tenant};
use nokube_tests::cluster::webhook::Webhook;
use nokube_tests::cluster::{visit, visit_alone};
use nokube_tests::wait::until;
use reqwest::Method;
use serde_json::json;

use crate::objects::{DEPLOYMENTS, object, until_object};

/// What is settled is looked at every minute, and nothing is written twice within half of one.
const DRIFT_LIMIT: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_a_bad_day_delay_a_deployment_and_nothing_else() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let proxy = FaultyApi::start(&visit).await;
    let installation = Installation::new(&visit, "bad-day").await;
    let sidecar = installation
        .start_with(Options::by_way_of(&proxy.url()))
        .await;
    let tenant = Tenant::new("ada", "bad-day-shop");
    let faults = [
        ("conflict", Given::CONFLICT),
        ("too-many", Given::TOO_MANY),
        ("unavailable", Given::UNAVAILABLE),
        ("broken", Given::Nothing),
        ("lost", Given::NothingAfterIt),
    ];
    let apps = faults.map(|(service, _)| tenant.container(service));
    for (service, given) in faults {
        proxy.fail(Method::PATCH, &format!("/deployments/{service}?"), 2, given);
        proxy.fail(Method::PATCH, &format!("/services/{service}?"), 1, given);
    }
    for app in &apps {
        sidecar.want(app).await;
    }
    for app in &apps {
        let _ = sidecar.reaches(app, AppPhase::Running).await;
    }
    assert_eq!(proxy.left(), 0, "some faults were never met");
    // And nothing was made twice.
    for app in &apps {
        let deployment = object(&kube, DEPLOYMENTS, &tenant.namespace(), &app.service).await;
        assert_eq!(deployment["metadata"]["generation"], 1, "{deployment}");
    }
    // Nor is anything written over and over once all is well, such as while others are deployed.
    let _ = proxy.asked();
    let other = Tenant::new("bob", "bad-day-other");
    for number in 0..3 {
        let _ = sidecar
            .runs(&other.container(&format!("web-{number}")))
            .await;
    }
    let writes = proxy.asked().into_iter().filter(|asked| {
        matches!(asked.method, Method::PATCH | Method::POST | Method::DELETE)
            && asked.path.contains(&tenant.namespace())
    });
    let writes: Vec<_> = writes.collect();
    assert!(writes.len() <= 2, "{writes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_that_break_or_are_too_old_begin_anew_and_miss_nothing() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let proxy = FaultyApi::start(&visit).await;
    let installation = Installation::new(&visit, "watches").await;
    let sidecar = installation
        .start_with(Options::by_way_of(&proxy.url()))
        .await;
    let tenant = Tenant::new("ada", "watches-shop");
    let app = tenant.container("web").then(|app| app.spec.replicas = 2);
    let _ = sidecar.runs(&app).await;

    // Every watch is told that its place is forgotten, and meanwhile a pod stops being ready.
    proxy.fail(Method::GET, "watch=", 6, Given::EXPIRED);
    proxy.cut();
    let path = format!("/api/v1/namespaces/{}/pods", tenant.namespace());
    let pods = kube.list(&path).await;
    let pod = pods.first().expect("it has pods");
    let name = crate::objects::name_of(pod);
    let not_ready = json!({ "status": { "conditions": [
        { "type": "Ready", "status": "False", "reason": "ContainersNotReady",
          "lastTransitionTime": "2026-01-02T03:04:05Z" },
    ] } });
    let _ = kube
        .merge(&format!("{path}/{name}/status"), &not_ready)
        .await
        .expect("a pod that is not ready");
    let _ = sidecar
        .becomes(&app, |status| status.replicas_ready == 1)
        .await;
    let gone = kube.delete(&format!("{path}/{name}")).await;
    assert!(gone.status.is_success(), "{gone:?}");
    let _ = sidecar
        .becomes(&app, |status| status.replicas_ready == 2)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_webhook_denies_is_told_in_its_words() {
    let Some(visit) = visit().await else {
        return;
    };
    let installation = Installation::new(&visit, "webhook").await;
    let sidecar = installation.start().await;
    let tenant = Tenant::new("ada", "webhook-shop");
    let words = "images of this registry are not signed";
    let webhook = Webhook::deny(visit.kube(), &tenant.namespace(), &["deployments"], words).await;
    let app = tenant.container("web");
    sidecar.want(&app).await;
    let status = sidecar.reaches(&app, AppPhase::Failed).await;
    let message = status.message.unwrap_or_default();
    assert!(message.contains(words), "{message}");
    assert!(webhook.asked() > 0);
    webhook.allow().await;
    let again = app.then(|app| app.revision = 2);
    let _ = sidecar.runs(&again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_is_not_installed_is_named_and_waited_for() {
    // Others need the definition.
    let Some(visit) = visit_alone().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "no-kind").await;
    let sidecar = installation.start().await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let path = format!("{definitions}/httproutes.gateway.networking.k8s.io");
    let mut definition = kube.get(&path).await.expect("the Gateway API is installed");
    let _ = kube.delete(&path).await.expect(&path);
    until("the definition to be gone", CHANGE_LIMIT, || async {
        kube.find(&path).await.is_none().then_some(())
    })
    .await;

    let tenant = Tenant::new("ada", "no-kind-shop");
    let exposed = tenant.container("web");
    let inner = tenant.container("inner").then(|app| {
        app.spec.exposure_type = "internal".to_owned();
    });
    sidecar.want(&exposed).await;
    let named = |message: &Option<String>| {
        message
            .as_ref()
            .is_some_and(|message| message.contains("HTTPRoute"))
    };
    let without = AssertUnwindSafe(async {
        let told = sidecar
            .becomes(&exposed, |status| named(&status.message))
            .await;
        assert_ne!(told.phase, AppPhase::Running);
        let _ = sidecar.runs(&inner).await;
    });
    // Whatever comes of it, other tests need the definition.
    let outcome = without.catch_unwind().await;
    for field in [
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "generation",
        "managedFields",
    ] {
        let metadata = definition["metadata"].as_object_mut();
        metadata.expect("an object has metadata").remove(field);
    }
    definition["status"].take();
    let _ = kube
        .create(definitions, &definition)
        .await
        .expect(definitions);
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
    // Nobody asks again: the sidecar tries by itself.
    let _ = sidecar.reaches(&exposed, AppPhase::Running).await;
    let routes = "/apis/gateway.networking.k8s.io/v1/httproutes";
    let _ = until_object(&kube, routes, &tenant.namespace(), "web", |_| true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_changes_of_a_workload_is_changed_back() {
    let Some(visit) = visit().await else {
        return;
    };
    let installation = Installation::new(&visit, "drift").await;
    let sidecar = installation.start().await;
    let tenant = Tenant::new("ada", "drift-shop");
    let app = tenant.container("web");
    let _ = sidecar.runs(&app).await;
    let kube = visit.kube();
    let namespace = tenant.namespace();
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/web");
    let change = json!({ "spec": { "replicas": app.spec.replicas + 2 } });
    let _ = kube.merge(&path, &change).await.expect("a change");
    until(
        "the copies to be as many as wanted",
        DRIFT_LIMIT,
        || async {
            let found = kube.find(&path).await?;
            (found["spec"]["replicas"] == app.spec.replicas).then_some(())
        },
    )
    .await;
    assert!(sidecar.runs(&app).await.message.is_none());
}
