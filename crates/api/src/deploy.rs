//! Deployments as users see them (`/api/v1/deploy`, `/api/v1/deployments`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sidecar::ArtifactKind;
use crate::spec::DeploySpec;

/// A deployment: one service of one project in one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deployment {
    /// Its id (UUIDv7), the same over all revisions.
    pub deployment_id: String,
    /// The project.
    pub project_id: i64,
    /// The service.
    pub service_name: String,
    /// The environment, `production` by default.
    pub environment: String,
    /// The Kubernetes namespace it is in; nothing before it is in one, and where there are none.
    pub namespace: Option<String>,
    /// The wanted revision, from 1.
    pub revision: u32,
    /// `pending`, `deploying`, `running`, `failed`, `stopped`, or `deleting`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["pending", "deploying", "running", "failed", "stopped", "deleting"])))]
    pub status: String,
    /// The image's name for people.
    pub image_name: String,
    /// `sha256:…` of what is wanted to run; nothing for a container image that is known by its tag alone.
    pub digest: Option<String>,
    /// What the image holds: a Spin application, or a container image of any registry.
    pub artifact: ArtifactKind,
    /// The build that made it.
    pub build_id: Option<String>,
    /// Copies that answer.
    pub replicas_ready: u32,
    /// Copies that are wanted.
    pub replicas_total: u32,
    /// Where it answers, when it is exposed and the target has told. With `node_port` that takes an operator who has
    /// said where the nodes are; else `warnings` says how to learn the port.
    pub access_url: Option<String>,
    /// Kinds of the objects that the target made for it.
    pub manifests_generated: Vec<String>,
    /// For people: why it failed, or what it waits for.
    pub error_message: Option<String>,
    /// For people: what works and may surprise later.
    pub warnings: Vec<String>,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub updated_at: String,
    /// The whole configuration of the wanted revision, defaults included.
    pub spec: DeploySpec,
    /// Names of the secrets it is given. Values can't be read back.
    pub secret_names: Vec<String>,
}

/// One revision: image, configuration and secrets together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Revision {
    /// Its number, from 1.
    pub revision: u32,
    /// What made it: `deploy`, `configure` or `rollback`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["deploy", "configure", "rollback"])))]
    pub kind: String,
    /// The image's name for people.
    pub image_name: String,
    /// `sha256:…` of the OCI manifest; nothing for a container image that is known by its tag alone.
    pub digest: Option<String>,
    /// What the image holds.
    pub artifact: ArtifactKind,
    /// The build that made the image.
    pub build_id: Option<String>,
    /// The revision that was rolled back to.
    pub rolled_back_to: Option<u32>,
    /// What differs from the revision before it.
    pub changes: Vec<FieldChange>,
    /// The whole configuration.
    pub spec: DeploySpec,
    /// Names of its secrets.
    pub secret_names: Vec<String>,
    /// Name of the user who made it.
    pub created_by: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// It is the wanted one.
    pub current: bool,
}

/// A field that differs between two revisions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldChange {
    /// `digest`, a field of the configuration, `env_vars.<NAME>` or `secrets.<NAME>`.
    pub field: String,
    /// Before; `null` when there was nothing. Of a secret only that it was there: `"***"`.
    pub from: Value,
    /// After.
    pub to: Value,
}

/// Revisions of a deployment, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RevisionList {
    /// The revisions.
    pub data: Vec<Revision>,
    /// To be given for those before; nothing at the end.
    pub cursor: Option<String>,
}

/// The objects that a target makes of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ManifestList {
    /// Each as YAML, by `<Kind>/<name>`. Of a secret the name only.
    pub manifests: BTreeMap<String, String>,
}

/// What happened to a deployment at its target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeploymentEvents {
    /// The events, oldest first. A target keeps the newest, and for a while.
    pub events: Vec<DeploymentEvent>,
}

/// One event, or the same one several times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeploymentEvent {
    /// When it happened last, RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub time: String,
    /// Whether it is as it should be.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// What happened, in one word for programs: `Applied`, `FailedScheduling`.
    pub reason: String,
    /// What happened, for people.
    pub message: String,
    /// What it is about, `<Kind>/<name>`; nothing when it is about the deployment as a whole.
    pub object: Option<String>,
    /// How often it was seen.
    pub count: u32,
}

/// Whether an event is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// It is.
    Normal,
    /// Somebody may have to do something.
    Warning,
}

/// What stands for a secret's value.
pub const MASKED: &str = "***";

/// What differs between two configurations, field by field, variables one by one.
#[must_use]
pub fn spec_changes(before: &DeploySpec, after: &DeploySpec) -> Vec<FieldChange> {
    let fields = |spec| match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (before, after) = (fields(before), fields(after));
    let mut changes = Vec::new();
    for (field, to) in &after {
        let from = before.get(field).unwrap_or(&Value::Null);
        if field == "env_vars" {
            changes.extend(map_changes("env_vars", from, to));
        } else if from != to {
            changes.push(FieldChange {
                field: field.clone(),
                from: from.clone(),
                to: to.clone(),
            });
        }
    }
    changes
}

/// What differs between two maps, key by key.
fn map_changes(field: &str, before: &Value, after: &Value) -> Vec<FieldChange> {
    let empty = serde_json::Map::new();
    let before = before.as_object().unwrap_or(&empty);
    let after = after.as_object().unwrap_or(&empty);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| FieldChange {
            field: format!("{field}.{name}"),
            from: before.get(name).cloned().unwrap_or(Value::Null),
            to: after.get(name).cloned().unwrap_or(Value::Null),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use nokube_domain::deploy::Spec;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_names_fields_and_single_variables() {
        let mut before = DeploySpec::from(&Spec::default());
        before.env_vars.insert("A".into(), "1".into());
        before.env_vars.insert("B".into(), "same".into());
        let mut after = before.clone();
        after.replicas = 3;
        after.env_vars.remove("A");
        after.env_vars.insert("C".into(), "2".into());
        let change = |field: &str, from, to| FieldChange {
            field: field.to_owned(),
            from,
            to,
        };
        let mut changes = spec_changes(&before, &after);
        changes.sort_by(|a, b| a.field.cmp(&b.field));
        assert_eq!(
            changes,
            [
                change("env_vars.A", json!("1"), Value::Null),
                change("env_vars.C", Value::Null, json!("2")),
                change("replicas", json!(1), json!(3)),
            ]
        );
        assert!(spec_changes(&before, &before).is_empty());
    }
}
