//! What the sidecar's service account may do: what it asks for itself, all of which it needs, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use nokube_tests::cluster::kube::{Act, Kube};
use nokube_tests::cluster::sidecar::{Installation, Right, Scope};
use nokube_tests::cluster::spec::Tenant;
use nokube_tests::cluster::visit;
use nokube_tests::wait::until;
use serde_json::{Value, json};

const POLICY_LIMIT: Duration = Duration::from_secs(60);
/// What nobody should be able to do who deploys other people's programs.
const NEVER: [(&str, &str, &str); 20] = [
    ("", "nodes", "list"),
    ("", "nodes/proxy", "get"),
    ("", "persistentvolumes", "create"),
    ("", "pods", "create"),
    ("", "pods/exec", "create"),
    ("", "pods/attach", "create"),
    ("", "pods/portforward", "create"),
    ("", "pods/ephemeralcontainers", "patch"),
    ("", "secrets", "get"),
    ("", "secrets", "list"),
    ("", "secrets", "watch"),
    ("", "secrets", "patch"),
    ("", "serviceaccounts", "impersonate"),
    ("", "serviceaccounts/token", "create"),
    ("", "users", "impersonate"),
    (
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        "create",
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions", "patch"),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "create"),
    ("rbac.authorization.k8s.io", "clusterroles", "escalate"),
    ("rbac.authorization.k8s.io", "clusterroles", "patch"),
];

async fn may(kube: &Kube, right: &Right, namespace: Option<&str>) -> bool {
    kube.may(&Act {
        group: &right.group,
        resource: &right.resource,
        verb: &right.verb,
        namespace,
        name: right.name.as_deref(),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sidecar_has_the_rights_it_asks_for_where_it_asks_for_them() {
    let Some(visit) = visit().await else {
        return;
    };
    let installation = Installation::new(&visit, "rights").await;
    let sidecar = installation.start().await;
    let tenant = Tenant::new("ada", "rights-shop");
    let own = tenant.namespace();
    let _ = sidecar.runs(&tenant.container("web")).await;
    let kube = installation.as_sidecar();
    let rights = installation.rights();
    assert!(rights.len() > 20, "{rights:?}");

    let everywhere: BTreeSet<_> = rights
        .iter()
        .filter(|right| right.scope == Scope::Cluster && right.name.is_none())
        .map(|right| (&right.group, &right.resource, &right.verb))
        .collect();
    for right in rights {
        match right.scope {
            Scope::Cluster => assert!(may(&kube, right, None).await, "missing: {right:?}"),
            Scope::System => {
                let system = Some(installation.namespace.as_str());
                assert!(may(&kube, right, system).await, "missing: {right:?}");
            }
            Scope::Tenants => {
                assert!(may(&kube, right, Some(&own)).await, "missing: {right:?}");
                if !everywhere.contains(&(&right.group, &right.resource, &right.verb)) {
                    for foreign in ["default", "kube-system"] {
                        assert!(
                            !may(&kube, right, Some(foreign)).await,
                            "{foreign}: {right:?}"
                        );
                    }
                }
            }
        }
        assert_ne!(right.verb, "*", "{right:?}");
        assert_ne!(right.resource, "*", "{right:?}");
        assert_ne!(right.group, "*", "{right:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sidecar_has_no_rights_that_it_does_not_need_and_reads_no_secrets_of_others() {
    let Some(visit) = visit().await else {
        return;
    };
    let installation = Installation::new(&visit, "no-rights").await;
    let sidecar = installation.start().await;
    let tenant = Tenant::new("ada", "no-rights-shop");
    let own = tenant.namespace();
    let _ = sidecar.runs(&tenant.container("web")).await;
    let kube = installation.as_sidecar();
    for (group, resource, verb) in NEVER {
        for namespace in [None, Some("default"), Some("kube-system")] {
            let act = Act {
                group,
                resource,
                verb,
                namespace,
                name: None,
            };
            assert!(!kube.may(&act).await, "{act:?}");
        }
        // In a tenant's namespace it writes secrets; the rest it does not do there either.
        if resource != "secrets" {
            let act = Act {
                group,
                resource,
                verb,
                namespace: Some(&own),
                name: None,
            };
            assert!(!kube.may(&act).await, "{act:?}");
        }
    }
    // By doing it, too.
    let secrets = kube.get("/api/v1/secrets").await;
    assert_eq!(secrets.status, 403, "{}", secrets.body);
    let secrets = kube.get("/api/v1/namespaces/kube-system/secrets").await;
    assert_eq!(secrets.status, 403, "{}", secrets.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sidecar_binds_its_role_and_changes_namespaces_where_they_are_its_platforms_alone() {
    let Some(visit) = visit().await else {
        return;
    };
    let installation = Installation::new(&visit, "bound").await;
    let sidecar = installation.start().await;
    let tenant = Tenant::new("ada", "bound-shop");
    let own = tenant.namespace();
    let _ = sidecar.runs(&tenant.container("web")).await;
    let kube = installation.as_sidecar();
    let subject = json!({
        "kind": "ServiceAccount", "name": "nokube-sidecar", "namespace": installation.namespace,
    });
    let binding = |name: &str, role: (&str, &str), subject: &Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": name },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1,
            },
            "subjects": [subject],
        })
    };
    let bindings = |namespace: &str| {
        format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings")
    };
    let tenants = ("ClusterRole", "nokube-tenant");
    // A policy holds some moments after it was made.
    let grasp = binding("grasp", tenants, &subject);
    until("the policies to hold", POLICY_LIMIT, || async {
        let answer = kube.create(&bindings("kube-system"), &grasp).await;
        let denied = answer
            .body
            .to_string()
            .contains("namespaces of this platform alone");
        if !denied {
            // It was let through once more.
            let path = format!("{}/grasp", bindings("kube-system"));
            let _ = visit.kube().delete(&path).await;
        }
        denied.then_some(())
    })
    .await;
    for namespace in ["default", "kube-system", installation.namespace.as_str()] {
        let answer = kube.create(&bindings(namespace), &grasp).await;
        assert_eq!(answer.status, 422, "{namespace}: {}", answer.body);
    }
    let stranger =
        json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "eve" });
    let answer = kube
        .create(&bindings(&own), &binding("for-eve", tenants, &stranger))
        .await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    let answer = kube
        .create(&bindings(&own), &binding("again", tenants, &subject))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    // Nor does it make another namespace its own, or remove one.
    let label =
        json!({ "metadata": { "labels": { "nokube.dev/platform": installation.platform } } });
    let answer = kube.merge("/api/v1/namespaces/kube-system", &label).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    let answer = kube.delete("/api/v1/namespaces/default").await;
    assert_ne!(answer.status, 200, "{}", answer.body);
    let nameless =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "bound-free" } });
    let answer = kube.create("/api/v1/namespaces", &nameless).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    // And of the Secrets beside its own, the platform's keys, it changes and removes none.
    let secrets = format!("/api/v1/namespaces/{}/secrets", installation.namespace);
    let keys = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys" },
        "type": "Opaque",
    });
    let answer = visit.kube().create(&secrets, &keys).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let answer = kube.delete(&format!("{secrets}/keys")).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    let kept = visit.kube().get(&secrets).await;
    let kept = kept.body["items"].as_array().cloned().unwrap_or_default();
    let own = kept
        .iter()
        .find(|secret| secret["type"] == "nokube.dev/deployment")
        .and_then(|secret| secret["metadata"]["name"].as_str())
        .expect("desired state is kept");
    let answer = kube.delete(&format!("{secrets}/{own}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}
