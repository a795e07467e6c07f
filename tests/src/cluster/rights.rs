//! What the sidecar asks to be allowed: its own list of roles, right by right, given to its account.

use std::process::Command;

use reqwest::StatusCode;
use serde_json::Value;

use super::kube::Kube;
use super::sidecar::sidecar_program;

/// Something that the sidecar asks to be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Where.
    pub scope: Scope,
    /// The API group; empty for the core.
    pub group: String,
    /// The resource in the plural, with a subresource after a slash.
    pub resource: String,
    /// The verb.
    pub verb: String,
    /// On this object alone.
    pub name: Option<String>,
}

/// Where a right is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// In all namespaces, and on what is in none.
    Cluster,
    /// In the sidecar's own namespace.
    System,
    /// In the namespaces it makes.
    Tenants,
}

/// The sidecar's roles and what bounds them, as it prints them itself.
pub(super) fn roles(platform: &str, namespace: &str) -> Vec<Value> {
    let output = Command::new(sidecar_program())
        .args(["rbac", "--platform", platform, "--namespace", namespace])
        .output()
        .expect("nokube-sidecar runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    list["items"].as_array().expect("a list").clone()
}

/// Every right on its own.
pub(super) fn rights(objects: &[Value]) -> Vec<Right> {
    let bound_everywhere = |role: &Value| {
        let bindings = objects
            .iter()
            .filter(|object| object["kind"] == "ClusterRoleBinding");
        let mut names = bindings.map(|binding| &binding["roleRef"]["name"]);
        names.any(|name| *name == role["metadata"]["name"])
    };
    let mut rights = Vec::new();
    for role in objects {
        let scope = match role["kind"].as_str() {
            Some("Role") => Scope::System,
            Some("ClusterRole") if bound_everywhere(role) => Scope::Cluster,
            Some("ClusterRole") => Scope::Tenants,
            _ => continue,
        };
        for rule in role["rules"].as_array().into_iter().flatten() {
            let words = |field: &str| -> Vec<String> {
                let words = rule[field].as_array().into_iter().flatten();
                words
                    .filter_map(|word| Some(word.as_str()?.to_owned()))
                    .collect()
            };
            let names = match words("resourceNames") {
                names if names.is_empty() => vec![None],
                names => names.into_iter().map(Some).collect(),
            };
            for group in words("apiGroups") {
                for resource in words("resources") {
                    for verb in words("verbs") {
                        rights.extend(names.iter().map(|name| Right {
                            scope,
                            group: group.clone(),
                            resource: resource.clone(),
                            verb: verb.clone(),
                            name: name.clone(),
                        }));
                    }
                }
            }
        }
    }
    rights
}

/// Makes one of those objects.
pub(super) async fn grant(kube: &Kube, object: &Value) {
    let api = format!(
        "/apis/{}",
        object["apiVersion"].as_str().expect("an API version")
    );
    let plural = match object["kind"].as_str() {
        Some("ClusterRole") => "clusterroles",
        Some("ClusterRoleBinding") => "clusterrolebindings",
        Some("Role") => "roles",
        Some("RoleBinding") => "rolebindings",
        Some("ValidatingAdmissionPolicy") => "validatingadmissionpolicies",
        Some("ValidatingAdmissionPolicyBinding") => "validatingadmissionpolicybindings",
        other => panic!("{other:?} is not what the sidecar asks for"),
    };
    let path = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{api}/namespaces/{namespace}/{plural}"),
        None => format!("{api}/{plural}"),
    };
    let answer = kube.create(&path, object).await;
    // What is the same for all platforms of a cluster is there from the second on.
    if answer.status != StatusCode::CONFLICT {
        let _ = answer.expect(&path);
    }
}
