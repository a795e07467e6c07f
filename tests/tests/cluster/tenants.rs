//! Two tenants of one platform, and two platforms of one cluster.

use nokube_api::sidecar::AppPhase;
use nokube_tests::cluster::kube::Act;
use nokube_tests::cluster::sidecar::Installation;
use nokube_tests::cluster::spec::{Changed as _, Tenant};
use nokube_tests::cluster::visit;
use serde_json::{Value, json};

use crate::objects::{DEPLOYMENTS, object};

/// Resources a tenant's pods could wish for.
const WISHES: [(&str, &str, &str); 6] = [
    ("", "secrets", "list"),
    ("", "pods", "list"),
    ("", "configmaps", "get"),
    ("apps", "deployments", "create"),
    ("core.spinkube.dev", "spinapps", "create"),
    ("", "pods/exec", "create"),
];

fn selects_all_pods(policy: &Value) -> bool {
    policy["spec"]["podSelector"]
        .as_object()
        .is_some_and(serde_json::Map::is_empty)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_have_no_rights_in_the_cluster_and_no_way_to_each_other() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "tenants").await;
    let sidecar = installation.start().await;
    let tenants = [
        Tenant::new("ada", "tenants-ada"),
        Tenant::new("bob", "tenants-bob"),
    ];
    for tenant in &tenants {
        let _ = sidecar.runs(&tenant.container("web")).await;
    }
    for (own, other) in [(&tenants[0], &tenants[1]), (&tenants[1], &tenants[0])] {
        let pods = installation.as_account(&own.namespace(), "default").await;
        for (group, resource, verb) in WISHES {
            for namespace in [
                own.namespace(),
                other.namespace(),
                installation.namespace.clone(),
            ] {
                let namespace = Some(namespace.as_str());
                let act = Act {
                    group,
                    resource,
                    verb,
                    namespace,
                    name: None,
                };
                assert!(!pods.may(&act).await, "{act:?}");
            }
        }
        let path = format!(
            "/api/v1/namespaces/{}/serviceaccounts/default",
            own.namespace()
        );
        let account = kube.get(&path).await.expect(&path);
        assert_eq!(account["automountServiceAccountToken"], false);

        // Nothing goes in or out of any pod unless another policy lets it.
        let path = format!(
            "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
            own.namespace()
        );
        let policies = kube.list(&path).await;
        let closed = |kind: &str| {
            policies.iter().any(|policy| {
                let types = policy["spec"]["policyTypes"].as_array();
                selects_all_pods(policy)
                    && types.is_some_and(|types| types.iter().any(|one| one == kind))
            })
        };
        assert!(closed("Ingress") && closed("Egress"), "{policies:?}");
        // And none of those lets the other tenant's pods in.
        for policy in &policies {
            for rule in policy["spec"]["ingress"].as_array().into_iter().flatten() {
                for from in rule["from"].as_array().into_iter().flatten() {
                    let namespaces = &from["namespaceSelector"]["matchLabels"];
                    let all = from["namespaceSelector"] == json!({});
                    assert!(!all, "every namespace may: {policy}");
                    let named = namespaces["kubernetes.io/metadata.name"].as_str();
                    assert_ne!(named, Some(other.namespace().as_str()), "{policy}");
                }
            }
        }
        let path = format!("/api/v1/namespaces/{}", own.namespace());
        let namespace = kube.get(&path).await.expect(&path);
        let labels = &namespace["metadata"]["labels"];
        assert_eq!(
            labels["pod-security.kubernetes.io/enforce"], "restricted",
            "{labels}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_of_another_project_is_not_touched() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "foreign").await;
    let sidecar = installation.start().await;
    let (ada, bob) = (
        Tenant::new("ada", "foreign-ada"),
        Tenant::new("bob", "foreign-bob"),
    );
    let app = ada.container("web");
    let _ = sidecar.runs(&app).await;
    let before = object(&kube, DEPLOYMENTS, &ada.namespace(), "web").await;

    // Another project; an administrator's own; another platform's.
    let administrators = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "foreign-databases" },
    });
    let _ = kube
        .create("/api/v1/namespaces", &administrators)
        .await
        .expect("a namespace");
    for namespace in [ada.namespace(), "foreign-databases".to_owned()] {
        let taken = bob
            .container("web")
            .then(|app| app.namespace = namespace.clone());
        let (status, body) = sidecar.put(&taken).await;
        if status == 202 {
            let status = sidecar.reaches(&taken, AppPhase::Failed).await;
            assert!(
                status
                    .message
                    .is_some_and(|message| message.contains("namespace"))
            );
        } else {
            assert_eq!(status, 422, "{body}");
        }
    }
    let other = Installation::new(&visit, "foreign-too").await;
    let other_sidecar = other.start().await;
    let taken = app.then(|app| app.spec.replicas = 5);
    other_sidecar.want(&taken).await;
    let _ = other_sidecar.reaches(&taken, AppPhase::Failed).await;
    let path = format!("/v1/apps/{}", taken.deployment_id);
    let _ = other_sidecar
        .call(reqwest::Method::DELETE, &path, None)
        .await;

    let after = object(&kube, DEPLOYMENTS, &ada.namespace(), "web").await;
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert_eq!(
        before["metadata"]["generation"],
        after["metadata"]["generation"]
    );
    let path = "/apis/apps/v1/namespaces/foreign-databases/deployments";
    assert_eq!(kube.list(path).await.len(), 0);
}
