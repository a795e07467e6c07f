//! The life of a container image: deployed, looked at, scaled, replaced, brought back, stopped, removed.

use nokube_api::sidecar::{AppPhase, DesiredState};
use nokube_tests::cluster::sidecar::{BASE_DOMAIN, CHANGE_LIMIT, Installation, Options, sealed};
use nokube_tests::cluster::spec::{Changed as _, Tenant};
use nokube_tests::cluster::visit;
use serde_json::{Value, json};

use crate::objects::{
    DEPLOYMENTS, SERVICES, object, objects_in, until_nothing_is_in, until_object,
};

fn image(deployment: &Value) -> &str {
    let containers = &deployment["spec"]["template"]["spec"]["containers"];
    containers[0]["image"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_deployed_scaled_replaced_brought_back_and_leaves_nothing() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "life").await;
    let sidecar = installation.start().await;
    let tenant = Tenant::new("ada", "life-shop");
    let namespace = tenant.namespace();

    let mut first = tenant.container("web");
    let variables = &mut first.spec.env_vars;
    variables.insert("GREETING".to_owned(), "hello".to_owned());
    first.sealed_secrets = sealed(&first.deployment_id, &[("PASSWORD", "not for everybody")]);
    let status = sidecar.runs(&first).await;
    assert_eq!((status.replicas_ready, status.replicas_total), (1, 1));
    let address = status.access_url.expect("it is exposed");
    assert!(address.contains(BASE_DOMAIN), "{address}");
    let deployment = object(&kube, DEPLOYMENTS, &namespace, "web").await;
    assert_eq!(
        image(&deployment),
        format!("registry.example.org/ada/good@{}", first.digest)
    );
    let service = object(&kube, SERVICES, &namespace, "web").await;
    assert_eq!(service["spec"]["ports"][0]["port"], 80);
    for kind in ["Namespace", "Deployment", "Service", "HTTPRoute"] {
        assert!(
            status.objects.iter().any(|made| made == kind),
            "{kind} is not among {:?}",
            status.objects
        );
    }

    // What the nodes are told by the kubelet's place-holder.
    let lines = sidecar.log_of(&first).await;
    assert!(
        lines.iter().any(|line| line.contains("the first line")),
        "{lines:?}"
    );

    let scaled = first.then(|app| app.spec.replicas = 3);
    let status = sidecar.runs(&scaled).await;
    assert_eq!((status.replicas_ready, status.replicas_total), (3, 3));

    let second = scaled.then(|app| {
        app.revision = 2;
        app.digest = format!("sha256:{}", "b".repeat(64));
        app.spec.env_vars.clear();
        app.sealed_secrets.clear();
    });
    let status = sidecar.runs(&second).await;
    assert_eq!((status.revision, status.replicas_ready), (2, 3));
    let deployment = object(&kube, DEPLOYMENTS, &namespace, "web").await;
    assert!(image(&deployment).ends_with(&second.digest), "{deployment}");

    // Image, configuration and secrets of the first revision, together.
    let back = second.then(|app| {
        app.revision = 3;
        app.digest = first.digest.clone();
        app.spec.env_vars = first.spec.env_vars.clone();
        app.sealed_secrets = first.sealed_secrets.clone();
    });
    let _ = sidecar.runs(&back).await;
    let deployment = object(&kube, DEPLOYMENTS, &namespace, "web").await;
    assert!(image(&deployment).ends_with(&first.digest), "{deployment}");

    let stopped = back.then(|app| app.desired = DesiredState::Stopped);
    sidecar.want(&stopped).await;
    let _ = sidecar.reaches(&stopped, AppPhase::Stopped).await;
    let _ = until_object(&kube, DEPLOYMENTS, &namespace, "web", |deployment| {
        deployment["spec"]["replicas"] == 0 && deployment["status"]["replicas"].as_u64().is_none()
    })
    .await;
    let started = stopped.then(|app| app.desired = DesiredState::Running);
    let _ = sidecar.runs(&started).await;

    sidecar.remove(&started).await;
    until_nothing_is_in(&kube, &namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_grows_and_stays_as_it_is_when_an_earlier_revision_comes_back() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": "volume-grows" },
        "provisioner": "kubernetes.io/no-provisioner", "allowVolumeExpansion": true,
    });
    let _ = kube
        .create("/apis/storage.k8s.io/v1/storageclasses", &class)
        .await
        .expect("a class");
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "volume-grows" },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "1Gi" },
            "storageClassName": "volume-grows", "hostPath": { "path": "/nowhere" },
        },
    });
    let _ = kube
        .create("/api/v1/persistentvolumes", &volume)
        .await
        .expect("a volume");
    let installation = Installation::new(&visit, "volume").await;
    let options = Options::default().with("NOKUBE_STORAGE_CLASS", "volume-grows");
    let sidecar = installation.start_with(options).await;
    let tenant = Tenant::new("ada", "volume-shop");
    let namespace = tenant.namespace();
    let claims = "/api/v1/persistentvolumeclaims";
    let size = |claim: &Value| claim["spec"]["resources"]["requests"]["storage"].clone();

    let mut first = tenant.container("web");
    first.spec.storage_size = Some("1Gi".to_owned());
    first.spec.storage_path = Some("/data".to_owned());
    let _ = sidecar.runs(&first).await;
    let claim = until_object(&kube, claims, &namespace, "web.data", |claim| {
        claim["status"]["phase"] == "Bound"
    })
    .await;
    assert_eq!(size(&claim), "1Gi");
    let second = first.then(|app| {
        app.revision = 2;
        app.spec.storage_size = Some("2Gi".to_owned());
    });
    let _ = sidecar.runs(&second).await;
    let claim = object(&kube, claims, &namespace, "web.data").await;
    assert_eq!(size(&claim), "2Gi");
    let back = second.then(|app| {
        app.revision = 3;
        app.spec = first.spec.clone();
    });
    let status = sidecar.runs(&back).await;
    assert_eq!(status.revision, 3);
    let claim = object(&kube, claims, &namespace, "web.data").await;
    assert_eq!(size(&claim), "2Gi");

    sidecar.remove(&back).await;
    until_nothing_is_in(&kube, &namespace).await;
    let _ = kube.delete("/api/v1/persistentvolumes/volume-grows").await;
    let _ = kube
        .delete("/apis/storage.k8s.io/v1/storageclasses/volume-grows")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_revision_no_longer_has_is_removed_and_its_neighbours_stay() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "prune").await;
    let sidecar = installation.start().await;
    let tenant = Tenant::new("ada", "prune-shop");
    let namespace = tenant.namespace();

    let mut neighbour = tenant.container("neighbour");
    neighbour
        .spec
        .env_vars
        .insert("KEPT".to_owned(), "yes".to_owned());
    let _ = sidecar.runs(&neighbour).await;
    let mut full = tenant.container("web");
    full.spec.replicas = 2;
    full.spec.env_vars.insert("A".to_owned(), "1".to_owned());
    full.sealed_secrets = sealed(&full.deployment_id, &[("PASSWORD", "not for everybody")]);
    let _ = sidecar.runs(&full).await;
    let own = format!("nokube.dev%2Fdeployment%3D{}", full.deployment_id);
    let before = objects_in(&kube, &namespace, &own).await;
    for kind in [
        "configmaps/",
        "secrets/",
        "httproutes/",
        "poddisruptionbudgets/",
        "services/",
    ] {
        assert!(
            before.iter().any(|object| object.starts_with(kind)),
            "{kind}: {before:?}"
        );
    }

    let bare = full.then(|app| {
        app.revision = 2;
        app.spec.replicas = 1;
        app.spec.exposure_type = "none".to_owned();
        app.spec.env_vars.clear();
        app.sealed_secrets.clear();
    });
    let _ = sidecar.runs(&bare).await;
    let kube = &kube;
    nokube_tests::wait::until("what is not wanted to go", CHANGE_LIMIT, || {
        let (namespace, own) = (&namespace, &own);
        async move {
            let left = objects_in(kube, namespace, own).await;
            let gone = [
                "configmaps/",
                "secrets/",
                "httproutes/",
                "poddisruptionbudgets/",
            ];
            let stays = |object: &String| gone.iter().any(|kind| object.starts_with(kind));
            (!left.iter().any(stays)).then_some(())
        }
    })
    .await;
    sidecar.remove(&bare).await;
    let left = objects_in(kube, &namespace, &own).await;
    assert_eq!(left, Vec::<String>::new());
    let status = sidecar.status(&neighbour).await.expect("it is known");
    assert_eq!(status.phase, AppPhase::Running);
    let other = format!("nokube.dev%2Fdeployment%3D{}", neighbour.deployment_id);
    let stayed = objects_in(kube, &namespace, &other).await;
    assert!(
        stayed
            .iter()
            .any(|object| object.starts_with("configmaps/")),
        "{stayed:?}"
    );
    sidecar.remove(&neighbour).await;
    until_nothing_is_in(kube, &namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environments_of_a_project_are_namespaces_of_their_own() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "stages").await;
    let sidecar = installation.start().await;
    let production = Tenant::new("ada", "stages-shop");
    let trial = production.in_environment("recette");
    let (one, other) = (production.container("web"), trial.container("web"));
    let _ = sidecar.runs(&one).await;
    let _ = sidecar.runs(&other).await;
    assert_ne!(production.namespace(), trial.namespace());
    sidecar.remove(&other).await;
    until_nothing_is_in(&kube, &trial.namespace()).await;
    let _ = object(&kube, DEPLOYMENTS, &production.namespace(), "web").await;
    sidecar.remove(&one).await;
    until_nothing_is_in(&kube, &production.namespace()).await;
}
