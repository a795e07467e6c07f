//! Everything the sidecar may do in a cluster, as data: roles are printed from it (`nokube-sidecar rbac`),
//! and tests hold it against the calls that are really made. A call that is not covered fails there, and so
//! does a permission that nothing uses.

mod policies;

use nokube_manifests::Object;
use serde_json::{Value, json};

const CORE: &str = "";
const APPS: &str = "apps";
const AUTOSCALING: &str = "autoscaling";
const GATEWAY: &str = "gateway.networking.k8s.io";
const LEASES: &str = "coordination.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const POLICY: &str = "policy";
const RBAC: &str = "rbac.authorization.k8s.io";
const SPINKUBE: &str = "core.spinkube.dev";

/// Where something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// In all namespaces, and with what is of none.
    Cluster,
    /// In the sidecar's own namespace.
    System,
    /// In namespaces of deployments, by a RoleBinding that is made in each.
    Tenants,
}

/// A permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permission {
    pub(crate) scope: Scope,
    pub(crate) group: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) verbs: &'static [&'static str],
}

const fn may(
    scope: Scope,
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
) -> Permission {
    Permission {
        scope,
        group,
        resource,
        verbs,
    }
}

/// Objects that end with their namespace.
const SHARED: &[&str] = &["create", "patch"];
/// Objects of one deployment.
const OWN: &[&str] = &["create", "delete", "get", "patch"];
/// And those that are looked for before a namespace is removed.
const LISTED: &[&str] = &["create", "delete", "get", "list", "patch"];
const WATCHED: &[&str] = &["list", "watch"];

/// All permissions, but for that of binding the tenants' role, which has a name.
pub(crate) const PERMISSIONS: &[Permission] = &[
    may(
        Scope::Cluster,
        CORE,
        "namespaces",
        &["create", "delete", "get", "patch"],
    ),
    may(Scope::Cluster, RBAC, "rolebindings", SHARED),
    may(Scope::Cluster, APPS, "deployments", WATCHED),
    may(Scope::Cluster, SPINKUBE, "spinapps", WATCHED),
    may(Scope::Cluster, CORE, "pods", WATCHED),
    may(Scope::Cluster, CORE, "events", WATCHED),
    may(
        Scope::System,
        CORE,
        "secrets",
        &["create", "delete", "get", "list", "update"],
    ),
    may(
        Scope::System,
        CORE,
        "configmaps",
        &["create", "delete", "list", "patch"],
    ),
    may(
        Scope::System,
        LEASES,
        "leases",
        &["create", "get", "update"],
    ),
    may(Scope::Tenants, CORE, "limitranges", SHARED),
    may(
        Scope::Tenants,
        CORE,
        "resourcequotas",
        &["create", "get", "patch"],
    ),
    may(Scope::Tenants, CORE, "serviceaccounts", SHARED),
    may(Scope::Tenants, SPINKUBE, "spinappexecutors", SHARED),
    may(Scope::Tenants, NETWORKING, "networkpolicies", OWN),
    may(Scope::Tenants, CORE, "configmaps", LISTED),
    may(Scope::Tenants, CORE, "secrets", LISTED),
    may(Scope::Tenants, CORE, "persistentvolumeclaims", LISTED),
    may(Scope::Tenants, CORE, "services", LISTED),
    may(Scope::Tenants, SPINKUBE, "spinapps", OWN),
    may(Scope::Tenants, APPS, "deployments", OWN),
    may(Scope::Tenants, GATEWAY, "httproutes", OWN),
    may(Scope::Tenants, NETWORKING, "ingresses", OWN),
    may(Scope::Tenants, AUTOSCALING, "horizontalpodautoscalers", OWN),
    may(Scope::Tenants, POLICY, "poddisruptionbudgets", OWN),
    may(Scope::Tenants, CORE, "pods/log", &["get"]),
];

/// Names in the objects that grant them.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) platform: String,
    pub(crate) namespace: String,
    pub(crate) account: String,
    pub(crate) tenant_role: String,
}

/// The objects that grant all of it to the sidecar's service account.
pub(crate) fn objects(names: &Names) -> Vec<Object> {
    let Names {
        platform,
        namespace,
        account,
        tenant_role,
    } = names;
    let mut everywhere = rules(Scope::Cluster);
    everywhere.push(json!({
        "apiGroups": [RBAC],
        "resources": ["clusterroles"],
        "resourceNames": [tenant_role],
        "verbs": ["bind"],
    }));
    // One role for all platforms of a cluster, and a binding for each.
    let binding = format!("{account}-{platform}");
    let subjects = json!([{ "kind": "ServiceAccount", "name": account, "namespace": namespace }]);
    let role_of = |kind: &str, name: &str| json!({ "apiGroup": RBAC, "kind": kind, "name": name });
    let mut objects = vec![
        object(
            "ClusterRole",
            "clusterroles",
            None,
            account,
            &json!({ "rules": everywhere }),
        ),
        object(
            "ClusterRoleBinding",
            "clusterrolebindings",
            None,
            &binding,
            &json!({ "roleRef": role_of("ClusterRole", account), "subjects": subjects }),
        ),
        object(
            "ClusterRole",
            "clusterroles",
            None,
            tenant_role,
            &json!({ "rules": rules(Scope::Tenants) }),
        ),
        object(
            "Role",
            "roles",
            Some(namespace),
            account,
            &json!({ "rules": rules(Scope::System) }),
        ),
        object(
            "RoleBinding",
            "rolebindings",
            Some(namespace),
            account,
            &json!({ "roleRef": role_of("Role", account), "subjects": subjects }),
        ),
    ];
    objects.extend(policies::objects(names));
    objects
}

/// The rules of a role, in the order of the table.
fn rules(scope: Scope) -> Vec<Value> {
    PERMISSIONS
        .iter()
        .filter(|permission| permission.scope == scope)
        .map(|permission| {
            json!({
                "apiGroups": [permission.group],
                "resources": [permission.resource],
                "verbs": permission.verbs,
            })
        })
        .collect()
}

fn object(
    kind: &str,
    plural: &'static str,
    namespace: Option<&str>,
    name: &str,
    more: &Value,
) -> Object {
    object_of(RBAC, kind, plural, namespace, name, more)
}

fn object_of(
    group: &str,
    kind: &str,
    plural: &'static str,
    namespace: Option<&str>,
    name: &str,
    more: &Value,
) -> Object {
    let api_version = format!("{group}/v1");
    let mut body = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": { "name": name, "labels": { "app.kubernetes.io/managed-by": "nokube" } },
    });
    if let Some(namespace) = namespace {
        body["metadata"]["namespace"] = Value::from(namespace);
    }
    for (field, value) in more.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    Object {
        api_version,
        kind: kind.to_owned(),
        plural,
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_granted_cluster_wide_and_nothing_is_granted_by_a_star() {
        for permission in PERMISSIONS {
            let words = [permission.group, permission.resource];
            assert!(words.iter().all(|word| !word.contains('*')));
            assert!(!permission.verbs.contains(&"*"));
            if permission.scope == Scope::Cluster {
                assert_ne!(permission.resource, "secrets");
                assert_ne!(permission.resource, "configmaps");
            }
        }
    }

    #[test]
    fn the_tenants_role_is_bound_by_name_alone() {
        let objects = objects(&Names {
            platform: "two".to_owned(),
            namespace: "system".to_owned(),
            account: "sidecar".to_owned(),
            tenant_role: "tenant".to_owned(),
        });
        let text: Vec<String> = objects.iter().map(Object::id).collect();
        assert_eq!(
            text,
            [
                "ClusterRole/sidecar",
                "ClusterRoleBinding/sidecar-two",
                "ClusterRole/tenant",
                "Role/sidecar",
                "RoleBinding/sidecar",
                "ValidatingAdmissionPolicy/sidecar-two-namespaces",
                "ValidatingAdmissionPolicyBinding/sidecar-two-namespaces",
                "ValidatingAdmissionPolicy/sidecar-two-rolebindings",
                "ValidatingAdmissionPolicyBinding/sidecar-two-rolebindings",
                "ValidatingAdmissionPolicy/sidecar-two-secrets",
                "ValidatingAdmissionPolicyBinding/sidecar-two-secrets",
            ]
        );
        let rule = &objects[9].body["spec"]["validations"][0]["expression"];
        assert_eq!(
            *rule,
            "request.namespace != 'system' || oldObject.type == 'nokube.dev/deployment'"
        );
        let rules = objects[0].body["rules"].as_array().unwrap();
        let bind = rules.last().unwrap();
        assert_eq!(bind["verbs"], json!(["bind"]));
        assert_eq!(bind["resourceNames"], json!(["tenant"]));
    }
}
