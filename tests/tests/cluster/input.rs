//! What is refused before anything is made of it. The sidecar believes no caller, the platform's parts least of all.

use nokube_api::sidecar::AppSpec;
use nokube_tests::cluster::sidecar::{BASE_DOMAIN, Installation};
use nokube_tests::cluster::spec::{Changed as _, Tenant};
use nokube_tests::cluster::visit;
use serde_json::Value;

fn pointers(body: &Value) -> Vec<&str> {
    let faults = body["errors"].as_array().into_iter().flatten();
    faults
        .filter_map(|fault| fault["pointer"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_gets_422_with_every_fault_and_makes_nothing() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "input").await;
    let sidecar = installation.start().await;
    let tenant = Tenant::new("ada", "input-shop");
    let good = tenant.container("web");
    let bad = |change: &dyn Fn(&mut AppSpec)| good.then(|app| change(app));
    let cases: Vec<(AppSpec, &str)> = vec![
        (
            bad(&|app| app.image_name = "alpine; rm -rf /".into()),
            "/image_name",
        ),
        (
            bad(&|app| app.image_name = "$(reboot)".into()),
            "/image_name",
        ),
        (
            bad(&|app| app.digest = "sha256:../../etc".into()),
            "/digest",
        ),
        (
            bad(&|app| app.namespace = "kube-system".into()),
            "/namespace",
        ),
        (
            bad(&|app| app.namespace = "../default".into()),
            "/namespace",
        ),
        (bad(&|app| app.service = "web.evil".into()), "/service"),
        (
            bad(&|app| app.spec.custom_path = Some("/../admin".into())),
            "/spec/custom_path",
        ),
        (
            bad(&|app| app.spec.storage_path = Some("/data/../../etc".into())),
            "/spec/storage_path",
        ),
        (
            bad(&|app| {
                app.spec.env_vars.insert("A=B".into(), "c".into());
            }),
            "/spec/env_vars/A=B",
        ),
        (
            bad(&|app| app.spec.memory_limit = "1e9Gi".into()),
            "/spec/memory_limit",
        ),
        (
            bad(&|app| {
                let many = (0..10_000).map(|number| (format!("V{number}"), String::new()));
                app.spec.env_vars = many.collect();
            }),
            "/spec/env_vars",
        ),
        (bad(&|app| app.spec.replicas = 1_000_000), "/spec/replicas"),
    ];
    for (app, pointer) in &cases {
        let (status, body) = sidecar.put(app).await;
        assert_eq!(status, 422, "{pointer}: {body}");
        assert!(pointers(&body).contains(pointer), "{pointer}: {body}");
    }
    let everything = good.then(|app| {
        app.image_name = "alpine; rm -rf /".into();
        app.namespace = "kube-system".into();
        app.spec.custom_path = Some("/../admin".into());
        app.spec.memory_limit = "1e9Gi".into();
        app.spec.env_vars.insert("A=B".into(), "c".into());
    });
    let (status, body) = sidecar.put(&everything).await;
    assert_eq!(status, 422, "{body}");
    assert!(pointers(&body).len() >= 5, "{body}");

    // Nothing is known of it, and nothing was made.
    assert!(sidecar.status(&good).await.is_none());
    let namespace = format!("/api/v1/namespaces/{}", tenant.namespace());
    assert!(kube.find(&namespace).await.is_none());
    let kept = format!(
        "/api/v1/namespaces/{}/secrets?fieldSelector=type%3Dnokube.dev/deployment",
        installation.namespace
    );
    assert_eq!(kube.list(&kept).await.len(), 0);
    // What only the target knows, such as hosts of the platform and of others below it, is refused as well.
    for domain in [BASE_DOMAIN, "web.shop.bob.apps.example.org"] {
        let taken = tenant.container("taken").then(|app| {
            app.spec.custom_domain = Some(domain.to_owned());
        });
        let (status, body) = sidecar.put(&taken).await;
        assert_eq!(status, 422, "{body}");
        assert!(pointers(&body).contains(&"/spec/custom_domain"), "{body}");
    }
    let copies = tenant.container("copies").then(|app| {
        app.spec.storage_size = Some("1Gi".to_owned());
        app.spec.storage_path = Some("/data".to_owned());
        app.spec.replicas = 2;
    });
    let (status, body) = sidecar.put(&copies).await;
    assert_eq!(status, 422, "{body}");
    assert!(pointers(&body).contains(&"/spec/replicas"), "{body}");
    assert!(kube.find(&namespace).await.is_none());
    let before = kube.list(&kept).await.len();
    let _ = sidecar.runs(&good).await;
    let after = kube.list(&kept).await.len();
    assert_eq!(after, before + 1, "the lists above look where they should");
}
