//! The ordinary life of deployments.

use nokube_api::sidecar::{AppSpec, DesiredState};
use nokube_manifests::Edge;
use nokube_sidecar::{Health, Target as _, TargetError};

use crate::testing::{Fake, Rule, World, container, ready, spec};

pub(super) async fn a_spin_application_runs_and_leaves_nothing_behind() -> Fake {
    let world = World::new().await;
    let app = spec(1);
    world.runs(&app).await;
    let observed = world.observe(&app).await;
    assert_eq!((observed.applied, observed.replicas_ready), (Some(1), 1));
    for kind in ["Namespace", "SpinApp"] {
        assert!(observed.objects.contains(&kind), "{kind}");
    }
    // Applying the same again is no change.
    world.apply(&app).await.unwrap();
    assert_eq!(world.observe(&app).await.health, Health::Ready);
    world.removed(&app).await;
    assert_eq!(world.names(&app), [] as [String; 0]);
    assert_eq!(
        world.fake.get("/api/v1/namespaces", "shop-production"),
        None
    );
    let kept = world.fake.names("nokube-system");
    assert_eq!(kept, [] as [String; 0]);
    world.fake
}

pub(super) async fn a_container_with_a_volume_behind_an_ingress_leaves_nothing_behind() -> Fake {
    let world = World::with_edge(Edge::Ingress {
        class: "nginx".to_owned(),
    })
    .await;
    let mut app = container(1);
    app.spec.storage_size = Some("1Gi".to_owned());
    app.spec.storage_path = Some("/data".to_owned());
    comes_and_goes(
        world,
        &app,
        &["ingresses/", "persistentvolumeclaims/", "services/"],
    )
    .await
}

pub(super) async fn a_container_that_scales_behind_a_gateway_leaves_nothing_behind() -> Fake {
    let mut app = container(1);
    app.spec.enable_autoscaling = true;
    app.spec.replicas = 2;
    app.spec.min_replicas = 2;
    app.spec.max_replicas = 4;
    let resources = [
        "httproutes/",
        "horizontalpodautoscalers/",
        "poddisruptionbudgets/",
    ];
    comes_and_goes(World::new().await, &app, &resources).await
}

async fn comes_and_goes(world: World, app: &AppSpec, resources: &[&str]) -> Fake {
    world.runs(app).await;
    let names = world.names(app);
    for resource in resources {
        let is_there = names.iter().any(|name| name.starts_with(resource));
        assert!(is_there, "{resource} is not among {names:?}");
    }
    world.removed(app).await;
    assert_eq!(world.names(app), [] as [String; 0]);
    world.fake
}

pub(super) async fn a_port_of_every_node_is_told() -> Fake {
    let mut app = container(1);
    app.spec.exposure_type = "node_port".to_owned();
    let world = World::new().await;
    assert_eq!(world.target.access_url(&app), None);
    world.runs(&app).await;
    // Nobody has said where nodes are: the number alone is told.
    assert_eq!(world.target.access_url(&app), None);
    let events = world.target.events(&app).await.unwrap();
    assert_eq!(events[0].message, "Port 31080 of every node leads to it.");
    for (address, url) in [
        ("nodes.example.org", "http://nodes.example.org:31080/"),
        ("2001:db8::7", "http://[2001:db8::7]:31080/"),
    ] {
        let world = World::with_node_address(address).await;
        world.runs(&app).await;
        assert_eq!(world.target.access_url(&app).as_deref(), Some(url));
        // It is known after a restart too.
        let world = world.restarted().await;
        assert_eq!(world.target.access_url(&app).as_deref(), Some(url));
    }
    world.fake
}

pub(super) async fn a_new_revision_takes_away_what_it_no_longer_has() -> Fake {
    let world = World::new().await;
    let mut first = container(1);
    first.spec.storage_size = Some("1Gi".to_owned());
    first.spec.storage_path = Some("/data".to_owned());
    world.runs(&first).await;
    let of_revision_one: Vec<String> = names_of(&world, "configmaps/");
    assert!(!of_revision_one.is_empty());
    let mut second = container(2);
    second.spec.exposure_type = "none".to_owned();
    second
        .spec
        .env_vars
        .insert("MODE".to_owned(), "two".to_owned());
    world.apply(&second).await.unwrap();
    assert_eq!(names_of(&world, "httproutes/"), [] as [String; 0]);
    // What was stored is the deployment's: another revision may want it again.
    assert_ne!(
        names_of(&world, "persistentvolumeclaims/"),
        [] as [String; 0]
    );
    // Pods of the first revision may still be started with its configuration.
    let both = names_of(&world, "configmaps/");
    assert!(of_revision_one.iter().all(|name| both.contains(name)));
    world.make_pods(&second, &ready());
    world
        .until_health(&second, |health| *health == Health::Ready)
        .await;
    world
        .until("the first revision's configuration to go", || async {
            world.observe(&second).await;
            let left = names_of(&world, "configmaps/");
            (!of_revision_one.iter().any(|name| left.contains(name))).then_some(())
        })
        .await;
    world.removed(&second).await;
    assert_eq!(world.names(&second), [] as [String; 0]);
    world.fake
}

fn names_of(world: &World, resource: &str) -> Vec<String> {
    let mut names = world.names(&container(1));
    names.retain(|name| name.starts_with(resource));
    names
}

pub(super) async fn what_is_stopped_stays_known_and_starts_again() -> Fake {
    let world = World::new().await;
    for mut app in [spec(1), container(1)] {
        world.runs(&app).await;
        app.generation = 2;
        app.desired = DesiredState::Stopped;
        world.apply(&app).await.unwrap();
        if world.workload(&app).is_some() {
            // A Deployment without copies; its controller ends the pods.
            assert_eq!(world.workload(&app).unwrap()["spec"]["replicas"], 0);
            world.remove_pods(&app);
        }
        world
            .until_health(&app, |health| *health == Health::Stopped)
            .await;
        let observed = world.observe(&app).await;
        assert_eq!((observed.present, observed.applied), (true, Some(2)));
        app.generation = 3;
        app.desired = DesiredState::Running;
        world.becomes(&app).await;
    }
    // A SpinApp that is not there is no mistake after a restart of the sidecar either.
    let mut app = spec(4);
    app.revision = 1;
    app.desired = DesiredState::Stopped;
    world.apply(&app).await.unwrap();
    let world = world.restarted().await;
    // Its pod goes when the cluster has seen that nobody owns it.
    world
        .until_health(&app, |health| *health == Health::Stopped)
        .await;
    world.fake
}

pub(super) async fn what_can_no_longer_be_made_stops_all_the_same() -> Fake {
    let mut world = World::new().await;
    for mut app in [spec(1), container(1)] {
        app.spec.custom_domain = Some("shop.example.org".to_owned());
        app.spec.storage_size = Some("1Gi".to_owned());
        app.spec.storage_path = Some("/data".to_owned());
        world.runs(&app).await;
        // The operator takes the name for the platform.
        world = world
            .restarted_with(|settings| {
                settings.platform_hosts = vec!["shop.example.org".to_owned()];
            })
            .await;
        app.generation = 2;
        let error = world.apply(&app).await.unwrap_err();
        assert!(matches!(error, TargetError::Refused(_)), "{error}");
        assert!(world.workload(&app).is_some());
        app.desired = DesiredState::Stopped;
        assert_eq!(world.target.check(&app), []);
        stops_with_nothing_but_what_it_stored(&world, &app).await;
        // And starts again when it wants another name.
        app.generation = 3;
        app.desired = DesiredState::Running;
        app.spec.custom_domain = None;
        world.becomes(&app).await;
        // It stops as well when the cluster does not take what a stopped one has.
        app.generation = 4;
        app.desired = DesiredState::Stopped;
        let denied = "admission webhook \"a.example.org\" denied the request: no policies";
        let denied = Rule::status("PATCH", "/networkpolicies/api", 400, denied);
        let denied = Rule {
            path: if app.service == "api" {
                "/networkpolicies/api"
            } else {
                "/networkpolicies/worker"
            },
            ..denied
        };
        world.fake.script(denied);
        stops_with_nothing_but_what_it_stored(&world, &app).await;
        world.removed(&app).await;
        assert_eq!(world.names(&app), [] as [String; 0]);
        world = world
            .restarted_with(|settings| settings.platform_hosts.clear())
            .await;
    }
    // Of what was never made nothing is written down.
    let mut app = spec(1);
    app.namespace = "kube-system".to_owned();
    app.desired = DesiredState::Stopped;
    let error = world.apply(&app).await.unwrap_err();
    assert!(matches!(error, TargetError::Refused(_)), "{error}");
    assert_eq!(world.fake.names("nokube-system"), [] as [String; 0]);
    world.fake
}

async fn stops_with_nothing_but_what_it_stored(world: &World, app: &AppSpec) {
    world.applied(app).await;
    let serves = ["httproutes/", "services/", "spinapps/", "deployments/"];
    // What SpinKube made goes when the cluster has seen that nobody owns it.
    world
        .until("what serves to be gone", || async {
            let names = world.names(app);
            let left = |name: &String| serves.iter().any(|kind| name.starts_with(kind));
            (!names.iter().any(left)).then_some(())
        })
        .await;
    world.remove_pods(app);
    world
        .until_health(app, |health| *health == Health::Stopped)
        .await;
    assert_eq!(world.observe(app).await.applied, Some(app.generation));
    let names = world.names(app);
    let volume = format!("persistentvolumeclaims/{}.data", app.service);
    assert!(names.contains(&volume), "{names:?}");
}

pub(super) async fn a_restart_makes_new_pods_and_scaling_does_not() -> Fake {
    let world = World::new().await;
    for mut app in [spec(1), container(1)] {
        world.runs(&app).await;
        app.generation = 2;
        app.spec.replicas = 3;
        world.apply(&app).await.unwrap();
        // The pod that is there is still one of them.
        world
            .until_health(&app, |health| {
                matches!(health, Health::Progressing(Some(message)) if message.starts_with("1 of 3"))
            })
            .await;
        world.make_pods(&app, &ready());
        world
            .until_health(&app, |health| *health == Health::Ready)
            .await;
        app.generation = 3;
        world.apply_since(&app, 3).await.unwrap();
        let observed = world.observe(&app).await;
        assert_eq!(observed.replicas_ready, 0, "pods from before the restart");
        // And none again for the sake of a restart that is not told any more.
        let spec = |app| world.workload(app).unwrap()["spec"].clone();
        let before = spec(&app);
        world.apply(&app).await.unwrap();
        assert_eq!(spec(&app), before);
        world.make_pods(&app, &ready());
        world
            .until_health(&app, |health| *health == Health::Ready)
            .await;
    }
    world.fake
}

pub(super) async fn a_project_ends_while_another_one_has_spin_applications() -> Fake {
    let world = World::new().await;
    // Some other SpinApp names an executor as SpinKube's instructions call it.
    let theirs = "/apis/core.spinkube.dev/v1alpha1/namespaces/nokube-system/spinapps";
    let platform = serde_json::json!({
        "metadata": { "name": "nokube", "namespace": "nokube-system" },
        "spec": { "executor": "containerd-shim-spin" },
    });
    world.fake.insert(theirs, platform);
    let (one, mut other) = (spec(1), spec(1));
    other.deployment_id = "01940000-0000-7000-8000-000000000003".to_owned();
    other.project_id = 2;
    other.project = "crm".to_owned();
    other.namespace = "crm-production".to_owned();
    world.runs(&one).await;
    world.runs(&other).await;
    world.removed(&one).await;
    let namespace = |name| world.fake.get("/api/v1/namespaces", name);
    assert_eq!(namespace("shop-production"), None);
    assert_eq!(world.observe(&other).await.health, Health::Ready);
    world.removed(&other).await;
    assert_eq!(namespace("crm-production"), None);
    world.fake
}

pub(super) async fn one_of_two_deployments_goes_and_the_other_stays() -> Fake {
    let world = World::new().await;
    let (one, two) = (spec(1), container(1));
    world.runs(&one).await;
    world.runs(&two).await;
    world.removed(&one).await;
    assert_eq!(world.workload(&one), None);
    assert_eq!(world.observe(&two).await.health, Health::Ready);
    assert!(
        world
            .fake
            .get("/api/v1/namespaces", "shop-production")
            .is_some()
    );
    // The namespace that is ending is waited for, not written to.
    world.removed(&two).await;
    assert_eq!(world.names(&two), [] as [String; 0]);
    world.target.keep_house().await;
    world.runs(&one).await;
    world.fake
}
