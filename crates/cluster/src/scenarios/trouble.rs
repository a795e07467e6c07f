//! What goes wrong by itself.

use std::sync::Arc;
use std::time::Duration;

use nokube_sidecar::Target as _;
use nokube_sidecar::{Health, TargetError, TargetEvent};
use serde_json::json;

use crate::testing::{Fake, Rule, World, container, ready, spec};

pub(super) async fn what_may_pass_is_repeated() -> Fake {
    let world = World::new().await;
    let mut busy = Rule::status("PATCH", "/resourcequotas/", 429, "too many requests");
    busy.retry_after = Some("3");
    world.fake.script(busy);
    world
        .fake
        .script(Rule::status("PATCH", "/spinapps/", 503, "later").times(2));
    world
        .fake
        .script(Rule::status("CREATE", "/namespaces", 500, "etcd is slow"));
    world.fake.script(Rule::status(
        "PATCH",
        "/networkpolicies/",
        409,
        "the object has been modified",
    ));
    let begun = tokio::time::Instant::now();
    world.runs(&spec(1)).await;
    assert!(begun.elapsed() >= Duration::from_secs(3));
    let text = world.metrics.text(&[]);
    assert!(text.contains("nokube_repeated_calls_total 5"), "{text}");
    assert!(text.contains("nokube_reconciliation_failures_total 0"));
    // An outage that lasts is told, and ends.
    world
        .fake
        .script(Rule::status("PATCH", "/spinapps/", 500, "no leader").times(6));
    let mut second = spec(2);
    second.revision = 2;
    let error = world.apply(&second).await.unwrap_err();
    assert!(matches!(error, TargetError::Unavailable(_)), "{error}");
    world.runs(&second).await;
    world.fake
}

pub(super) async fn a_denied_revision_leaves_the_one_before_alone() -> Fake {
    let world = World::new().await;
    world.runs(&spec(1)).await;
    let before = world.names(&spec(1));
    let denied = "admission webhook \"vspinapp.kb.io\" denied the request: no such executor";
    world
        .fake
        .script(Rule::status("PATCH", "/spinapps/", 403, denied));
    let error = world.apply(&spec(2)).await.unwrap_err();
    assert!(
        matches!(&error, TargetError::Refused(message) if message.contains("no such executor")),
        "{error}"
    );
    assert_eq!(world.names(&spec(1)), before);
    let observed = world.observe(&spec(1)).await;
    assert_eq!((observed.applied, observed.serving), (Some(1), Some(1)));
    world.fake
}

pub(super) async fn a_route_that_is_denied_leaves_the_revision_before_alone() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.runs(&app).await;
    let before = world.workload(&app);
    let names = world.names(&app);
    let denied = "admission webhook \"routes.example.org\" denied the request: the host is taken";
    world
        .fake
        .script(Rule::status("PATCH", "/httproutes/", 400, denied));
    let error = world.apply(&container(2)).await.unwrap_err();
    assert!(
        matches!(&error, TargetError::Refused(message) if message.contains("the host is taken")),
        "{error}"
    );
    assert_eq!((world.workload(&app), world.names(&app)), (before, names));
    world.fake
}

pub(super) async fn a_namespace_that_hangs_holds_nobody_else_up() -> Fake {
    let world = Arc::new(World::new().await);
    world.fake.script(Rule {
        after: Duration::from_secs(15),
        ..Rule::status(
            "PATCH",
            "/namespaces/shop-production/",
            500,
            "a webhook is slow",
        )
        .times(9999)
    });
    let hanging: Vec<_> = (10..40)
        .map(|number| {
            let mut app = container(1);
            app.deployment_id = format!("01940000-0000-7000-8000-0000000000{number}");
            app.service = format!("worker-{number}");
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.apply(&app).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut other = container(1);
    other.project_id = 2;
    other.project = "crm".to_owned();
    other.namespace = "crm-production".to_owned();
    let begun = tokio::time::Instant::now();
    world.apply(&other).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    for apply in hanging {
        apply.abort();
        assert!(apply.await.is_err(), "it did not hang");
    }
    world.fake.clone()
}

pub(super) async fn a_namespace_that_somebody_removed_is_made_anew() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.runs(&app).await;
    let before = world.names(&app);
    world.fake.take("/api/v1/namespaces", "shop-production");
    assert_eq!(world.names(&app), [] as [String; 0]);
    world.becomes(&app).await;
    let pods = |names: Vec<String>| -> Vec<String> {
        let kept = names.into_iter();
        kept.filter(|name| !name.starts_with("pods/")).collect()
    };
    assert_eq!(pods(world.names(&app)), pods(before));
    world.fake.take("/api/v1/namespaces", "shop-production");
    world.removed(&app).await;
    assert_eq!(world.fake.names("nokube-system"), [] as [String; 0]);
    world.fake
}

pub(super) async fn what_nobody_can_read_is_neither_written_over_nor_forgotten() -> Fake {
    let world = World::new().await;
    let (app, neighbour) = (container(1), spec(1));
    world.runs(&app).await;
    world.runs(&neighbour).await;
    let kept = "/api/v1/namespaces/nokube-system/configmaps";
    let name = format!("nokube-made-{}", app.deployment_id);
    let readable = world.fake.get(kept, &name).unwrap();
    let mut newer = readable.clone();
    let made = newer["data"]["made"].as_str().unwrap();
    newer["data"]["made"] = json!(made.replace("\"container\"", "\"unikernel\""));
    assert_ne!(newer, readable);
    world.fake.insert(kept, newer);
    let world = world.restarted().await;
    for outcome in [
        world.target.observe(&app).await.map(|_| ()),
        world.apply(&app).await,
    ] {
        assert!(matches!(outcome, Err(TargetError::Unavailable(_))));
    }
    // Its namespace is needed, whatever it is.
    world.removed(&neighbour).await;
    assert!(world.workload(&app).is_some());
    // A sidecar that can read it goes on.
    world.fake.insert(kept, readable);
    let world = world.restarted().await;
    world.removed(&app).await;
    assert_eq!(world.fake.names("nokube-system"), [] as [String; 0]);
    world.fake
}

pub(super) async fn a_used_up_quota_is_told() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.apply(&app).await.unwrap();
    let message = "pods \"worker-5d4f-x\" is forbidden: exceeded quota: nokube, requested: pods=1";
    world.warn(&app, ("ReplicaSet", "worker-5d4f"), "FailedCreate", message);
    let health = world
        .until_health(&app, |health| matches!(health, Health::Failed(_)))
        .await;
    let Health::Failed(told) = health else {
        panic!("{health:?}");
    };
    assert!(
        told.starts_with("the quota of the namespace is used up"),
        "{told}"
    );
    // Room again.
    world.make_pods(&app, &ready());
    world
        .until_health(&app, |health| *health == Health::Ready)
        .await;
    world.fake
}

pub(super) async fn a_quota_holds_before_there_is_anything_to_count() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.fake.let_quotas_wait(true);
    let error = world.apply(&app).await.unwrap_err();
    assert!(
        matches!(&error, TargetError::Unavailable(message) if message.contains("quota")),
        "{error}"
    );
    assert_eq!(world.workload(&app), None);
    let named = |resource: &str| {
        let names = world.names(&app);
        names.iter().any(|name| name.starts_with(resource))
    };
    assert!(named("resourcequotas/") && !named("services/"));
    // The next attempt goes on once it is counted.
    world.fake.let_quotas_wait(false);
    world.runs(&app).await;
    world.fake
}

pub(super) async fn spinkube_that_is_installed_later_is_found() -> Fake {
    let fake = Fake::new();
    let missing = |verb| Rule {
        body: json!("404 page not found"),
        ..Rule::status(verb, "/core.spinkube.dev/", 404, "")
    };
    fake.script(missing("LIST").times(3));
    fake.script(missing("PATCH"));
    let world = World::over(fake).await;
    let error = world.apply(&spec(1)).await.unwrap_err();
    assert!(
        error.to_string().contains("SpinKube is not installed"),
        "{error}"
    );
    world.runs(&spec(1)).await;
    world.fake
}

pub(super) async fn a_watch_that_broke_off_begins_anew() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.runs(&app).await;
    world
        .fake
        .script(Rule::status("LIST", "/pods", 503, "later").times(2));
    // Something else happens, so that the watch of pods is behind what is forgotten.
    let other = json!({ "metadata": { "name": "other" } });
    world.fake.insert("/api/v1/namespaces", other);
    world.fake.forget_history();
    world.remove_pods(&app);
    world
        .until_health(&app, |health| matches!(health, Health::Progressing(_)))
        .await;
    assert!(!world.metrics.text(&[]).contains("{kind=\"Pod\"} 0"));
    world.make_pods(&app, &ready());
    world
        .until_health(&app, |health| *health == Health::Ready)
        .await;
    world.fake
}

pub(super) async fn a_watch_that_cannot_begin_lists_anew() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.runs(&app).await;
    world.fake.refuse_old_watches();
    let lists = || {
        let calls = world.fake.calls();
        calls
            .iter()
            .filter(|call| *call == "LIST /api/v1/pods")
            .count()
    };
    let before = lists();
    // What is removed before the next watch begins is told by a list alone.
    world.remove_pods(&app);
    let other = json!({ "metadata": { "name": "other" } });
    world.fake.insert("/api/v1/namespaces", other);
    world.fake.forget_history();
    world
        .until_health(&app, |health| matches!(health, Health::Progressing(_)))
        .await;
    assert_eq!(lists(), before + 1);
    world.make_pods(&app, &ready());
    world
        .until_health(&app, |health| *health == Health::Ready)
        .await;
    world.fake
}

pub(super) async fn what_somebody_removed_is_to_be_applied_again() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.runs(&app).await;
    world.fake.take(
        &World::place(&app, "/apis/apps/v1", "deployments"),
        "worker",
    );
    let told = async {
        loop {
            if world.target.next_event().await == TargetEvent::App(app.deployment_id.clone())
                && world.observe(&app).await.applied.is_none()
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told)
        .await
        .unwrap();
    world.runs(&app).await;
    world.fake
}

pub(super) async fn a_crash_between_two_objects_loses_nothing() -> Fake {
    let world = half_applied().await;
    // The next one goes on.
    world.runs(&container(1)).await;
    world.removed(&container(1)).await;
    assert_eq!(world.names(&container(1)), [] as [String; 0]);
    world.fake
}

pub(super) async fn what_was_begun_before_a_crash_is_removed() -> Fake {
    let world = half_applied().await;
    assert!(world.observe(&container(1)).await.present);
    world.removed(&container(1)).await;
    assert_eq!(world.names(&container(1)), [] as [String; 0]);
    assert_eq!(world.fake.names("nokube-system"), [] as [String; 0]);
    world.fake
}

/// Some objects are there, then the sidecar ended.
async fn half_applied() -> World {
    let world = World::new().await;
    let outage = Rule::status("PATCH", "/deployments/", 500, "no leader");
    world.fake.script(outage.times(6));
    world.apply(&container(1)).await.unwrap_err();
    assert!(!world.names(&container(1)).is_empty());
    world.restarted().await
}
