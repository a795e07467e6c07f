//! What was made in the cluster, by deployment: written down before it is made, so that nothing is
//! forgotten whatever happens, and removed from the list when it is gone.
//!
//! One ConfigMap per deployment in the sidecar's own namespace; all of them are in memory too.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nokube_api::sidecar::{AppSpec, ArtifactKind, DesiredState};
use nokube_manifests::Object;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::{CallError, Cluster, Place};
use crate::artifacts::Look;

const KEPT_LABEL: &str = "nokube.dev/kept";
const KEPT: &str = "inventory";
const DATA: &str = "made";
/// Begins the names of the ConfigMaps.
const NAME: &str = "nokube-made-";
/// Entries of namespaces that stayed without a deployment; no deployment's id begins so.
const NAMESPACE: &str = "namespace-";

/// What was made for one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) deployment_id: String,
    pub(crate) namespace: String,
    /// Whose the namespace is.
    pub(crate) project_id: i64,
    /// Which environment's.
    pub(crate) environment: String,
    pub(crate) service: String,
    pub(crate) artifact: ArtifactKind,
    /// What was last applied in full.
    pub(crate) applied: Option<Applied>,
    /// `Kind/name` of what was made.
    pub(crate) made: BTreeSet<String>,
    /// Of what may have been made: an apply was begun.
    #[serde(default)]
    pub(crate) begun: BTreeSet<String>,
    /// Of what earlier revisions had, and their pods may still read.
    #[serde(default)]
    pub(crate) old: BTreeSet<String>,
    /// The namespace is being removed: all else is gone.
    #[serde(default)]
    pub(crate) ends_namespace: bool,
    /// What was seen in its artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) look: Option<Arc<Look>>,
}

/// A generation that was applied in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) generation: u64,
    pub(crate) revision: u32,
    pub(crate) desired: DesiredState,
    /// The generation of the last restart.
    pub(crate) restarted: u64,
    /// The number of copies was an autoscaler's.
    #[serde(default)]
    pub(crate) scales: bool,
    /// When, Unix milliseconds: what the cluster complained about earlier is of no interest.
    pub(crate) at_ms: i64,
    /// The port of every node that leads to it, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node_port: Option<u16>,
}

#[derive(Deserialize)]
struct ConfigMap {
    #[serde(default)]
    metadata: crate::api::Meta,
    #[serde(default)]
    data: HashMap<String, String>,
}

impl Entry {
    /// Of a deployment of which nothing was made yet.
    pub(crate) fn new(app: &AppSpec) -> Self {
        Self {
            deployment_id: app.deployment_id.clone(),
            namespace: app.namespace.clone(),
            project_id: app.project_id,
            environment: app.environment.clone(),
            service: app.service.clone(),
            artifact: app.artifact,
            applied: None,
            made: BTreeSet::new(),
            begun: BTreeSet::new(),
            old: BTreeSet::new(),
            ends_namespace: false,
            look: None,
        }
    }

    /// Of the namespace alone, which stays after its last deployment.
    pub(crate) fn of_namespace(&self) -> Self {
        Self {
            deployment_id: format!("{NAMESPACE}{}", self.namespace),
            applied: None,
            look: None,
            ..self.clone()
        }
    }

    /// Whether it is of a namespace alone.
    pub(crate) fn is_of_namespace(&self) -> bool {
        self.deployment_id.starts_with(NAMESPACE)
    }

    /// Everything that may be there.
    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        self.made.iter().chain(&self.begun).chain(&self.old)
    }

    /// The generation in which a restart was asked for last, when `told` is what is kept of that beside the spec: nothing
    /// for deployments of before it was kept there, of which what was applied says it.
    pub(crate) fn restarted(&self, told: u64) -> u64 {
        let applied = self.applied.as_ref();
        told.max(applied.map_or(0, |applied| applied.restarted))
    }
}

/// The list, in memory and in the cluster.
pub(crate) struct Inventory {
    cluster: Cluster,
    namespace: String,
    platform: String,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
    /// Deployments whose entries cannot be read, with the namespace where that is known at least. They have something,
    /// nobody knows what: a newer version wrote it, or somebody else.
    unreadable: HashMap<String, Option<String>>,
}

/// As much of an entry as every version has.
#[derive(Deserialize)]
struct Whereabouts {
    namespace: String,
}

impl Inventory {
    /// Reads all of it.
    pub(crate) async fn open(
        cluster: Cluster,
        namespace: String,
        platform: String,
    ) -> Result<Self, CallError> {
        let place = Place {
            kind: "ConfigMap",
            namespace: Some(&namespace),
        };
        let labels = format!("{KEPT_LABEL}={KEPT},nokube.dev/platform={platform}");
        let all: Vec<ConfigMap> = cluster.list(place, &labels).await?;
        let mut entries = HashMap::new();
        let mut unreadable = HashMap::new();
        for kept in all {
            let read = kept
                .data
                .get(DATA)
                .map(|text| serde_json::from_str::<Entry>(text));
            match read {
                Some(Ok(entry)) => {
                    entries.insert(entry.deployment_id.clone(), Arc::new(entry));
                }
                _ => {
                    let name = &kept.metadata.name;
                    tracing::error!(
                        name,
                        "an inventory cannot be read: what it is of is left as it is"
                    );
                    let text = kept.data.get(DATA).map_or("", String::as_str);
                    let place = serde_json::from_str::<Whereabouts>(text).ok();
                    if let Some(id) = name.strip_prefix(NAME) {
                        unreadable.insert(id.to_owned(), place.map(|place| place.namespace));
                    }
                }
            }
        }
        Ok(Self {
            cluster,
            namespace,
            platform,
            entries: Mutex::new(entries),
            unreadable,
        })
    }

    pub(crate) fn get(&self, deployment_id: &str) -> Option<Arc<Entry>> {
        self.lock().get(deployment_id).cloned()
    }

    /// Something was made of a deployment, and nobody can tell what.
    pub(crate) fn is_unreadable(&self, deployment_id: &str) -> bool {
        self.unreadable.contains_key(deployment_id)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        self.lock().values().cloned().collect()
    }

    /// What other deployments of a namespace are.
    pub(crate) fn others(&self, namespace: &str, but: &str) -> Vec<ArtifactKind> {
        self.lock()
            .values()
            .filter(|entry| entry.namespace == namespace && entry.deployment_id != but)
            .filter(|entry| !entry.is_of_namespace())
            .map(|entry| entry.artifact)
            // Of whichever kind: the one that may be anywhere is in this namespace too.
            .chain(self.unreadable_in(namespace).map(|_| ArtifactKind::Spin))
            .collect()
    }

    fn unreadable_in(&self, namespace: &str) -> impl Iterator<Item = &String> {
        let is_there =
            move |place: &Option<String>| place.as_deref().is_none_or(|place| place == namespace);
        let all = self.unreadable.iter();
        all.filter(move |(_, place)| is_there(place))
            .map(|(id, _)| id)
    }

    /// Writes an entry, in the cluster first. Without effect when it is as it was.
    pub(crate) async fn put(&self, entry: Entry) -> Result<(), CallError> {
        let known = self.get(&entry.deployment_id);
        if known.is_some_and(|known| *known == entry) {
            return Ok(());
        }
        let name = name(&entry.deployment_id);
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {
                    "app.kubernetes.io/managed-by": "nokube",
                    "nokube.dev/platform": self.platform,
                    KEPT_LABEL: KEPT,
                },
            },
            // Writing plain data as JSON can't fail.
            "data": { DATA: serde_json::to_string(&entry).unwrap_or_default() },
        });
        let object = Object {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            plural: "configmaps",
            namespace: Some(self.namespace.clone()),
            name,
            body,
        };
        // Ours by its name and label: whatever else was written to it does not count.
        self.cluster.apply(&object, true, false).await?;
        self.lock()
            .insert(entry.deployment_id.clone(), Arc::new(entry));
        Ok(())
    }

    /// Nothing of a deployment is left.
    pub(crate) async fn remove(&self, deployment_id: &str) -> Result<(), CallError> {
        let place = Place {
            kind: "ConfigMap",
            namespace: Some(&self.namespace),
        };
        self.cluster
            .delete(place, &name(deployment_id), None)
            .await?;
        self.lock().remove(deployment_id);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Entry>>> {
        // Nothing that panics runs under this lock.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(deployment_id: &str) -> String {
    format!("{NAME}{deployment_id}")
}
