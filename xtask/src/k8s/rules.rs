//! What the committed files must keep to, whatever the chart is changed to. It takes no Helm: what is committed is what
//! the chart makes, by `cargo xtask check`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use super::render::{self, SETS};
use super::{documents, place};
use crate::layout::Layout;

/// The platform's components call one another in process under these, unless the application is split.
const CHAINED: [&str; 5] = [
    "auth_url",
    "projects_url",
    "builds_url",
    "deploy_url",
    "events_url",
];

/// What a part of a split platform gets for a variable that none of its components reads.
const PLACEHOLDER: &str = "unused";

fn layout() -> Layout {
    Layout::find().unwrap()
}

pub(super) fn read(set: &str) -> Vec<Value> {
    let file = render::file(&layout(), set);
    documents(&fs::read_to_string(file).unwrap()).unwrap()
}

pub(super) fn of_kind<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let found: Vec<_> = documents.iter().filter(|one| one["kind"] == kind).collect();
    assert!(!found.is_empty(), "no {kind}");
    found
}

fn manifest() -> toml::Value {
    toml::from_str(&fs::read_to_string(layout().root.join("spin.toml")).unwrap()).unwrap()
}

fn keys(table: &toml::Value) -> BTreeSet<String> {
    table.as_table().unwrap().keys().cloned().collect()
}

fn words(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().unwrap();
    list.iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

/// Names of a SpinApp's variables, without those that nothing in it reads.
fn variables(app: &Value) -> BTreeSet<String> {
    app["spec"]["variables"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|variable| variable["value"] != PLACEHOLDER)
        .map(|variable| variable["name"].as_str().unwrap().to_owned())
        .collect()
}

fn components_of(app: &Value, manifest: &toml::Value) -> BTreeSet<String> {
    match &app["spec"]["components"] {
        Value::Null => keys(&manifest["component"]),
        list => words(list),
    }
}

#[test]
fn every_variable_of_the_manifest_is_set_where_it_is_read_and_nowhere_else() {
    let manifest = manifest();
    for set in SETS {
        let documents = read(set);
        for app in of_kind(&documents, "SpinApp") {
            let is_split = app["spec"].get("components").is_some();
            let mut read: BTreeSet<String> = components_of(app, &manifest)
                .iter()
                .flat_map(|component| keys(&manifest["component"][component]["variables"]))
                .collect();
            if !is_split {
                read.retain(|name| !CHAINED.contains(&name.as_str()));
            }
            assert_eq!(variables(app), read, "{set}: {}", app["metadata"]["name"]);
        }
    }
}

#[test]
fn no_part_starts_without_a_variable_that_spin_wants() {
    let manifest = manifest();
    let required: BTreeSet<String> = manifest["variables"]
        .as_table()
        .unwrap()
        .iter()
        .filter(|(_, variable)| variable.get("required") == Some(&toml::Value::Boolean(true)))
        .map(|(name, _)| name.clone())
        .collect();
    for set in SETS {
        for app in of_kind(&read(set), "SpinApp") {
            let given: BTreeSet<String> = app["spec"]["variables"]
                .as_array()
                .unwrap()
                .iter()
                .map(|variable| variable["name"].as_str().unwrap().to_owned())
                .collect();
            assert!(required.is_subset(&given), "{set}: {given:?}");
        }
    }
}

#[test]
fn secrets_come_from_a_secret_that_is_not_among_the_files() {
    let manifest = manifest();
    let secrets: BTreeSet<String> = manifest["variables"]
        .as_table()
        .unwrap()
        .iter()
        .filter(|(_, variable)| variable.get("secret") == Some(&toml::Value::Boolean(true)))
        .map(|(name, _)| name.clone())
        .collect();
    assert!(secrets.contains("jwt_private_key"));
    for set in SETS {
        let documents = read(set);
        assert!(documents.iter().all(|one| one["kind"] != "Secret"), "{set}");
        for app in of_kind(&documents, "SpinApp") {
            for variable in app["spec"]["variables"].as_array().unwrap() {
                let name = variable["name"].as_str().unwrap();
                if secrets.contains(name) && variable["value"] != PLACEHOLDER {
                    let key = &variable["valueFrom"]["secretKeyRef"]["key"];
                    let wanted = format!("SPIN_VARIABLE_{}", name.to_uppercase());
                    assert_eq!(*key, wanted, "{set}");
                }
            }
        }
    }
}

/// What auth alone may read is in auth's pod alone, when it has one of its own.
#[test]
fn of_a_split_platform_only_auth_has_what_signs_and_its_database() {
    let documents = read("split");
    for app in of_kind(&documents, "SpinApp") {
        let is_auth = words(&app["spec"]["components"]).contains("auth");
        assert_eq!(variables(app).contains("jwt_private_key"), is_auth);
        let databases = app["spec"]["runtimeConfig"]["sqliteDatabases"].as_array();
        let has = databases.is_some_and(|all| all.iter().any(|one| one["name"] == "auth"));
        assert_eq!(has, is_auth, "{}", app["metadata"]["name"]);
    }
}

#[test]
fn variables_have_the_manifests_defaults_unless_a_cluster_wants_others() {
    let manifest = manifest();
    let text = fs::read_to_string(place(&layout(), "chart/nokube/values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let given = values["platform"]["variables"].as_object().unwrap();
    let differing: BTreeSet<&str> = given
        .iter()
        .filter(|(name, value)| {
            let default = manifest["variables"][name.as_str()]["default"].as_str();
            default != value.as_str()
        })
        .map(|(name, _)| name.as_str())
        .collect();
    // A cluster runs containers; and it is on the internet, where whoever comes first need not be a friend.
    assert_eq!(
        differing,
        BTreeSet::from(["container_images", "registration"])
    );
}

/// The rules of an HTTPRoute or an Ingress, by path: the longest that fits wins.
fn routes(documents: &[Value]) -> BTreeMap<String, String> {
    let mut routes = BTreeMap::new();
    let mut add = |path: &Value, service: &Value| {
        let (path, service) = (path.as_str().unwrap(), service.as_str().unwrap());
        let before = routes.insert(path.to_owned(), service.to_owned());
        assert_eq!(before, None, "{path}");
    };
    let edge = documents
        .iter()
        .find(|one| {
            (one["kind"] == "HTTPRoute" || one["kind"] == "Ingress")
                && one["metadata"]["name"] == "nokube"
        })
        .unwrap();
    for rule in edge["spec"]["rules"].as_array().unwrap() {
        for one in rule["matches"].as_array().into_iter().flatten() {
            add(&one["path"]["value"], &rule["backendRefs"][0]["name"]);
        }
        for one in rule["http"]["paths"].as_array().into_iter().flatten() {
            add(&one["path"], &one["backend"]["service"]["name"]);
        }
    }
    routes
}

fn leads(routes: &BTreeMap<String, String>, path: &str) -> Option<String> {
    let is_below = |prefix: &str| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let fitting = routes.iter().filter(|(prefix, _)| is_below(prefix));
    let (_, service) = fitting.max_by_key(|(prefix, _)| prefix.len())?;
    Some(service.clone())
}

#[test]
fn visitors_reach_every_route_at_its_component_and_nothing_internal() {
    let manifest = manifest();
    for set in SETS {
        let documents = read(set);
        let routes = routes(&documents);
        for trigger in manifest["trigger"]["http"].as_array().unwrap() {
            let route = trigger["route"].as_str().unwrap().trim_end_matches("/...");
            let service = leads(&routes, route);
            if route.is_empty() || route.starts_with("/internal") {
                assert_eq!(service, None, "{set}: {route}");
                continue;
            }
            let service = service.unwrap_or_else(|| panic!("{set}: nothing at {route}"));
            let apps = of_kind(&documents, "SpinApp");
            let app = apps
                .iter()
                .find(|app| app["metadata"]["name"] == service.as_str())
                .unwrap();
            let component = trigger["component"].as_str().unwrap();
            let components = components_of(app, &manifest);
            assert!(components.contains(component), "{set}: {route}: {service}");
        }
        assert_eq!(
            leads(&routes, "/blobs/ticket").as_deref(),
            Some("nokube-sidecar")
        );
        assert_eq!(leads(&routes, "/v1/apps"), None);
    }
}

/// The pod templates that we write; a SpinApp's is the operator's.
fn pods(documents: &[Value]) -> Vec<(&Value, &Value)> {
    documents
        .iter()
        .filter(|one| one["kind"] == "Deployment" || one["kind"] == "StatefulSet")
        .map(|one| (one, &one["spec"]["template"]))
        .collect()
}

#[test]
fn pods_in_the_platforms_namespace_are_restricted() {
    for set in SETS {
        let documents = read(set);
        let pods: Vec<_> = pods(&documents)
            .into_iter()
            .filter(|(owner, _)| owner["metadata"]["namespace"] == "nokube")
            .collect();
        assert!(!pods.is_empty());
        for (owner, pod) in pods {
            let name = &owner["metadata"]["name"];
            let spec = &pod["spec"];
            assert_eq!(
                spec["securityContext"]["runAsNonRoot"], true,
                "{set}: {name}"
            );
            let profile = &spec["securityContext"]["seccompProfile"]["type"];
            assert_eq!(profile, "RuntimeDefault", "{set}: {name}");
            for container in spec["containers"].as_array().unwrap() {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false, "{set}: {name}");
                assert_eq!(security["readOnlyRootFilesystem"], true, "{set}: {name}");
                assert_eq!(
                    words(&security["capabilities"]["drop"]),
                    words(&serde_json::json!(["ALL"]))
                );
                assert!(
                    container["resources"]["limits"]["memory"].is_string(),
                    "{set}: {name}"
                );
                assert!(container["readinessProbe"].is_object(), "{set}: {name}");
            }
        }
    }
}

#[test]
fn only_the_sidecar_has_a_token_for_the_cluster() {
    for set in SETS {
        let documents = read(set);
        for (owner, pod) in pods(&documents) {
            let is_sidecar = owner["metadata"]["name"] == "nokube-sidecar";
            let mounts = &pod["spec"]["automountServiceAccountToken"];
            assert_eq!(*mounts, is_sidecar, "{set}: {}", owner["metadata"]["name"]);
        }
        let accounts = of_kind(&documents, "ServiceAccount");
        for app in of_kind(&documents, "SpinApp") {
            let account = accounts
                .iter()
                .find(|one| one["metadata"]["name"] == app["spec"]["serviceAccountName"])
                .unwrap();
            assert_eq!(account["automountServiceAccountToken"], false, "{set}");
        }
    }
}

#[test]
fn every_pod_is_closed_but_for_what_a_policy_opens() {
    for set in SETS {
        let documents = read(set);
        let policies = of_kind(&documents, "NetworkPolicy");
        let is_closed = |namespace: &Value, labels: &Value| {
            policies.iter().any(|policy| {
                let selector = &policy["spec"]["podSelector"];
                let wanted = selector["matchLabels"].as_object();
                policy["metadata"]["namespace"] == *namespace
                    && policy["spec"]["policyTypes"] == serde_json::json!(["Ingress", "Egress"])
                    && selector.get("matchExpressions").is_none()
                    && wanted
                        .is_none_or(|all| all.iter().all(|(name, value)| labels[name] == *value))
            })
        };
        for (owner, pod) in pods(&documents) {
            let metadata = &owner["metadata"];
            let labels = &pod["metadata"]["labels"];
            assert!(
                is_closed(&metadata["namespace"], labels),
                "{set}: {metadata}"
            );
        }
        for app in of_kind(&documents, "SpinApp") {
            let metadata = &app["metadata"];
            let labels = &app["spec"]["podLabels"];
            assert!(
                is_closed(&metadata["namespace"], labels),
                "{set}: {metadata}"
            );
        }
    }
}

#[test]
fn a_spinapp_has_replicas_or_an_autoscaler_and_never_both() {
    for set in SETS {
        let documents = read(set);
        let scaled: BTreeSet<&str> = documents
            .iter()
            .filter(|one| one["kind"] == "HorizontalPodAutoscaler")
            .map(|one| one["spec"]["scaleTargetRef"]["name"].as_str().unwrap())
            .collect();
        for app in of_kind(&documents, "SpinApp") {
            let name = app["metadata"]["name"].as_str().unwrap();
            let is_scaled = app["spec"]["enableAutoscaling"] == true;
            assert_eq!(is_scaled, scaled.contains(name), "{set}: {name}");
            assert_ne!(is_scaled, app["spec"]["replicas"].is_u64(), "{set}: {name}");
        }
    }
}

#[test]
fn across_the_cluster_nothing_is_granted_by_a_star_and_no_secret_is_read() {
    for set in SETS {
        let documents = read(set);
        let bound: BTreeSet<&str> = of_kind(&documents, "ClusterRoleBinding")
            .iter()
            .map(|binding| binding["roleRef"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(bound, BTreeSet::from(["nokube-sidecar"]), "{set}");
        for role in of_kind(&documents, "ClusterRole") {
            for rule in role["rules"].as_array().unwrap() {
                let resources = words(&rule["resources"]);
                for list in [&rule["apiGroups"], &rule["resources"], &rule["verbs"]] {
                    assert!(!words(list).contains("*"), "{set}: {rule}");
                }
                let is_bound = bound.contains(role["metadata"]["name"].as_str().unwrap());
                assert!(
                    !(is_bound && resources.contains("secrets")),
                    "{set}: {rule}"
                );
            }
        }
    }
}
