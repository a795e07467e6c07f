//! What a project's environment has once: a namespace, its bounds, and what SpinKube wants in it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, LocalObjectReference, Namespace, ResourceQuota,
    ResourceQuotaSpec, Secret, ServiceAccount,
};
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use nokube_api::sidecar::AppSpec;
use serde_json::json;

use crate::PodSecurity;
use crate::labels::{shared_labels, shared_meta};
use crate::object::{CustomKind, Object};
use crate::settings::Settings;

/// The copy of the operator's pull secret.
pub(crate) const PULL_SECRET: &str = "nokube-registry";
/// Objects that a namespace has one of.
const ONE: &str = "nokube";
/// Disk of a node that is set aside for a container. Unsaid it would be the limit, and few containers
/// would fit a node.
pub(crate) const EPHEMERAL_REQUEST: &str = "16Mi";
const RBAC: &str = "rbac.authorization.k8s.io";
const EXECUTOR: CustomKind = CustomKind {
    api_version: "core.spinkube.dev/v1alpha1",
    kind: "SpinAppExecutor",
    plural: "spinappexecutors",
};

/// In the order to apply it in.
pub(crate) fn objects(
    app: &AppSpec,
    pod_security: PodSecurity,
    settings: &Settings,
) -> Vec<Object> {
    let mut objects = vec![
        Object::of(&namespace(app, pod_security, settings)),
        // Before anything else that the sidecar may not write without it.
        Object::of(&role_binding(app, settings)),
    ];
    objects.extend(pull_secret(app, settings).map(|secret| Object::of(&secret)));
    objects.push(Object::of(&service_account(app, settings)));
    objects.push(Object::of(&quota(app, settings)));
    objects.push(Object::of(&limit_range(app, settings)));
    objects.extend(crate::network::shared_policies(app, settings));
    // A cluster that runs containers alone need not know SpinKube.
    if pod_security == PodSecurity::Baseline {
        objects.push(executor(app, settings));
    }
    objects
}

fn namespace(app: &AppSpec, pod_security: PodSecurity, settings: &Settings) -> Namespace {
    let enforced = match pod_security {
        PodSecurity::Restricted => "restricted",
        PodSecurity::Baseline => "baseline",
    };
    let mut labels = shared_labels(app, settings);
    for (mode, level) in [
        ("enforce", enforced),
        // What a Spin application's pods lack is at least written down by the API server.
        ("audit", "restricted"),
        ("warn", "restricted"),
    ] {
        labels.insert(
            format!("pod-security.kubernetes.io/{mode}"),
            level.to_owned(),
        );
    }
    Namespace {
        metadata: ObjectMeta {
            name: Some(app.namespace.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

fn role_binding(app: &AppSpec, settings: &Settings) -> RoleBinding {
    RoleBinding {
        metadata: shared_meta(app, settings, "nokube-sidecar"),
        role_ref: RoleRef {
            api_group: RBAC.to_owned(),
            kind: "ClusterRole".to_owned(),
            name: settings.tenant_role.clone(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: settings.sidecar_account.clone(),
            namespace: Some(settings.system_namespace.clone()),
            ..Subject::default()
        }]),
    }
}

fn pull_secret(app: &AppSpec, settings: &Settings) -> Option<Secret> {
    let config = settings.pull_secret.as_ref()?;
    let value = ByteString(config.expose().as_bytes().to_vec());
    Some(Secret {
        metadata: shared_meta(app, settings, PULL_SECRET),
        type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
        data: Some(BTreeMap::from([(".dockerconfigjson".to_owned(), value)])),
        ..Secret::default()
    })
}

/// References to the operator's pull secret, for what the platform built. Container images that users name are pulled
/// without: else whoever deploys could read every image that the secret opens.
pub(crate) fn pull_secrets(settings: &Settings) -> Option<Vec<LocalObjectReference>> {
    settings.pull_secret.as_ref().map(|_| {
        vec![LocalObjectReference {
            name: PULL_SECRET.to_owned(),
        }]
    })
}

/// Every pod runs as this account: the API server is none of its business.
fn service_account(app: &AppSpec, settings: &Settings) -> ServiceAccount {
    ServiceAccount {
        metadata: shared_meta(app, settings, "default"),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

fn quota(app: &AppSpec, settings: &Settings) -> ResourceQuota {
    let quota = &settings.quota;
    let hard = quantities([
        ("pods", quota.pods.to_string()),
        ("requests.cpu", quota.cpu_requests.clone()),
        ("limits.cpu", quota.cpu_limits.clone()),
        ("requests.memory", quota.memory_requests.clone()),
        ("limits.memory", quota.memory_limits.clone()),
        ("requests.storage", quota.storage.clone()),
        ("persistentvolumeclaims", quota.volumes.to_string()),
        ("services.nodeports", quota.node_ports.to_string()),
        // Nothing here makes one, and each costs money with a cloud.
        ("services.loadbalancers", "0".to_owned()),
    ]);
    ResourceQuota {
        metadata: shared_meta(app, settings, ONE),
        spec: Some(ResourceQuotaSpec {
            hard: Some(hard),
            ..ResourceQuotaSpec::default()
        }),
        ..ResourceQuota::default()
    }
}

/// Bounds of containers that say none, such as those of a cert-manager solver, which the quota would
/// refuse otherwise.
fn limit_range(app: &AppSpec, settings: &Settings) -> LimitRange {
    let quota = &settings.quota;
    let containers = LimitRangeItem {
        type_: "Container".to_owned(),
        default_request: Some(quantities([
            ("cpu", "50m".to_owned()),
            ("memory", "64Mi".to_owned()),
            ("ephemeral-storage", EPHEMERAL_REQUEST.to_owned()),
        ])),
        default: Some(quantities([
            ("cpu", "500m".to_owned()),
            ("memory", "128Mi".to_owned()),
            ("ephemeral-storage", quota.ephemeral_storage.clone()),
        ])),
        max: Some(quantities([
            ("cpu", quota.cpu_limits.clone()),
            ("memory", quota.memory_limits.clone()),
            ("ephemeral-storage", quota.ephemeral_storage.clone()),
        ])),
        ..LimitRangeItem::default()
    };
    let volumes = LimitRangeItem {
        type_: "PersistentVolumeClaim".to_owned(),
        max: Some(quantities([("storage", quota.storage.clone())])),
        ..LimitRangeItem::default()
    };
    LimitRange {
        metadata: shared_meta(app, settings, ONE),
        spec: Some(LimitRangeSpec {
            limits: vec![containers, volumes],
        }),
    }
}

/// SpinKube's operator looks for it in the application's own namespace.
fn executor(app: &AppSpec, settings: &Settings) -> Object {
    let spec = json!({
        "createDeployment": true,
        "deploymentConfig": {
            "runtimeClassName": settings.runtime_class,
            // Without it an application can't check whom it talks to by HTTPS.
            "installDefaultCACerts": true,
        },
    });
    let metadata = shared_meta(app, settings, settings.executor_of(&app.namespace));
    Object::custom(&EXECUTOR, &metadata, &spec)
}

pub(crate) fn quantities<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, Quantity> {
    pairs
        .into_iter()
        .map(|(name, text)| (name.to_owned(), Quantity(text)))
        .collect()
}
