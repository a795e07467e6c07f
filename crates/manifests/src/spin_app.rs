//! A Spin application as SpinKube runs it: `SpinApp` (core.spinkube.dev/v1alpha1, as of operator 0.6),
//! of which the operator makes a `Deployment` and a `Service` of the same name.
//!
//! A `SpinApp` and its executor have no field for `lifecycle`, `terminationGracePeriodSeconds` or a security
//! context. So a Spin pod that ends does not wait first until nobody is sent to it any more, as a
//! container's does (`preStop`): a request that reaches it in those moments may fail, and is the client's to
//! repeat.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{LocalObjectReference, Volume, VolumeMount};
use nokube_domain::Faults;
use serde::Serialize;
use serde_json::{Value, json};

use crate::Facts;
use crate::app::App;
use crate::config::{Config, SpinVariable};
use crate::labels::Pairs;
use crate::namespace::pull_secrets;
use crate::object::{CustomKind, Object};
use crate::pod::{Amounts, ProbeOf, seconds};
use crate::storage::Storage;

const SPIN_APP: CustomKind = CustomKind {
    api_version: "core.spinkube.dev/v1alpha1",
    kind: "SpinApp",
    plural: "spinapps",
};
/// Characters of a store's label. They become names of files.
const STORE_LABEL_BYTES: usize = 63;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    executor: String,
    image: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_pull_secrets: Option<Vec<LocalObjectReference>>,
    /// The operator refuses one beside `enable_autoscaling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<i32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    enable_autoscaling: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    variables: Vec<SpinVariable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime_config: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<Volume>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volume_mounts: Vec<VolumeMount>,
    resources: Resources,
    invocation_limits: Value,
    pod_labels: Pairs,
    pod_annotations: Pairs,
}

#[derive(Serialize)]
struct Resources {
    requests: Amounts,
    limits: Amounts,
}

pub(crate) fn object(app: &App<'_>, config: &Config<'_>, facts: &Facts) -> Object {
    let storage = Storage::of(app);
    let spec = Spec {
        executor: app.settings.executor_of(&app.given.namespace),
        image: &app.image,
        image_pull_secrets: pull_secrets(app.settings),
        replicas: (!app.spec.enable_autoscaling).then(|| seconds(app.spec.replicas)),
        enable_autoscaling: app.spec.enable_autoscaling,
        checks: app.spec.health_check_enabled.then(
            || json!({ "liveness": check(app.liveness()), "readiness": check(app.readiness()) }),
        ),
        variables: config.spin_variables(),
        runtime_config: storage
            .as_ref()
            .map(|storage| runtime_config(storage, facts)),
        volumes: storage.iter().map(Storage::volume).collect(),
        volume_mounts: storage.iter().map(Storage::mount).collect(),
        resources: Resources {
            requests: app.requests(),
            limits: app.limits(),
        },
        invocation_limits: json!({ "memory": instance_memory(app.spec.memory_limit.units()) }),
        pod_labels: app.pod_labels(),
        pod_annotations: app.pod_annotations(facts),
    };
    Object::custom(&SPIN_APP, &app.meta(app.name()), &spec)
}

fn check(probe: ProbeOf) -> Value {
    json!({
        // SpinKube's admission says `null` for fields that are left out, and its own definition takes none.
        "httpGet": { "path": probe.path, "httpHeaders": [] },
        "initialDelaySeconds": probe.initial_delay_seconds,
        "periodSeconds": probe.period_seconds,
        "timeoutSeconds": probe.timeout_seconds,
        "failureThreshold": probe.failure_threshold,
    })
}

/// Bytes that one instance may have: three quarters of the pod's, so that a request that takes too much
/// ends by itself and not with its whole pod.
fn instance_memory(pod_bytes: u64) -> String {
    (pod_bytes / 4 * 3).to_string()
}

/// Each store is a file of the volume. Without a volume Spin keeps what it stores in its container, and
/// loses it with that.
fn runtime_config(storage: &Storage<'_>, facts: &Facts) -> Value {
    let stores = |labels: &BTreeSet<String>, kind: &str| -> Vec<Value> {
        let file = |label: &String| format!("{}/{kind}-{label}.db", storage.path);
        labels
            .iter()
            .map(|label| {
                json!({
                    "name": label,
                    "type": "spin",
                    "options": [{ "name": "path", "value": file(label) }],
                })
            })
            .collect()
    };
    json!({
        "sqliteDatabases": stores(&facts.sqlite_databases, "sqlite"),
        "keyValueStores": stores(&facts.key_value_stores, "key-value"),
    })
}

/// Labels of stores come out of the artifact, which its author wrote.
pub(crate) fn check_stores(facts: &Facts, faults: &mut Faults) {
    let is_good = |label: &String| {
        (1..=STORE_LABEL_BYTES).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let mut labels = facts.sqlite_databases.iter().chain(&facts.key_value_stores);
    if !labels.all(is_good) {
        faults.add_text(
            "/digest",
            format!(
                "names a database or store with other characters than letters, digits, hyphens and underscores, or more than {STORE_LABEL_BYTES}"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_less_than_its_pod() {
        assert_eq!(instance_memory(128 << 20), (96_u64 << 20).to_string());
        assert_eq!(instance_memory(u64::MAX), (u64::MAX / 4 * 3).to_string());
    }
}
