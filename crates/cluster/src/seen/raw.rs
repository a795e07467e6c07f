//! Watched objects as they are read: one shape for all kinds, with the few fields of each that are of
//! use. Everything else is skipped while it is read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope, ObjectMeta};
use nokube_domain::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::watches::Watched;
use super::{DEPLOYMENT_LABEL, GENERATION, RESTARTED, REVISION, Template, Warning, Workload};
use crate::api::shortened;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Raw {
    metadata: Metadata,
    pub(super) spec: Spec,
    pub(super) status: Status,
    involved_object: ObjectName,
    reason: String,
    series: Option<Series>,
    message: String,
    last_timestamp: Option<String>,
    count: Option<u32>,
    event_time: Option<String>,
}

/// What is read of metadata. Who manages which field is often more than all the rest together.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    deletion_timestamp: Option<IgnoredAny>,
}

/// The part of it that `kube` asks for, and whether the object is being removed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "Meta")]
struct Metadata {
    object: ObjectMeta,
    is_going: bool,
}

impl From<Meta> for Metadata {
    fn from(read: Meta) -> Self {
        Self {
            object: ObjectMeta {
                name: read.name,
                namespace: read.namespace,
                uid: read.uid,
                resource_version: read.resource_version,
                generation: read.generation,
                labels: read.labels,
                annotations: read.annotations,
                ..ObjectMeta::default()
            },
            is_going: read.deletion_timestamp.is_some(),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ObjectName {
    kind: String,
    name: String,
    namespace: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    pub(super) containers: Vec<Container>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Container {
    pub(super) name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) conditions: Vec<Condition>,
    pub(super) phase: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) container_statuses: Vec<ContainerStatus>,
    pub(super) init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    pub(super) restart_count: u32,
    pub(super) state: ContainerState,
    pub(super) last_state: ContainerState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub(super) waiting: Option<Waiting>,
    pub(super) terminated: Option<Terminated>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Waiting {
    pub(super) reason: String,
    pub(super) message: String,
}

/// How often an event was seen, of those that newer clients write.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Series {
    count: Option<u32>,
    last_observed_time: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Terminated {
    pub(super) reason: String,
    pub(super) exit_code: i32,
}

impl Raw {
    pub(super) fn name(&self) -> &str {
        self.metadata.object.name.as_deref().unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> &str {
        self.metadata
            .object
            .namespace
            .as_deref()
            .unwrap_or_default()
    }

    pub(super) fn uid(&self) -> &str {
        self.metadata.object.uid.as_deref().unwrap_or_default()
    }

    pub(super) fn is_going(&self) -> bool {
        self.metadata.is_going
    }

    pub(super) fn deployment(&self) -> Option<&str> {
        self.label(DEPLOYMENT_LABEL)
    }

    fn label(&self, name: &str) -> Option<&str> {
        let labels = self.metadata.object.labels.as_ref()?;
        labels.get(name).map(String::as_str)
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        let annotations = self.metadata.object.annotations.as_ref()?;
        annotations.get(name).map(String::as_str)
    }

    /// The making that a pod is of.
    pub(super) fn template(&self) -> Template {
        Template {
            revision: self
                .annotation(REVISION)
                .and_then(|revision| revision.parse().ok())
                .unwrap_or_default(),
            restarted: self
                .annotation(RESTARTED)
                .and_then(|restarted| restarted.parse().ok())
                .unwrap_or_default(),
        }
    }

    /// As a deployment's workload.
    pub(super) fn workload(&self, kind: Watched) -> Workload {
        let wrong = self.status.conditions.iter().find(|condition| {
            matches!(
                (condition.kind.as_str(), condition.status.as_str()),
                ("ReplicaFailure", "True") | ("Progressing", "False")
            )
        });
        Workload {
            kind,
            object_generation: self.metadata.object.generation.unwrap_or_default(),
            generation: self
                .annotation(GENERATION)
                .and_then(|generation| generation.parse().ok())
                .unwrap_or_default(),
            trouble: wrong.map(|condition| shortened(&condition.message).into()),
            overdue: wrong.is_some_and(|condition| condition.reason == "ProgressDeadlineExceeded"),
        }
    }

    /// `namespace/service` of the deployment that an event is about, by the names that Kubernetes gives
    /// to what a Deployment makes.
    pub(super) fn is_about(&self) -> Option<String> {
        let object = &self.involved_object;
        let without = |parts: usize| {
            let mut name = object.name.as_str();
            for _ in 0..parts {
                name = name.rsplit_once('-')?.0;
            }
            Some(name)
        };
        let service = match object.kind.as_str() {
            "Pod" => without(2)?,
            "ReplicaSet" => without(1)?,
            _ => &object.name,
        };
        Some(format!("{}/{service}", object.namespace))
    }

    /// As what the cluster complained about.
    pub(super) fn warning(&self) -> Warning {
        let series = self.series.as_ref();
        let at = series
            .and_then(|series| series.last_observed_time.as_deref())
            .or(self.last_timestamp.as_deref())
            .or(self.event_time.as_deref())
            .and_then(|time| Timestamp::parse(time).ok());
        Warning {
            reason: self.reason.as_str().into(),
            message: shortened(&self.message).into(),
            object: format!(
                "{}/{}",
                self.involved_object.kind, self.involved_object.name
            )
            .into(),
            at_ms: at.map_or(0, Timestamp::millis),
            count: series
                .and_then(|series| series.count)
                .or(self.count)
                .unwrap_or(1)
                .max(1),
        }
    }
}

impl Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata.object
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata.object
    }
}
