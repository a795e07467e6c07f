//! What objects are told apart by. Kubernetes' recommended labels for people and their tools, ours for
//! the sidecar.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use nokube_api::sidecar::AppSpec;

use crate::Facts;
use crate::app::App;
use crate::settings::Settings;

/// Which platform of the cluster an object is of.
pub const PLATFORM: &str = "nokube.dev/platform";
/// Which deployment an object is of.
pub const DEPLOYMENT: &str = "nokube.dev/deployment";
/// Which project an object is of.
pub const PROJECT_ID: &str = "nokube.dev/project-id";
/// Which environment of it.
pub const ENVIRONMENT: &str = "nokube.dev/environment";
/// Annotation: the generation an object was made for.
pub const GENERATION: &str = "nokube.dev/generation";
/// Annotation: the revision an object or a pod was made for.
pub const REVISION: &str = "nokube.dev/revision";
/// Annotation: the digest of what runs.
pub const DIGEST: &str = "nokube.dev/digest";
/// Annotation of pods: the generation in which a restart was asked for.
pub const RESTARTED: &str = "nokube.dev/restarted";

const NAME: &str = "app.kubernetes.io/name";
const INSTANCE: &str = "app.kubernetes.io/instance";
const COMPONENT: &str = "app.kubernetes.io/component";
const PART_OF: &str = "app.kubernetes.io/part-of";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

pub(crate) type Pairs = BTreeMap<String, String>;

impl App<'_> {
    /// Metadata of an object of this deployment.
    pub(crate) fn meta(&self, name: impl Into<String>) -> ObjectMeta {
        let app = self.given;
        let mut annotations = pairs([
            (GENERATION, app.generation.to_string()),
            (REVISION, app.revision.to_string()),
        ]);
        if !app.digest.is_empty() {
            annotations.insert(DIGEST.to_owned(), app.digest.clone());
        }
        let mut labels = self.pod_labels();
        labels.extend(shared_labels(app, self.settings));
        labels.insert(PART_OF.to_owned(), app.project.clone());
        ObjectMeta {
            name: Some(name.into()),
            namespace: Some(app.namespace.clone()),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }
    }

    /// Labels of its pods: what never changes without a new revision, since new labels are new pods.
    pub(crate) fn pod_labels(&self) -> Pairs {
        let app = self.given;
        pairs([
            (NAME, app.service.clone()),
            (INSTANCE, app.deployment_id.clone()),
            (COMPONENT, self.spec.service_type.as_str().to_owned()),
            (MANAGED_BY, crate::FIELD_MANAGER.to_owned()),
            (PLATFORM, self.settings.platform.clone()),
            (DEPLOYMENT, app.deployment_id.clone()),
        ])
    }

    /// Annotations of its pods: they are made anew when one changes.
    pub(crate) fn pod_annotations(&self, facts: &Facts) -> Pairs {
        let mut annotations = pairs([(REVISION, self.given.revision.to_string())]);
        if facts.restarted > 0 {
            annotations.insert(RESTARTED.to_owned(), facts.restarted.to_string());
        }
        annotations
    }

    /// What its pods, and no others, have.
    pub(crate) fn selector(&self) -> Pairs {
        pairs([(DEPLOYMENT, self.given.deployment_id.clone())])
    }
}

/// Metadata of an object that a namespace has once. Nothing of one deployment is in it, so that
/// deployments of one namespace never write it in turns.
pub(crate) fn shared_meta(
    app: &AppSpec,
    settings: &Settings,
    name: impl Into<String>,
) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some(app.namespace.clone()),
        labels: Some(shared_labels(app, settings)),
        ..ObjectMeta::default()
    }
}

pub(crate) fn shared_labels(app: &AppSpec, settings: &Settings) -> Pairs {
    pairs([
        (MANAGED_BY, crate::FIELD_MANAGER.to_owned()),
        (PLATFORM, settings.platform.clone()),
        (PROJECT_ID, app.project_id.to_string()),
        (ENVIRONMENT, app.environment.clone()),
    ])
}

pub(crate) fn matching(labels: Pairs) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    }
}

pub(crate) fn pairs<const N: usize>(pairs: [(&str, String); N]) -> Pairs {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
