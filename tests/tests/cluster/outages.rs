//! The API server dies, the sidecar dies, and everything that was wanted comes to be.

use std::time::{Duration, Instant};

use nokube_api::sidecar::{AppPhase, AppSpec};
use nokube_tests::cluster::faults::FaultyApi;
use nokube_tests::cluster::kube::Kube;
use nokube_tests::cluster::sidecar::{CHANGE_LIMIT, Installation, Options};
use nokube_tests::cluster::spec::{Changed as _, Tenant};
use nokube_tests::cluster::{visit, visit_alone};
use nokube_tests::wait::until;
use reqwest::Method;
use serde_json::Value;

use crate::objects::{DEPLOYMENTS, object, objects_in, until_nothing_is_in, until_object};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_survive_an_api_server_that_is_killed_while_they_are_applied() {
    let Some(visit) = visit_alone().await else {
        return;
    };
    let proxy = FaultyApi::start(&visit).await;
    let installation = Installation::new(&visit, "outage").await;
    let sidecar = installation
        .start_with(Options::by_way_of(&proxy.url()))
        .await;
    let tenant = Tenant::new("ada", "outage-shop");
    let apps: Vec<AppSpec> = (0..8)
        .map(|n| tenant.container(&format!("web-{n}")))
        .collect();
    for app in &apps {
        sidecar.want(app).await;
    }
    until(
        "the first deployment to be applied",
        CHANGE_LIMIT,
        || async {
            let asked = proxy.asked();
            let applied = |path: &str| path.contains("/deployments/web-");
            asked
                .iter()
                .any(|asked| asked.method == Method::PATCH && applied(&asked.path))
                .then_some(())
        },
    )
    .await;
    visit.kill_api_server();
    // Its status is what is known; it neither ends nor says that all is well.
    let (status, _) = sidecar.call(Method::GET, "/v1/apps", None).await;
    assert_eq!(status, 200);
    visit.start_api_server().await;
    // One that could not renew its lease for long has ended.
    let sidecar = installation
        .started_again(sidecar, Options::by_way_of(&proxy.url()))
        .await;
    for app in &apps {
        let _ = sidecar.reaches(app, AppPhase::Running).await;
    }
    let kube = visit.kube();
    for app in &apps {
        let _ = object(&kube, DEPLOYMENTS, &tenant.namespace(), &app.service).await;
        sidecar.remove(app).await;
    }
    until_nothing_is_in(&kube, &tenant.namespace()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_the_api_server_is_away_is_noticed_when_it_is_back() {
    let Some(visit) = visit_alone().await else {
        return;
    };
    let installation = Installation::new(&visit, "away").await;
    let sidecar = installation.start().await;
    let tenant = Tenant::new("ada", "away-shop");
    let app = tenant.container("web");
    let _ = sidecar.runs(&app).await;

    visit.kill_api_server();
    // Said while nobody is there: acknowledged only when it is kept, so perhaps not.
    let scaled = app.then(|app| app.spec.replicas = 3);
    let body = serde_json::to_value(&scaled).expect("JSON");
    let path = format!("/v1/apps/{}", scaled.deployment_id);
    if let Some((status, body)) = sidecar.try_call(Method::PUT, &path, Some(&body)).await {
        assert!((500..600).contains(&status), "{status} {body}");
    }
    visit.start_api_server().await;
    // One that could not renew its lease for long has ended.
    let sidecar = installation
        .started_again(sidecar, Options::default())
        .await;
    until("the sidecar to take it", CHANGE_LIMIT, || async {
        let (status, _) = sidecar.put(&scaled).await;
        (status == 202).then_some(())
    })
    .await;
    let status = sidecar.reaches(&scaled, AppPhase::Running).await;
    assert_eq!(status.replicas_ready, 3);
    // The watch lives: somebody else's change is seen.
    let kube = visit.kube();
    let pods = format!("/api/v1/namespaces/{}/pods", tenant.namespace());
    let deployment = object(&kube, DEPLOYMENTS, &tenant.namespace(), "web").await;
    assert_eq!(deployment["spec"]["replicas"], 3);
    // The controllers' watches live, too: of a pod that they have made and never saw they expect for five minutes to see it.
    let all_seen = |deployment: &Value| deployment["status"]["readyReplicas"] == 3;
    let _ = until_object(&kube, DEPLOYMENTS, &tenant.namespace(), "web", all_seen).await;
    let gone = kube.delete(&pods).await;
    assert!(gone.status.is_success(), "{gone:?}");
    let _ = sidecar
        .becomes(&scaled, |status| status.replicas_ready == 3)
        .await;
}

/// Whether an application's objects are there in part.
async fn is_half_made(kube: &Kube, namespace: &str, app: &AppSpec) -> bool {
    let own = format!("nokube.dev%2Fdeployment%3D{}", app.deployment_id);
    let objects = objects_in(kube, namespace, &own).await;
    !objects.is_empty()
        && !objects
            .iter()
            .any(|object| object.starts_with("httproutes/"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_killed_between_two_objects_goes_on_where_it_stopped() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "killed").await;
    let tenant = Tenant::new("ada", "killed-shop");
    let mut app = with_variable(&tenant);
    let folder = tempfile::tempdir().expect("a folder");
    let marker = folder.path().join("crashed").display().to_string();
    let (mut crashes, mut half_made) = (0, 0);
    // Each time one object later, until there is none any more.
    loop {
        let _ = std::fs::remove_file(&marker);
        let point = format!("cluster.object_applied#{}", crashes + 1);
        let crashing = Options::default()
            .with(nokube_faults::CRASH_AT, &point)
            .with(nokube_faults::CRASH_MARKER, &marker);
        let mut sidecar = installation.start_with(crashing).await;
        // It may die before it answers.
        let body = serde_json::to_value(&app).expect("JSON");
        let path = format!("/v1/apps/{}", app.deployment_id);
        let _ = sidecar.try_call(Method::PUT, &path, Some(&body)).await;
        let began = Instant::now();
        let runs = loop {
            if sidecar.has_ended() {
                break false;
            }
            let status = sidecar.try_call(Method::GET, &path, None).await;
            if status.is_some_and(|(_, status)| status["phase"] == "running") {
                break true;
            }
            assert!(began.elapsed() < CHANGE_LIMIT, "{}", sidecar.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        if runs {
            sidecar.remove(&app).await;
            break;
        }
        crashes += 1;
        half_made += u32::from(is_half_made(&kube, &tenant.namespace(), &app).await);

        installation.forget_leader().await;
        let mut sidecar = installation.start().await;
        sidecar.want(&app).await;
        let _ = sidecar.reaches(&app, AppPhase::Running).await;
        let _ = object(&kube, DEPLOYMENTS, &tenant.namespace(), "web").await;
        sidecar.remove(&app).await;
        sidecar.kill();
        installation.forget_leader().await;
        // What was removed does not come back under its id.
        app = with_variable(&tenant);
    }
    assert!(crashes >= 3, "it died {crashes} times");
    assert!(half_made > 0, "it never died between two objects");
    until_nothing_is_in(&kube, &tenant.namespace()).await;
}

fn with_variable(tenant: &Tenant) -> AppSpec {
    let mut app = tenant.container("web");
    app.spec.env_vars.insert("A".to_owned(), "1".to_owned());
    app
}
