//! Every kind of deployment behind every kind of edge, by a sidecar with the account and the rights that the chart has: each
//! runs, is changed, and leaves nothing behind. Of the rights, all are used, and nothing beyond them is asked for.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use futures::StreamExt as _;
use nokube_api::sidecar::{AppPhase, AppSpec, DesiredState};
use nokube_tests::cluster::kube::Kube;
use nokube_tests::cluster::sidecar::{CHANGE_LIMIT, Installation, Options, Scope, Sidecar, sealed};
use nokube_tests::cluster::spec::{Changed as _, Tenant};
use nokube_tests::cluster::{Visit, visit};
use nokube_tests::guests;
use nokube_tests::wait::until;
use serde_json::{Value, json};

use crate::objects::{name_of, until_nothing_is_in};
use crate::rendered::documents;

/// Of the chart, by the rendered set that names it so.
const SET: &str = "whole";
const PLATFORM: &str = "nokube";
/// What the sidecar needs of it.
const NEEDED: [&str; 8] = [
    "Namespace",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];
const CALLERS: usize = 4;
/// What of a Secret of the sidecar's is its note.
const DATA: &str = "desired.json.gz";

/// Group, resource, verb and where.
type Right = (Scope, String, String, String);

/// A platform with what the chart makes for its sidecar; and what has to go again, last made first.
async fn installed(visit: &Visit) -> (Installation, Vec<String>) {
    let kube = visit.kube();
    let mut objects = Vec::new();
    let mut made = Vec::new();
    for document in documents(SET) {
        if !NEEDED.contains(&document.kind.as_str()) {
            continue;
        }
        let what = format!("{} {}", document.kind, document.name);
        // Roles of this name are there already, and the same.
        let answer = document.apply(&kube, "&force=true").await;
        if answer.status == reqwest::StatusCode::CREATED && !document.kind.ends_with("Role") {
            made.insert(0, document.path(&kube).await);
        }
        objects.push(answer.expect(&what));
    }
    let installation = Installation::with_rights(visit, PLATFORM, PLATFORM, &objects).await;
    (installation, made)
}

/// Every kind of deployment, of Spin applications when there is the digest of one, of containers otherwise.
fn variants(tenant: &Tenant, digest: Option<&str>) -> Vec<AppSpec> {
    let make = |service: &str, change: &dyn Fn(&mut AppSpec)| {
        let mut app = match digest {
            Some(digest) => tenant.spin(service, digest),
            None => tenant.container(service),
        };
        change(&mut app);
        app
    };
    let exposed =
        |how: &'static str| move |app: &mut AppSpec| app.spec.exposure_type = how.to_owned();
    let mut apps = vec![
        make("plain", &|_| ()),
        make("full", &|app| {
            app.sealed_secrets = sealed(&app.deployment_id, &[("API_KEY", "s3cret")]);
            let spec = &mut app.spec;
            let _ = spec
                .env_vars
                .insert("GREETING".to_owned(), "a: \"b\"".to_owned());
            spec.health_check_enabled = true;
            spec.storage_size = Some("1Gi".to_owned());
            spec.storage_path = Some("/data".to_owned());
            spec.custom_domain = Some(format!("{}.example.com", app.namespace));
            spec.custom_path = Some("/shop".to_owned());
            spec.enable_https = true;
        }),
        make("scaled", &|app| {
            app.spec.enable_autoscaling = true;
            app.spec.min_replicas = 2;
            app.spec.max_replicas = 4;
        }),
        make("inner", &exposed("internal")),
        make("ported", &exposed("node_port")),
        make("worker", &|app| {
            app.spec.service_type = "worker".to_owned();
            app.spec.exposure_type = "none".to_owned();
        }),
        make("stopped", &|app| app.desired = DesiredState::Stopped),
    ];
    if digest.is_none() {
        apps.push(make("tagged", &|app| {
            app.image_name = "docker.io/nginxinc/nginx-unprivileged:1.29".to_owned();
            app.digest = String::new();
            app.spec.replicas = 3;
        }));
    }
    apps
}

async fn are_there(sidecar: &Sidecar, apps: &[AppSpec]) {
    for app in apps {
        sidecar.want(app).await;
    }
    for app in apps {
        let phase = match app.desired {
            DesiredState::Running => AppPhase::Running,
            DesiredState::Stopped => AppPhase::Stopped,
        };
        let _ = sidecar.reaches(app, phase).await;
    }
}

/// What a change must leave as it is: volumes, and the nodes' ports that were given.
async fn kept(kube: &Kube, namespace: &str) -> BTreeSet<String> {
    let at = |plural: &str| format!("/api/v1/namespaces/{namespace}/{plural}");
    let claims = kube.list(&at("persistentvolumeclaims")).await;
    let services = kube.list(&at("services")).await;
    let ports = services
        .iter()
        .filter(|service| service["spec"]["type"] == "NodePort")
        .flat_map(|service| {
            service["spec"]["ports"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        })
        .map(|port| port["nodePort"].to_string());
    let claims = claims
        .iter()
        .map(|claim| claim["metadata"]["uid"].to_string());
    claims.chain(ports).collect()
}

/// One edge: everything comes, is changed, and goes.
async fn walk(kube: &Kube, sidecar: &Sidecar, edge: &str) {
    let digest = sidecar.store_artifact(&guests::world("wasi02_hello"));
    // Pods of containers and of Spin applications are admitted by different levels of Pod Security.
    let containers = Tenant::new("ada", &format!("{edge}-containers"));
    let spin = Tenant::new("ada", &format!("{edge}-spin"));
    let mut apps = variants(&containers, None);
    apps.extend(variants(&spin, Some(digest.as_str())));
    are_there(sidecar, &apps).await;
    let log = sidecar.log_of(&apps[0]).await;
    assert!(!log.is_empty(), "{edge}");

    let tenants = [&containers, &spin];
    let mut before = Vec::new();
    for tenant in tenants {
        let kept = kept(kube, &tenant.namespace()).await;
        assert_eq!(kept.len(), 2, "{edge}: a volume and a port: {kept:?}");
        before.push(kept);
    }
    let changed: Vec<AppSpec> = apps
        .iter()
        .map(|app| {
            app.then(|app| {
                app.revision += 1;
                let _ = app
                    .spec
                    .env_vars
                    .insert("CHANGED".to_owned(), "yes".to_owned());
            })
        })
        .collect();
    are_there(sidecar, &changed).await;
    for (tenant, before) in tenants.into_iter().zip(&before) {
        assert_eq!(kept(kube, &tenant.namespace()).await, *before, "{edge}");
    }

    let removals = changed.iter().map(|app| sidecar.remove(app));
    futures::stream::iter(removals)
        .buffer_unordered(CALLERS)
        .collect::<()>()
        .await;
    for tenant in tenants {
        until_nothing_is_in(kube, &tenant.namespace()).await;
    }
}

/// Volumes for what wants one: no machine is there to make them.
async fn make_volumes(kube: &Kube, count: usize) -> Vec<String> {
    let volumes = "/api/v1/persistentvolumes";
    let mut made = Vec::new();
    for number in 0..count {
        let name = format!("variants-{number}");
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
            "spec": {
                "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain", "hostPath": { "path": format!("/{name}") },
            },
        });
        let _ = kube.create(volumes, &volume).await.expect(volumes);
        made.push(format!("{volumes}/{name}"));
    }
    made
}

/// A namespace for containers takes a Spin application, too. Somebody writes to what the sidecar keeps: it looks again,
/// and goes on when it is its own.
async fn touch_what_is_kept(kube: &Kube, installation: &Installation, sidecar: &Sidecar) {
    let tenant = Tenant::new("ada", "touched");
    let app = tenant.container("web");
    let _ = sidecar.runs(&app).await;
    let digest = sidecar.store_artifact(&guests::world("wasi02_hello"));
    let beside = tenant.spin("beside", &digest);
    let _ = sidecar.runs(&beside).await;
    let path = format!(
        "/api/v1/namespaces/{}/secrets/nokube-deployment-{}",
        installation.namespace, app.deployment_id
    );
    let touched = json!({ "metadata": { "annotations": { "example.org/touched": "yes" } } });
    let _ = kube.merge(&path, &touched).await.expect(&path);
    let next = app.then(|app| app.spec.replicas = 2);
    until("the sidecar to take it", CHANGE_LIMIT, || async {
        let (status, _) = sidecar.put(&next).await;
        (status == 202).then_some(())
    })
    .await;
    let _ = sidecar.reaches(&next, AppPhase::Running).await;
    for app in [&beside, &next] {
        sidecar.remove(app).await;
    }
    until_nothing_is_in(kube, &next.namespace).await;
}

/// Of what is gone a note is kept for an hour. Here, it is as if two had passed.
async fn let_hours_pass(kube: &Kube, notes: &str) -> Vec<String> {
    let labels = "labelSelector=nokube.dev/kept=desired";
    let mut aged = Vec::new();
    for note in kube.list(&format!("{notes}?{labels}")).await {
        let packed = note["data"][DATA].as_str().expect("a note");
        let packed = STANDARD.decode(packed).expect("base64");
        let mut kept: Value =
            serde_json::from_reader(GzDecoder::new(packed.as_slice())).expect("JSON");
        let done = &mut kept["deletion"]["done_at_ms"];
        *done = json!(done.as_u64().expect("all of them are gone") - 2 * 60 * 60 * 1000);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        serde_json::to_writer(&mut encoder, &kept).expect("it fits into memory");
        let packed = STANDARD.encode(encoder.finish().expect("it fits into memory"));
        let path = format!("{notes}/{}", name_of(&note));
        let change = json!({ "data": { DATA: packed } });
        let _ = kube.merge(&path, &change).await.expect(&path);
        aged.push(path);
    }
    assert!(!aged.is_empty());
    aged
}

/// What an account asked of the API server, by its audit log.
fn asked(visit: &Visit, installation: &Installation) -> BTreeSet<Right> {
    let account = format!(
        "system:serviceaccount:{}:nokube-sidecar",
        installation.namespace
    );
    let log = File::open(visit.audit_log()).expect("the API server keeps a log");
    let mut asked = BTreeSet::new();
    for line in BufReader::new(log).lines() {
        let line = line.expect("the log can be read");
        // Most lines are of other tests.
        if !line.contains(&account) {
            continue;
        }
        let event: Value = serde_json::from_str(&line).expect("an event a line");
        let object = &event["objectRef"];
        let Some(resource) = object["resource"].as_str() else {
            continue;
        };
        if event["user"]["username"] != account.as_str() {
            continue;
        }
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let scope = match object["namespace"].as_str() {
            // Of a namespace itself, its own name is told.
            None => Scope::Cluster,
            Some(_) if resource == "namespaces" => Scope::Cluster,
            Some(namespace) if namespace == installation.namespace => Scope::System,
            Some(_) => Scope::Tenants,
        };
        let resource = match text("subresource") {
            none if none.is_empty() => resource.to_owned(),
            subresource => format!("{resource}/{subresource}"),
        };
        let mut verbs = vec![event["verb"].as_str().unwrap_or_default()];
        // To apply what is not there takes the right to make it, too. A namespace's own account is made by the cluster,
        // mostly before the sidecar comes to it.
        let is_made = event["responseStatus"]["code"] == 201 || resource == "serviceaccounts";
        if verbs == ["patch"] && is_made {
            verbs.push("create");
        }
        for verb in verbs {
            asked.insert((scope, text("apiGroup"), resource.clone(), verb.to_owned()));
        }
    }
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_deployment_comes_and_goes_with_the_charts_rights_and_all_of_them() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let (installation, made) = installed(&visit).await;
    let granted: BTreeSet<Right> = installation
        .rights()
        .iter()
        // Binding the tenants' role is no call of its own.
        .filter(|right| right.name.is_none())
        .map(|right| {
            (
                right.scope,
                right.group.clone(),
                right.resource.clone(),
                right.verb.clone(),
            )
        })
        .collect();
    assert!(granted.len() > 40, "{granted:?}");

    let pull_secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(pull_secret.path(), "{\"auths\":{}}").expect("it is writable");
    let pull_secret = pull_secret.path().display().to_string();
    let edges = [
        (
            "gateway",
            Options::default()
                .with("NOKUBE_EDGE", "gateway:edge/public#http,https")
                .with("NOKUBE_EDGE_NAMESPACE", "edge")
                .with("NOKUBE_PULL_SECRET", &pull_secret),
        ),
        (
            "ingress",
            Options::default()
                .with("NOKUBE_EDGE", "ingress:haproxy")
                .with("NOKUBE_EDGE_NETWORKS", "192.168.7.0/24")
                .with("NOKUBE_CERTIFICATE_ISSUER", "letsencrypt"),
        ),
        ("no-edge", Options::default().with("NOKUBE_EDGE", "none")),
    ];
    let volumes = make_volumes(&kube, 2 * edges.len()).await;
    let notes = format!("/api/v1/namespaces/{}/secrets", installation.namespace);
    let mut aged: Vec<String> = Vec::new();
    for (edge, options) in edges {
        let mut sidecar = installation.start_with(options).await;
        walk(&kube, &sidecar, edge).await;
        for note in &aged {
            let is_gone = async || kube.find(note).await.is_none().then_some(());
            until("an old note to be removed", CHANGE_LIMIT, is_gone).await;
        }
        if edge == "gateway" {
            touch_what_is_kept(&kube, &installation, &sidecar).await;
        }
        sidecar.kill();
        installation.forget_leader().await;
        aged = let_hours_pass(&kube, &notes).await;
    }

    let mut used = BTreeSet::new();
    for right in asked(&visit, &installation) {
        let everywhere = (
            Scope::Cluster,
            right.1.clone(),
            right.2.clone(),
            right.3.clone(),
        );
        let by = [right.clone(), everywhere];
        let by = by.into_iter().find(|right| granted.contains(right));
        used.insert(by.unwrap_or_else(|| panic!("{right:?} is asked for and not granted")));
    }
    let unused: Vec<_> = granted.difference(&used).collect();
    assert!(unused.is_empty(), "granted and never used: {unused:?}");

    for path in volumes.iter().chain(&made) {
        let _ = kube.delete(path).await.expect(path);
    }
    until_nothing_is_in(&kube, PLATFORM).await;
}
