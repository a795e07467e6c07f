//! From one revision to another one that does not fit beside it.

use nokube_api::sidecar::{AppSpec, ArtifactKind, DesiredState};
use nokube_sidecar::{Target as _, TargetError};
use serde_json::Value;

use crate::testing::{Fake, World, container, ready, spec};

fn next(app: &AppSpec, change: impl FnOnce(&mut AppSpec)) -> AppSpec {
    let mut next = app.clone();
    next.generation += 1;
    next.revision += 1;
    change(&mut next);
    next
}

fn with_volume(mut app: AppSpec) -> AppSpec {
    app.spec.storage_size = Some("1Gi".to_owned());
    app.spec.storage_path = Some("/data".to_owned());
    app
}

fn as_container(app: &mut AppSpec) {
    app.artifact = ArtifactKind::Container;
    app.image_name = "docker.io/library/nginx:1.27".to_owned();
}

fn deployment(world: &World, app: &AppSpec) -> Value {
    let place = World::place(app, "/apis/apps/v1", "deployments");
    world.fake.get(&place, &app.service).unwrap()
}

fn is_of_spinkube(object: &Value) -> bool {
    object["metadata"]["ownerReferences"][0]["kind"] == "SpinApp"
}

pub(super) async fn a_deployment_changes_its_kind_and_back() -> Fake {
    let world = World::new().await;
    let spin = spec(1);
    world.runs(&spin).await;
    assert!(is_of_spinkube(&deployment(&world, &spin)));
    let other = next(&spin, as_container);
    // When the cluster does not take it, what serves can still be started again.
    let denied = "admission webhook \"routes.example.org\" denied the request: the host is taken";
    let deny = crate::testing::Rule::status("PATCH", "/httproutes/", 400, denied);
    world.fake.script(deny);
    let error = world.apply(&other).await.unwrap_err();
    assert!(matches!(error, TargetError::Refused(_)), "{error}");
    let namespace = world.fake.get("/api/v1/namespaces", &spin.namespace);
    let enforced = |namespace: Option<Value>| {
        namespace.unwrap()["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].clone()
    };
    assert_eq!(enforced(namespace), "baseline");
    assert!(world.workload(&spin).is_some());
    world.becomes(&other).await;
    assert_eq!(world.workload(&spin), None);
    let services = World::place(&spin, "/api/v1", "services");
    let service = world.fake.get(&services, "api").unwrap();
    assert!(!is_of_spinkube(&service) && !is_of_spinkube(&deployment(&world, &other)));
    let back = next(&other, |app| app.artifact = ArtifactKind::Spin);
    world.becomes(&back).await;
    let service = world.fake.get(&services, "api").unwrap();
    assert!(is_of_spinkube(&service) && is_of_spinkube(&deployment(&world, &back)));
    world.removed(&back).await;
    assert_eq!(world.names(&back), [] as [String; 0]);
    world.fake
}

pub(super) async fn a_name_is_taken_over_by_another_kind_once_it_is_free() -> Fake {
    let world = World::new().await;
    // A neighbour, so that the namespace stays.
    world.runs(&container(1)).await;
    let first = spec(1);
    world.runs(&first).await;
    world.target.remove(&first).await.unwrap();
    let mut second = spec(1);
    second.deployment_id = "01940000-0000-7000-8000-000000000009".to_owned();
    as_container(&mut second);
    let error = world.apply(&second).await.unwrap_err();
    assert!(
        matches!(&error, TargetError::Unavailable(message) if message.contains("still being removed")),
        "{error}"
    );
    // What somebody's SpinApp has is somebody's.
    let world = {
        world.removed(&first).await;
        world.becomes(&second).await;
        world.removed(&second).await;
        world
    };
    let place = World::place(&first, "/apis/core.spinkube.dev/v1alpha1", "spinapps");
    let theirs = serde_json::json!({ "metadata": { "name": "api", "namespace": first.namespace } });
    world.fake.insert(&place, theirs);
    let mut service = serde_json::json!({
        "metadata": { "name": "api", "namespace": first.namespace },
    });
    service["metadata"]["ownerReferences"] =
        serde_json::json!([{ "kind": "SpinApp", "name": "api" }]);
    world
        .fake
        .insert(&World::place(&first, "/api/v1", "services"), service);
    let error = world.apply(&second).await.unwrap_err();
    assert!(matches!(error, TargetError::Refused(_)), "{error}");
    world.fake
}

pub(super) async fn a_volume_stays_as_large_as_it_was_and_of_its_class() -> Fake {
    let world = World::new().await;
    let first = with_volume(container(1));
    world.runs(&first).await;
    let claim = |world: &World| {
        let place = World::place(&first, "/api/v1", "persistentvolumeclaims");
        let claim = world.fake.get(&place, "worker.data").unwrap();
        let spec = &claim["spec"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (
            text(&spec["resources"]["requests"]["storage"]),
            text(&spec["storageClassName"]),
        )
    };
    let is = |size: &str| (size.to_owned(), "standard".to_owned());
    assert_eq!(claim(&world), is("1Gi"));
    // Nothing is behind it yet.
    let place = World::place(&first, "/api/v1", "persistentvolumeclaims");
    let set_phase = |phase: &str| {
        let mut claim = world.fake.get(&place, "worker.data").unwrap();
        claim["status"]["phase"] = phase.into();
        world.fake.insert(&place, claim);
    };
    set_phase("Pending");
    let second = next(&first, |app| app.spec.storage_size = Some("2Gi".to_owned()));
    world.runs(&second).await;
    assert_eq!(claim(&world), is("1Gi"));
    set_phase("Bound");
    world.runs(&second).await;
    assert_eq!(claim(&world), is("2Gi"));
    // Back to the first.
    let third = next(&second, |app| app.spec = first.spec.clone());
    world.runs(&third).await;
    assert_eq!(claim(&world), is("2Gi"));
    // Without it for a while, and then with another class for new ones.
    let fourth = next(&third, |app| {
        app.spec.storage_size = None;
        app.spec.storage_path = None;
    });
    world.runs(&fourth).await;
    let world = world
        .restarted_with(|settings| settings.storage_class = Some("fast".to_owned()))
        .await;
    let fifth = next(&fourth, |app| app.spec = first.spec.clone());
    world.runs(&fifth).await;
    assert_eq!(claim(&world), is("2Gi"));
    world.fake
}

pub(super) async fn one_copy_at_a_time_has_the_volume() -> Fake {
    let world = World::new().await;
    let first = with_volume(spec(1));
    world.runs(&first).await;
    let second = next(&first, |_| {});
    let error = world.apply(&second).await.unwrap_err();
    assert!(
        matches!(&error, TargetError::Unavailable(message) if message.contains("has the volume is ending")),
        "{error}"
    );
    world.applied(&second).await;
    assert_eq!(world.pods(&second), [] as [String; 0]);
    world.make_pods(&second, &ready());
    // What had begun and was not ended is not begun again.
    let third = next(&second, |_| {});
    world
        .until("only a route to be missing", || async {
            let route = crate::testing::Rule::status("PATCH", "/httproutes/", 500, "later");
            let failed = world.apply(&third).await.is_err();
            if world.pods(&third).is_empty() && failed {
                world.fake.script(route.times(12));
                return Some(());
            }
            None
        })
        .await;
    world.applied(&third).await;
    let removals = |world: &World| {
        let calls = world.fake.calls();
        calls
            .iter()
            .filter(|call| call.starts_with("DELETE") && call.ends_with("/spinapps/api"))
            .count()
    };
    assert_eq!(removals(&world), 2);
    world.make_pods(&third, &ready());
    stops_and_starts(&world, third).await;
    let app = with_volume(container(1));
    world.runs(&app).await;
    stops_and_starts(&world, app).await;
    world.fake
}

async fn stops_and_starts(world: &World, app: AppSpec) {
    let mut app = app;
    app.generation += 1;
    app.desired = DesiredState::Stopped;
    world.applied(&app).await;
    app.generation += 1;
    app.desired = DesiredState::Running;
    world
        .until("the pods to be seen", || async {
            (world.observe(&app).await.present && !world.pods(&app).is_empty()).then_some(())
        })
        .await;
    let error = world.apply(&app).await.unwrap_err();
    assert!(matches!(error, TargetError::Unavailable(_)), "{error}");
    if app.artifact == ArtifactKind::Container {
        // The Deployment's own controller ends them.
        assert_eq!(world.workload(&app).unwrap()["spec"]["replicas"], 0);
        world.remove_pods(&app);
    }
    world.applied(&app).await;
    assert_eq!(world.pods(&app), [] as [String; 0]);
    world.make_pods(&app, &ready());
    world
        .until_health(&app, |health| *health == nokube_sidecar::Health::Ready)
        .await;
}

pub(super) async fn turning_autoscaling_on_keeps_the_copies() -> Fake {
    let world = World::new().await;
    for app in [spec(1), container(1)] {
        let copies = || deployment(&world, &app)["spec"]["replicas"].clone();
        let mut fixed = app.clone();
        fixed.spec.replicas = 5;
        fixed.spec.max_replicas = 5;
        world.runs(&fixed).await;
        let scaled = next(&fixed, |app| {
            app.spec.enable_autoscaling = true;
            app.spec.min_replicas = 2;
            app.spec.max_replicas = 8;
        });
        world.runs(&scaled).await;
        assert_eq!(copies(), 5);
        // From then on they are the autoscaler's.
        let place = World::place(&app, "/apis/apps/v1", "deployments");
        world.fake.scale(&place, &app.service, 7);
        let second = next(&scaled, |_| {});
        world.runs(&second).await;
        assert_eq!(copies(), 7);
        // And ours again.
        let third = next(&second, |app| app.spec = fixed.spec.clone());
        world.runs(&third).await;
        assert_eq!(copies(), 5);
        // What was stopped has no copies to keep.
        let mut stopped = next(&third, |app| app.spec = scaled.spec.clone());
        stopped.desired = DesiredState::Stopped;
        world.applied(&stopped).await;
        world.remove_pods(&app);
        let mut started = next(&stopped, |_| {});
        started.desired = DesiredState::Running;
        world.becomes(&started).await;
        if app.artifact == ArtifactKind::Container {
            assert_eq!(copies(), 2);
        }
    }
    world.fake
}
