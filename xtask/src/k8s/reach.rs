//! Who reaches whom under the committed NetworkPolicies: whoever has to, and nobody else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::render::SETS;
use super::rules::{of_kind, read};

/// Kubernetes writes it on every namespace itself.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Some pod, as a policy sees it.
#[derive(Debug, Clone)]
struct Pod {
    namespace: String,
    labels: Value,
}

impl Pod {
    fn any_of(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            labels: json!({}),
        }
    }

    /// Of a Deployment, a StatefulSet or a SpinApp.
    fn of(owner: &Value) -> Self {
        let labels = match owner["kind"].as_str() {
            Some("SpinApp") => &owner["spec"]["podLabels"],
            _ => &owner["spec"]["template"]["metadata"]["labels"],
        };
        Self {
            namespace: text(&owner["metadata"]["namespace"]).to_owned(),
            labels: labels.clone(),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn all(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether a selector takes these labels.
fn takes(selector: &Value, labels: &Value) -> bool {
    let known: BTreeSet<&str> = selector
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert!(known.is_subset(&BTreeSet::from(["matchLabels", "matchExpressions"])));
    let wanted = selector["matchLabels"].as_object();
    let fits = wanted.is_none_or(|all| all.iter().all(|(name, value)| labels[name] == *value));
    fits && all(&selector["matchExpressions"]).iter().all(|one| {
        let is_in = all(&one["values"]).contains(&labels[text(&one["key"])]);
        match text(&one["operator"]) {
            "In" => is_in,
            "NotIn" => !is_in,
            other => panic!("{other} is not known here"),
        }
    })
}

fn is_peer(peer: &Value, policy: &Value, pod: &Pod) -> bool {
    // Networks are of what is no pod.
    if peer.get("ipBlock").is_some() {
        return false;
    }
    let namespace = match peer.get("namespaceSelector") {
        Some(selector) => takes(selector, &json!({ NAMESPACE_NAME: pod.namespace })),
        None => policy["metadata"]["namespace"] == pod.namespace.as_str(),
    };
    let labels = peer.get("podSelector");
    namespace && labels.is_none_or(|selector| takes(selector, &pod.labels))
}

/// Whether what policies of one direction say of `pod` lets it have to do with `other`. The port is a number with its
/// protocol, as `53/UDP`.
fn is_open(documents: &[Value], direction: &str, pod: &Pod, other: &Pod, port: &str) -> bool {
    let (rules, peers) = match direction {
        "Ingress" => ("ingress", "from"),
        _ => ("egress", "to"),
    };
    let mut policies = of_kind(documents, "NetworkPolicy")
        .into_iter()
        .filter(|policy| {
            policy["metadata"]["namespace"] == pod.namespace.as_str()
                && all(&policy["spec"]["policyTypes"]).contains(&json!(direction))
                && takes(&policy["spec"]["podSelector"], &pod.labels)
        })
        .peekable();
    if policies.peek().is_none() {
        return true;
    }
    policies.any(|policy| {
        all(&policy["spec"][rules]).iter().any(|rule| {
            let has_port = |one: &Value| {
                let protocol = one["protocol"].as_str().unwrap_or("TCP");
                format!("{}/{protocol}", one["port"]) == port
            };
            let ports = rule.get("ports");
            let listed = rule.get(peers);
            ports.is_none_or(|ports| all(ports).iter().any(has_port))
                && listed.is_none_or(|list| all(list).iter().any(|one| is_peer(one, policy, other)))
        })
    })
}

fn reaches(documents: &[Value], from: &Pod, to: &Pod, port: &str) -> bool {
    is_open(documents, "Egress", from, to, port) && is_open(documents, "Ingress", to, from, port)
}

/// Networks that a pod may reach at a port; `None` among them is everything.
fn networks(documents: &[Value], from: &Pod, port: u16) -> BTreeSet<Option<String>> {
    of_kind(documents, "NetworkPolicy")
        .into_iter()
        .filter(|policy| {
            policy["metadata"]["namespace"] == from.namespace.as_str()
                && takes(&policy["spec"]["podSelector"], &from.labels)
        })
        .flat_map(|policy| all(&policy["spec"]["egress"]))
        .filter(|rule| all(&rule["ports"]).iter().any(|one| one["port"] == port))
        .flat_map(|rule| match rule.get("to") {
            None => vec![None],
            Some(peers) => all(peers)
                .iter()
                .filter_map(|peer| Some(Some(peer["ipBlock"]["cidr"].as_str()?.to_owned())))
                .collect(),
        })
        .collect()
}

/// The pods of a set, and those around it.
struct Scene {
    documents: Vec<Value>,
    /// Each with the databases in the cluster that it opens.
    apps: Vec<(Pod, BTreeSet<String>)>,
    sidecar: Pod,
    edge: Pod,
    databases: Vec<(String, Pod)>,
    runner: Option<Pod>,
    /// Where Prometheus is, when it is asked to look at the sidecar.
    monitoring: Option<Pod>,
}

impl Scene {
    fn of(set: &str) -> Self {
        let documents = read(set);
        let owner = |name: &str| {
            documents.iter().find(|one| {
                ["Deployment", "StatefulSet"].contains(&text(&one["kind"]))
                    && one["metadata"]["name"] == name
            })
        };
        let databases: Vec<_> = ["auth", "platform"]
            .into_iter()
            .filter_map(|name| {
                let database = owner(&format!("nokube-{name}-db"))?;
                Some((name.to_owned(), Pod::of(database)))
            })
            .collect();
        let apps = of_kind(&documents, "SpinApp")
            .into_iter()
            .map(|app| {
                let opened = all(&app["spec"]["runtimeConfig"]["sqliteDatabases"]);
                let names = opened.iter().map(|one| text(&one["name"]).to_owned());
                (Pod::of(app), names.collect())
            })
            .collect();
        let sidecar = owner("nokube-sidecar").unwrap();
        let environment = &sidecar["spec"]["template"]["spec"]["containers"][0]["env"];
        let edge = all(environment)
            .iter()
            .find(|one| one["name"] == "NOKUBE_EDGE_NAMESPACE")
            .unwrap();
        let is_watched = documents.iter().any(|one| one["kind"] == "ServiceMonitor");
        Self {
            apps,
            sidecar: Pod::of(sidecar),
            edge: Pod::any_of(text(&edge["value"])),
            databases,
            runner: owner("nokube-runner").map(Pod::of),
            monitoring: is_watched.then(|| Pod::any_of("monitoring")),
            documents,
        }
    }

    fn reaches(&self, from: &Pod, to: &Pod, port: &str) -> bool {
        reaches(&self.documents, from, to, port)
    }
}

#[test]
fn visitors_and_the_platforms_parts_reach_what_they_need() {
    for set in SETS {
        let scene = Scene::of(set);
        let sidecar = &scene.sidecar;
        for (app, _) in &scene.apps {
            assert!(scene.reaches(&scene.edge, app, "80/TCP"), "{set}: {app:?}");
            assert!(scene.reaches(app, sidecar, "3001/TCP"), "{set}: {app:?}");
            assert!(scene.reaches(sidecar, app, "80/TCP"), "{set}: {app:?}");
            // Parts of a split platform call one another; one SpinApp calls itself in process.
            for (other, _) in &scene.apps {
                let is_reached = scene.reaches(app, other, "80/TCP");
                assert_eq!(is_reached, scene.apps.len() > 1, "{set}: {app:?} {other:?}");
            }
        }
        assert!(scene.reaches(&scene.edge, sidecar, "3001/TCP"), "{set}");
        // The replica that has the lease.
        assert!(scene.reaches(sidecar, sidecar, "3001/TCP"), "{set}");
        assert!(
            !networks(&scene.documents, sidecar, 443).is_empty(),
            "{set}"
        );
        if let Some(runner) = &scene.runner {
            assert!(
                scene
                    .apps
                    .iter()
                    .all(|(app, _)| scene.reaches(runner, app, "80/TCP"))
            );
            let public = Some("0.0.0.0/0".to_owned());
            assert!(networks(&scene.documents, runner, 443).contains(&public));
        }
    }
}

#[test]
fn all_that_call_by_name_have_names_answered() {
    let mut dns = Pod::any_of("kube-system");
    dns.labels = json!({ "k8s-app": "kube-dns" });
    for set in SETS {
        let scene = Scene::of(set);
        let callers = scene.apps.iter().map(|(app, _)| app);
        let callers = callers.chain([&scene.sidecar]).chain(&scene.runner);
        for caller in callers {
            for port in ["53/UDP", "53/TCP"] {
                assert!(scene.reaches(caller, &dns, port), "{set}: {caller:?}");
            }
            let on_node = Some("169.254.20.10/32".to_owned());
            assert!(networks(&scene.documents, caller, 53).contains(&on_node));
            assert!(!scene.reaches(caller, &Pod::any_of("kube-system"), "53/UDP"));
        }
    }
}

#[test]
fn each_database_is_reached_by_those_that_open_it_and_nobody_else() {
    let mut seen = 0;
    for set in SETS {
        let scene = Scene::of(set);
        for (name, database) in &scene.databases {
            for (app, opened) in &scene.apps {
                let is_reached = scene.reaches(app, database, "8080/TCP");
                assert_eq!(is_reached, opened.contains(name), "{set}: {name}: {app:?}");
                seen += usize::from(is_reached);
            }
            let others = [&scene.sidecar, &scene.edge];
            for other in others.into_iter().chain(&scene.runner) {
                assert!(
                    !scene.reaches(other, database, "8080/TCP"),
                    "{set}: {other:?}"
                );
            }
        }
        // Elsewhere, by its network alone.
        for (app, _) in scene.apps.iter().filter(|_| scene.databases.is_empty()) {
            let wanted = BTreeSet::from([Some("203.0.113.0/24".to_owned())]);
            assert_eq!(
                networks(&scene.documents, app, 443),
                wanted,
                "{set}: {app:?}"
            );
        }
    }
    assert!(seen > 2, "{seen}");
}

#[test]
fn the_sidecars_api_is_reached_by_the_platform_and_the_edge_and_not_where_strangers_code_is() {
    let mut watched = 0;
    for set in SETS {
        let scene = Scene::of(set);
        let sidecar = &scene.sidecar;
        let stranger = Pod::any_of("shop-production");
        let databases = scene.databases.iter().map(|(_, database)| database);
        for other in databases.chain([&stranger]).chain(&scene.runner) {
            assert!(
                !scene.reaches(other, sidecar, "3001/TCP"),
                "{set}: {other:?}"
            );
            // Not by what it may call alone: also if its own policy were gone.
            let lets_in = is_open(&scene.documents, "Ingress", sidecar, other, "3001/TCP");
            assert!(!lets_in, "{set}: {other:?}");
        }
        for (app, _) in &scene.apps {
            assert!(!scene.reaches(&stranger, app, "80/TCP"), "{set}: {app:?}");
        }
        if let Some(monitoring) = &scene.monitoring {
            assert!(scene.reaches(monitoring, sidecar, "3001/TCP"), "{set}");
            watched += 1;
        }
    }
    assert_eq!(watched, 1);
}
