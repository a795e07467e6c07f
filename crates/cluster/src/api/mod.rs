//! Calls of the Kubernetes API: how they are sent and repeated, and what their failures mean.
//!
//! `kube` makes the requests, the connections and the credentials; what is repeated and what a refusal
//! means to an application's owner is decided here.

mod error;
mod objects;
mod send;

pub(crate) use error::{CallError, Why, shortened};
pub(crate) use objects::{Deleted, Meta, Place};
pub(crate) use send::Cluster;

/// An API group's version and a kind's name in paths, by kind: everything that is ever applied, removed
/// or looked at.
const KINDS: &[(&str, &str, &str)] = &[
    ("ConfigMap", "v1", "configmaps"),
    ("Deployment", "apps/v1", "deployments"),
    ("Event", "v1", "events"),
    ("HTTPRoute", "gateway.networking.k8s.io/v1", "httproutes"),
    (
        "HorizontalPodAutoscaler",
        "autoscaling/v2",
        "horizontalpodautoscalers",
    ),
    ("Ingress", "networking.k8s.io/v1", "ingresses"),
    ("Lease", "coordination.k8s.io/v1", "leases"),
    ("LimitRange", "v1", "limitranges"),
    ("Namespace", "v1", "namespaces"),
    ("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
    ("PersistentVolumeClaim", "v1", "persistentvolumeclaims"),
    ("Pod", "v1", "pods"),
    ("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
    ("ResourceQuota", "v1", "resourcequotas"),
    (
        "RoleBinding",
        "rbac.authorization.k8s.io/v1",
        "rolebindings",
    ),
    ("Secret", "v1", "secrets"),
    ("Service", "v1", "services"),
    ("ServiceAccount", "v1", "serviceaccounts"),
    ("SpinApp", "core.spinkube.dev/v1alpha1", "spinapps"),
    (
        "SpinAppExecutor",
        "core.spinkube.dev/v1alpha1",
        "spinappexecutors",
    ),
];

/// A kind's API version and name in paths.
pub(crate) fn kind(name: &str) -> Option<(&'static str, &'static str)> {
    KINDS
        .iter()
        .find(|(kind, _, _)| *kind == name)
        .map(|(_, version, plural)| (*version, *plural))
}

/// The same name, for as long as the program runs.
pub(crate) fn known_kind(name: &str) -> Option<&'static str> {
    KINDS
        .iter()
        .map(|(kind, _, _)| *kind)
        .find(|kind| *kind == name)
}
