//! What is somebody else's.

use std::sync::Arc;
use std::time::Duration;

use nokube_api::sidecar::AppSpec;
use nokube_sidecar::{Health, Target as _, TargetError};
use serde_json::json;
use tokio::time::Instant;

use crate::testing::{Fake, Rule, World, container, spec};

const NAMESPACES: &str = "/api/v1/namespaces";

pub(super) async fn namespaces_that_are_not_ours_are_refused() -> Fake {
    let world = World::new().await;
    let mut app = spec(1);
    for name in ["", "default", "kube-system", "nokube-system", "../x", "a/b"] {
        name.clone_into(&mut app.namespace);
        let error = world.apply(&app).await.unwrap_err();
        assert!(matches!(error, TargetError::Refused(_)), "{name}: {error}");
    }
    for labels in [
        json!({}),
        json!({ "nokube.dev/platform": "nokube", "nokube.dev/project-id": "2", "nokube.dev/environment": "production" }),
        json!({ "nokube.dev/platform": "other", "nokube.dev/project-id": "1", "nokube.dev/environment": "production" }),
    ] {
        "taken".clone_into(&mut app.namespace);
        let namespace = json!({ "metadata": { "name": "taken", "labels": labels } });
        world.fake.insert(NAMESPACES, namespace);
        let error = world.apply(&app).await.unwrap_err();
        assert!(
            matches!(&error, TargetError::Refused(message) if message.contains("is not this environment's")),
            "{error}"
        );
        // Nothing was made in it, and removing the deployment leaves it alone.
        assert_eq!(world.fake.names("taken"), [] as [String; 0]);
        world.removed(&app).await;
        assert!(world.fake.get(NAMESPACES, "taken").is_some());
    }
    world.fake
}

pub(super) async fn objects_that_are_not_ours_are_left_alone() -> Fake {
    let world = World::new().await;
    // The namespace is there already.
    world.runs(&spec(1)).await;
    let app = container(1);
    let services = World::place(&app, "/api/v1", "services");
    world.fake.insert(
        &services,
        json!({ "metadata": { "name": "worker", "namespace": app.namespace, "labels": { "app": "x" } } }),
    );
    let error = world.apply(&app).await.unwrap_err();
    assert!(
        matches!(&error, TargetError::Refused(message) if message.contains("Service/worker")),
        "{error}"
    );
    world.removed(&app).await;
    let left = world.fake.get(&services, "worker").unwrap();
    assert_eq!(left["metadata"]["labels"], json!({ "app": "x" }));
    world.fake
}

pub(super) async fn fields_that_another_client_changed_are_taken_back() -> Fake {
    let world = World::new().await;
    world.runs(&container(1)).await;
    let held = json!({
        "kind": "Status", "message": "Apply failed with 1 conflict: conflict with \"kubectl\"",
        "reason": "Conflict", "details": { "causes": [{ "reason": "FieldManagerConflict" }] },
    });
    world.fake.script(Rule {
        body: held,
        ..Rule::status("PATCH", "/services/", 409, "")
    });
    world.runs(&container(2)).await;
    let patches = world.fake.calls();
    let services = patches
        .iter()
        .filter(|call| call.starts_with("PATCH") && call.ends_with("/services/worker"));
    assert_eq!(services.count(), 3);
    world.fake
}

pub(super) async fn what_somebody_changed_is_written_again() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.runs(&app).await;
    let deployments = World::place(&app, "/apis/apps/v1", "deployments");
    // What the cluster itself does to a workload is no change of what is wanted of it.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut workload = world.workload(&app).unwrap();
    workload["status"] = json!({ "replicas": 1 });
    world.fake.insert(&deployments, workload.clone());
    assert!(!is_stale_within(&world, &app, Duration::from_secs(30)).await);
    let replicas = workload["spec"]["replicas"].clone();
    workload["spec"]["replicas"] = json!(7);
    world.fake.insert(&deployments, workload);
    assert!(is_stale_within(&world, &app, Duration::from_secs(5)).await);
    world.apply(&app).await.unwrap();
    assert_eq!(world.workload(&app).unwrap()["spec"]["replicas"], replicas);
    assert_eq!(world.observe(&app).await.health, Health::Ready);
    // Whoever does not give in is followed, but not as fast as it changes it.
    let mut workload = world.workload(&app).unwrap();
    workload["spec"]["replicas"] = json!(7);
    world.fake.insert(&deployments, workload);
    assert!(!is_stale_within(&world, &app, Duration::from_secs(20)).await);
    assert!(is_stale_within(&world, &app, Duration::from_secs(20)).await);
    world.fake
}

pub(super) async fn what_is_not_watched_is_written_again_after_a_while() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.runs(&app).await;
    let policies = World::place(&app, "/apis/networking.k8s.io/v1", "networkpolicies");
    let services = World::place(&app, "/api/v1", "services");
    let before = world.names(&app);
    for name in world.names(&app) {
        if let Some(name) = name.strip_prefix("networkpolicies/") {
            world.fake.take(&policies, name);
        }
    }
    world.fake.take(&services, "worker");
    assert!(!is_stale_within(&world, &app, Duration::from_secs(7 * 60)).await);
    assert!(is_stale_within(&world, &app, Duration::from_secs(6 * 60)).await);
    world.apply(&app).await.unwrap();
    assert_eq!(world.names(&app), before);
    // Not sooner again for that.
    assert!(!is_stale_within(&world, &app, Duration::from_secs(7 * 60)).await);
    // And after a restart within the same time.
    let world = world.restarted().await;
    assert!(is_stale_within(&world, &app, Duration::from_secs(10 * 60)).await);
    world.fake
}

/// Looks every second; ends when it is said to be written again.
async fn is_stale_within(world: &World, app: &AppSpec, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if world.observe(app).await.stale {
            return true;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    false
}

pub(super) async fn a_namespace_with_somebody_elses_objects_stays() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.runs(&app).await;
    let configmaps = World::place(&app, "/api/v1", "configmaps");
    for name in ["notes", "kube-root-ca.crt"] {
        world.fake.insert(
            &configmaps,
            json!({ "metadata": { "name": name, "namespace": app.namespace } }),
        );
    }
    world.removed(&app).await;
    assert!(world.fake.get(&configmaps, "notes").is_some());
    assert_eq!(world.workload(&app), None);
    world.target.keep_house().await;
    assert!(world.metrics.text(&[]).contains("nokube_namespaces_kept 1"));
    assert!(world.fake.get(NAMESPACES, "shop-production").is_some());
    // What is said of a deployment that is made there later is said of that one, in whichever order both are read.
    let mut world = world;
    world.runs(&app).await;
    for number in 0..8 {
        world = world.restarted().await;
        let reason = format!("No{number}");
        world.warn(&app, ("Deployment", "worker"), &reason, "no room");
        world
            .until("the warning to be told", || async {
                let told = world.target.events(&app).await.unwrap();
                told.iter()
                    .any(|event| event.reason == reason)
                    .then_some(())
            })
            .await;
    }
    world.removed(&app).await;
    // Also after a restart it is known, and goes when nothing keeps it.
    let world = world.restarted().await;
    world.fake.take(&configmaps, "notes");
    world.target.keep_house().await;
    assert_eq!(world.fake.get(NAMESPACES, "shop-production"), None);
    world.target.keep_house().await;
    assert_eq!(world.fake.names("nokube-system"), [] as [String; 0]);
    world.fake
}

pub(super) async fn a_namespace_in_which_somebody_elses_pods_run_stays() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.runs(&app).await;
    let pods = World::place(&app, "/api/v1", "pods");
    let pod = |name: &str, labels: serde_json::Value, owner: &str| {
        json!({ "metadata": {
            "name": name, "namespace": app.namespace, "labels": labels,
            "ownerReferences": [{ "kind": owner, "name": "x" }],
        } })
    };
    // Of a StatefulSet, which is not looked for itself; and one that goes with its challenge.
    world
        .fake
        .insert(&pods, pod("db-0", json!({}), "StatefulSet"));
    let solver = json!({ "acme.cert-manager.io/http01-solver": "true" });
    world.fake.insert(&pods, pod("solver", solver, "Challenge"));
    world.removed(&app).await;
    assert!(world.fake.get(&pods, "db-0").is_some());
    world.fake.take(&pods, "db-0");
    world.target.keep_house().await;
    assert_eq!(world.fake.get(NAMESPACES, "shop-production"), None);
    world.fake
}

pub(super) async fn specs_that_no_cluster_can_have_are_told_before_they_are_taken() -> Fake {
    let world = World::new().await;
    assert_eq!(world.target.check(&spec(1)), []);
    let mut app = spec(1);
    app.service = "a".repeat(53);
    app.spec.storage_size = Some("1Gi".to_owned());
    app.spec.storage_path = Some("/data".to_owned());
    app.spec.replicas = 2;
    app.spec.custom_domain = Some("x.localhost".to_owned());
    let faults = world.target.check(&app);
    let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert!(pointers.contains(&"/service"), "{pointers:?}");
    app.spec.custom_domain = None;
    let faults = world.target.check(&app);
    let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/service", "/spec/replicas"]);
    world.fake
}

pub(super) async fn who_does_not_lead_writes_nothing() -> Fake {
    let world = World::new().await;
    world.runs(&spec(1)).await;
    world.term.revoke();
    nothing_is_written(&world).await;
    // Nor does a process that was stopped for a while and has not heard yet that another one leads.
    let world = world.restarted().await;
    world.renewed_at(Instant::now());
    tokio::time::sleep(Duration::from_secs(9)).await;
    world.apply(&spec(2)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    nothing_is_written(&world).await;
    world.fake
}

async fn nothing_is_written(world: &World) {
    let before = world.fake.calls().len();
    assert!(world.apply(&spec(2)).await.is_err());
    assert!(world.target.remove(&spec(2)).await.is_err());
    world.target.keep_house().await;
    assert_eq!(world.fake.calls().len(), before);
}

pub(super) async fn what_is_under_way_when_a_lead_ends_is_the_last() -> Fake {
    let world = Arc::new(World::new().await);
    world.fake.script(Rule {
        after: Duration::from_secs(3),
        ..Rule::status("PATCH", "/resourcequotas/", 500, "later")
    });
    let applying = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.apply(&spec(1)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    world.term.end().await;
    // The lease is not given back before.
    assert_eq!(begun.elapsed().as_secs(), 2);
    let writes = || {
        let calls = world.fake.calls();
        let reads = ["GET", "LIST", "WATCH"];
        let is_read = |call: &String| reads.iter().any(|verb| call.starts_with(verb));
        calls.iter().filter(|call| !is_read(call)).count()
    };
    let before = writes();
    let error = applying.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "another sidecar has taken over");
    assert_eq!(writes(), before);
    world.fake.clone()
}
