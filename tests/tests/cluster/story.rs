//! The whole platform on a cluster: its components on the engine, `nokube-sidecar` in place of this machine's.

use nokube_tests::cluster::sidecar::{CHANGE_LIMIT, Installation, Options};
use nokube_tests::cluster::visit;
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use serde_json::{Value, json};

use crate::objects::{DEPLOYMENTS, SPIN_APPS, object, until_nothing_is_in};

fn key(platform: &Platform, name: &str) -> String {
    let file = platform.data_dir().join("data/keys.env");
    let keys = std::fs::read_to_string(file).expect("the platform has keys");
    let prefix = format!("SPIN_VARIABLE_{name}=");
    let value = keys.lines().find_map(|line| line.strip_prefix(&prefix));
    value.expect("the platform has this key").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_and_a_container_are_deployed_to_the_cluster_by_the_platforms_api() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "story").await;
    let listen = Options::free_address();
    let sidecar_url = format!("http://{listen}");
    let platform = Platform::start_with(&[
        "--sidecar-url",
        &sidecar_url,
        "--variable",
        "container_images=allowed",
        "--base-domain",
        "apps.example.org",
    ]);
    let mut options = Options {
        platform_url: Some(platform.url().to_owned()),
        listen: Some(listen),
        ..Options::default()
    };
    for name in ["SIDECAR_TOKEN", "SYSTEM_TOKEN", "SEALING_KEY"] {
        options = options.with_key(name, &key(&platform, name));
    }
    let _sidecar = installation.start_with(options).await;

    let api = platform.register_ada().await;
    let project = api.create_project("Story shop").await;
    let request = json!({
        "project_id": project, "service_name": "api", "replicas": 2,
        "image_name": "registry.example.org/ada/good:1",
        "env_vars": { "GREETING": "hello" },
    });
    let deployed = api.deploy(&request).await;
    let id = deployed["deployment_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    // Of the project and its environment: nobody else has a project of that name here.
    let namespace = "story-shop-production".to_owned();
    let deployment = object(&kube, DEPLOYMENTS, &namespace, "api").await;
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(deployed["replicas_ready"], 2, "{deployed}");
    let address = deployed["access_url"].as_str().unwrap_or_default();
    assert!(
        address.contains("api.story-shop.ada.apps.example.org"),
        "{address}"
    );

    let manifests = api
        .get(&format!("/deployments/{id}/manifests"))
        .await
        .expect(200);
    assert!(
        manifests.to_string().contains("Deployment/api"),
        "{manifests}"
    );
    let logs = api
        .get(&format!("/deployments/{id}/logs?tail=10"))
        .await
        .expect(200);
    assert!(logs.to_string().contains("the first line"), "{logs}");

    // A site, built here, as the Spin application that the cluster's shim runs.
    let repository = Repository::of_files("site", &[("index.html", b"one")]);
    let build = api.build(project, "web", &repository.file_url()).await;
    let request =
        json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
    let _ = api.deploy(&request).await;
    let spin_app = object(&kube, SPIN_APPS, &namespace, "web").await;
    let image = spin_app["spec"]["image"].as_str().unwrap_or_default();
    let digest = build["digest"].as_str().expect("a build has a digest");
    assert!(image.ends_with(digest), "{image}");

    let scale = json!({ "replicas": 4 });
    api.post(&format!("/deployments/{id}/scale"), &scale)
        .await
        .expect(202);
    let scaled = |deployment: &Value| deployment["replicas_ready"] == 4;
    until("four copies", CHANGE_LIMIT, || async {
        let deployment = api.get(&format!("/deployments/{id}")).await.expect(200);
        scaled(&deployment).then_some(())
    })
    .await;
    let change = json!({ "env_vars": { "GREETING": "good evening" } });
    let request = api.request(reqwest::Method::PATCH, &format!("/deployments/{id}"));
    let changed = api.send(request.json(&change)).await.expect(202);
    let revision = changed["revision"].as_u64().expect("a revision");
    let _ = api.wait_until_running(&id, revision).await;
    let back = json!({ "revision": 1 });
    let answer = api
        .post(&format!("/deployments/{id}/rollback"), &back)
        .await
        .expect(202);
    let revision = answer["revision"].as_u64().expect("a revision");
    let _ = api.wait_until_running(&id, revision).await;

    // Nobody's input becomes an object.
    let evil = json!({
        "project_id": project, "service_name": "evil", "image_name": "alpine; rm -rf /",
        "custom_path": "/../admin", "memory_limit": "1e9Gi", "env_vars": { "A=B": "c" },
    });
    let problem = api.post("/deploy", &evil).await.problem(422);
    let faults = problem["errors"]
        .as_array()
        .map(Vec::len)
        .unwrap_or_default();
    assert!(faults >= 3, "{problem}");

    // 409 while what is taken down is not gone yet: pods have their time to end.
    until("the project to go", CHANGE_LIMIT, || async {
        let answer = api.delete(&format!("/projects/{project}")).await;
        if answer.status == 204 {
            return Some(());
        }
        let _ = answer.problem(409);
        None
    })
    .await;
    until_nothing_is_in(&kube, &namespace).await;
}
