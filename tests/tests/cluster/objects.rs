//! Everything that is in a namespace.

use std::time::Duration;

use nokube_tests::cluster::kube::Kube;
use nokube_tests::cluster::sidecar::CHANGE_LIMIT;
use nokube_tests::wait::until;
use serde_json::Value;

/// Kinds that a deployment, or a controller on its behalf, makes: (API, plural).
const KINDS: [(&str, &str); 19] = [
    ("/api/v1", "configmaps"),
    ("/api/v1", "limitranges"),
    ("/api/v1", "persistentvolumeclaims"),
    ("/api/v1", "pods"),
    ("/api/v1", "resourcequotas"),
    ("/api/v1", "secrets"),
    ("/api/v1", "serviceaccounts"),
    ("/api/v1", "services"),
    ("/apis/apps/v1", "deployments"),
    ("/apis/apps/v1", "replicasets"),
    ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    ("/apis/core.spinkube.dev/v1alpha1", "spinappexecutors"),
    ("/apis/core.spinkube.dev/v1alpha1", "spinapps"),
    ("/apis/discovery.k8s.io/v1", "endpointslices"),
    ("/apis/gateway.networking.k8s.io/v1", "httproutes"),
    ("/apis/networking.k8s.io/v1", "ingresses"),
    ("/apis/networking.k8s.io/v1", "networkpolicies"),
    ("/apis/policy/v1", "poddisruptionbudgets"),
    ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
];

/// `<plural>/<name>` of everything in a namespace whose labels fit `selector`.
pub(crate) async fn objects_in(kube: &Kube, namespace: &str, selector: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (api, plural) in KINDS {
        let path = format!("{api}/namespaces/{namespace}/{plural}?labelSelector={selector}");
        let objects = kube.list(&path).await;
        let named = |object: &Value| format!("{plural}/{}", name_of(object));
        found.extend(objects.iter().map(named));
    }
    found
}

/// Waits until nothing is left of a namespace, itself included.
///
/// # Panics
/// With what is left.
pub(crate) async fn until_nothing_is_in(kube: &Kube, namespace: &str) {
    let path = format!("/api/v1/namespaces/{namespace}");
    let began = std::time::Instant::now();
    while kube.find(&path).await.is_some() {
        assert!(
            began.elapsed() < CHANGE_LIMIT,
            "left: {:?}",
            objects_in(kube, namespace, "").await
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(objects_in(kube, namespace, "").await, Vec::<String>::new());
}

/// An object of a namespace.
///
/// # Panics
/// When it is not there.
pub(crate) async fn object(kube: &Kube, api: &str, namespace: &str, name: &str) -> Value {
    let (group, plural) = api.rsplit_once('/').expect("an API and a plural");
    let path = format!("{group}/namespaces/{namespace}/{plural}/{name}");
    kube.get(&path).await.expect(&path)
}

/// Waits for an object of a namespace to be as it should.
pub(crate) async fn until_object(
    kube: &Kube,
    api: &str,
    namespace: &str,
    name: &str,
    is_it: impl Fn(&Value) -> bool,
) -> Value {
    let (group, plural) = api.rsplit_once('/').expect("an API and a plural");
    let path = format!("{group}/namespaces/{namespace}/{plural}/{name}");
    until(&format!("{path} to be so"), CHANGE_LIMIT, || async {
        kube.find(&path).await.filter(&is_it)
    })
    .await
}

pub(crate) fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
pub(crate) const SERVICES: &str = "/api/v1/services";
pub(crate) const SPIN_APPS: &str = "/apis/core.spinkube.dev/v1alpha1/spinapps";
