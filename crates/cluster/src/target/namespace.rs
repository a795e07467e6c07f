//! Whose a namespace and what is in it are. Only what bears our labels is touched: this platform's, and
//! for a namespace also that of exactly this project and environment.

use std::collections::BTreeMap;
use std::time::Duration;

use nokube_api::sidecar::AppSpec;
use nokube_domain::Namespace;
use nokube_manifests::{Object, PodSecurity, namespace_objects};
use nokube_sidecar::TargetError;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{ClusterTarget, lock};
use crate::api::{CallError, Meta, Place, Why};
use crate::inventory::Entry;
use crate::seen::{DEPLOYMENT_LABEL, EVERY};

pub(super) const PLATFORM: &str = "nokube.dev/platform";
/// What a namespace has to agree in with the deployment that is to live in it.
const OWN: [&str; 3] = [PLATFORM, "nokube.dev/project-id", "nokube.dev/environment"];
pub(super) const NAMESPACE: Place<'static> = Place {
    kind: "Namespace",
    namespace: None,
};

/// Published into every namespace by clusters and meshes, and by SpinKube's operator where a Spin application was.
const PUBLISHED: [&str; 4] = [
    "kube-root-ca.crt",
    "istio-ca-root-cert",
    "openshift-service-ca.crt",
    "spin-ca",
];
/// Kinds of which somebody else's in our namespace keep it from being removed.
const LOOKED_FOR: [&str; 7] = [
    "Pod",
    "Deployment",
    "SpinApp",
    "Service",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
];
/// The label of cert-manager's pods that answer a challenge.
const SOLVER: &str = "acme.cert-manager.io/http01-solver";
/// So long nobody is expected to have changed what deployments share: shorter than the time after which
/// each of them is written again.
const BELIEVED: Duration = EVERY.saturating_sub(Duration::from_secs(3 * 60));
const QUOTA: &str = "ResourceQuota";
/// The cluster's controller looks at a new quota at once; where none runs, the deployment waits and says so.
const QUOTA_LIMIT: Duration = Duration::from_secs(5);
const QUOTA_PAUSE: Duration = Duration::from_millis(50);
/// Names that a message lists.
const MOST_NAMED: usize = 5;

/// What is read of a quota.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResourceQuota {
    spec: Hard,
    status: Hard,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Hard {
    hard: BTreeMap<String, String>,
}

impl ResourceQuota {
    /// What is wanted is what is counted. Both are in the cluster's own spelling.
    fn holds(&self) -> bool {
        !self.spec.hard.is_empty() && self.spec == self.status
    }
}

impl ClusterTarget {
    /// Refuses namespaces that can never be a deployment's.
    pub(super) fn check_namespace_name(&self, app: &AppSpec) -> Result<(), TargetError> {
        let name = app.namespace.as_str();
        if name.is_empty() {
            return Err(TargetError::Refused(
                "the platform has recorded no namespace for this environment".to_owned(),
            ));
        }
        if name == self.settings.system_namespace || Namespace::parse(name).is_err() {
            return Err(TargetError::Refused(format!(
                "the namespace {name} is not one for applications"
            )));
        }
        Ok(())
    }

    /// Makes the namespace and what all its deployments share as they should be. True when there was no
    /// such namespace before. `shared` begins with the namespace itself.
    pub(super) async fn prepare_namespace(
        &self,
        app: &AppSpec,
        shared: &[Object],
    ) -> Result<bool, TargetError> {
        let Some((namespace, rest)) = shared.split_first() else {
            return Ok(false);
        };
        let wanted = hash_of(shared);
        let is_as_it_should_be = lock(&self.namespaces)
            .get(&app.namespace)
            .is_some_and(|(known, at)| *known == wanted && at.elapsed() < BELIEVED);
        if is_as_it_should_be {
            return Ok(false);
        }
        let what = format!("Namespace/{}", app.namespace);
        let found = self.cluster.metadata(NAMESPACE, &app.namespace).await;
        let is_new = match found.map_err(|error| error.about(&what))? {
            None => {
                // Not applied but made: one that somebody else has made meanwhile must not become ours.
                let made = self.cluster.create(NAMESPACE, &namespace.body).await;
                made.map_err(|error| error.about(&what))?;
                true
            }
            Some(meta) if meta.deletion_timestamp.is_some() => {
                return Err(TargetError::Unavailable(
                    "the namespace is being removed".to_owned(),
                ));
            }
            Some(meta) if !is_namespace_of(&meta, namespace) => {
                return Err(TargetError::Refused(format!(
                    "the namespace {} is there already and is not this environment's",
                    app.namespace
                )));
            }
            Some(_) => {
                self.write_shared(namespace).await?;
                false
            }
        };
        for object in rest {
            self.write_shared(object).await?;
        }
        if let Some(quota) = rest.iter().find(|object| object.kind == QUOTA) {
            self.quota_holds(quota).await?;
        }
        lock(&self.namespaces).insert(app.namespace.clone(), (wanted, Instant::now()));
        Ok(is_new)
    }

    /// Gives the sidecar its rights in a namespace of ours.
    pub(super) async fn bind(&self, app: &AppSpec) -> Result<(), TargetError> {
        // Of a spec that is refused nothing was made.
        let shared = namespace_objects(app, PodSecurity::Restricted, &self.settings);
        for object in shared.iter().flatten() {
            if object.kind == "RoleBinding" {
                self.write_shared(object).await?;
            }
        }
        Ok(())
    }

    /// Waits until the cluster counts what a quota bounds: what is made before that may exceed it.
    async fn quota_holds(&self, quota: &Object) -> Result<(), TargetError> {
        let place = Place {
            kind: QUOTA,
            namespace: quota.namespace.as_deref(),
        };
        let end = Instant::now() + QUOTA_LIMIT;
        loop {
            let found = self.cluster.get::<ResourceQuota>(place, &quota.name).await;
            let found =
                found.map_err(|error| self.note_namespace(place.namespace, &error, &quota.id()))?;
            if found.is_some_and(|found| found.holds()) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(TargetError::Unavailable(
                    "the cluster does not hold the namespace's quota yet".to_owned(),
                ));
            }
            tokio::time::sleep(QUOTA_PAUSE).await;
        }
    }

    /// In a namespace of ours such objects are ours, whoever made them first (`ServiceAccount/default` is
    /// made by the cluster).
    pub(super) async fn write_shared(&self, object: &Object) -> Result<(), TargetError> {
        match self.cluster.apply(object, true, false).await {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(self.note_namespace(object.namespace.as_deref(), &error, &object.id()))
            }
        }
    }

    /// Remembers no more of a namespace that turned out to be gone.
    pub(super) fn note_namespace(
        &self,
        namespace: Option<&str>,
        error: &CallError,
        object: &str,
    ) -> TargetError {
        // In a namespace that is gone the sidecar has no rights any more, which is what it is told first.
        if let (Some(namespace), Some(Why::NoNamespace | Why::Terminating | Why::NotAllowed)) =
            (namespace, error.why())
        {
            lock(&self.namespaces).remove(namespace);
        }
        error.about(object)
    }

    /// Whether an object bears this platform's label and the deployment's.
    pub(super) fn is_ours(&self, meta: &Meta, deployment_id: &str) -> bool {
        meta.labels.get(PLATFORM) == Some(&self.settings.platform)
            && meta
                .labels
                .get(DEPLOYMENT_LABEL)
                .is_some_and(|id| id == deployment_id)
    }

    /// Whether a namespace is that of a deployment, by its labels.
    pub(super) fn is_namespace_of_entry(&self, meta: &Meta, entry: &Entry) -> bool {
        let own = [
            self.settings.platform.clone(),
            entry.project_id.to_string(),
            entry.environment.clone(),
        ];
        OWN.iter()
            .zip(&own)
            .all(|(name, value)| meta.labels.get(*name) == Some(value))
    }

    /// Names of what somebody else has made in a namespace of ours. What the cluster itself puts there,
    /// and what is there for the sake of another object, is none of it; but a pod is, whatever it was made by.
    pub(super) async fn foreign_objects(&self, namespace: &str) -> Result<Vec<String>, CallError> {
        let mut foreign = Vec::new();
        let labels = format!("{PLATFORM}!={}", self.settings.platform);
        for kind in LOOKED_FOR {
            let place = Place {
                kind,
                namespace: Some(namespace),
            };
            let found = match self.cluster.list_metadata(place, &labels).await {
                Ok(found) => found,
                Err(error) if error.why() == Some(Why::NoSuchKind) => continue,
                Err(error) => return Err(error),
            };
            foreign.extend(
                found
                    .into_iter()
                    .filter(|meta| is_somebodys(kind, meta))
                    .map(|meta| format!("{kind}/{}", meta.name)),
            );
        }
        Ok(foreign)
    }
}

/// Some names, and how many more.
pub(super) fn names(objects: &[String]) -> String {
    let named = objects
        .iter()
        .take(MOST_NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match objects.len().saturating_sub(MOST_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn is_somebodys(kind: &str, meta: &Meta) -> bool {
    let stands_alone = match kind {
        "Pod" => !meta.labels.contains_key(SOLVER),
        _ => meta.owner_references.is_empty() && !is_of_cert_manager(meta),
    };
    stands_alone && !PUBLISHED.contains(&meta.name.as_str()) && meta.deletion_timestamp.is_none()
}

/// Certificates that cert-manager keeps for a route of ours.
pub(super) fn is_of_cert_manager(meta: &Meta) -> bool {
    let mut names = meta.annotations.keys();
    names.any(|name| name.starts_with("cert-manager.io/"))
}

fn is_namespace_of(meta: &Meta, wanted: &Object) -> bool {
    let labels = &wanted.body["metadata"]["labels"];
    OWN.iter().all(|name| {
        let found = meta.labels.get(*name).map(String::as_str);
        found.is_some() && found == labels[*name].as_str()
    })
}

fn hash_of(objects: &[Object]) -> String {
    let mut hash = Sha256::new();
    for object in objects {
        hash.update(object.body.to_string());
    }
    hex::encode(hash.finalize())
}
