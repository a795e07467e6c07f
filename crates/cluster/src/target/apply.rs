//! Writing a deployment's objects.
//!
//! What is to be made is written down first. Whatever ends this half-way, the next call goes on: applying
//! the same again changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use nokube_api::sidecar::{AppSpec, ArtifactKind, DesiredState};
use nokube_domain::Faults;
use nokube_keys::Secret;
use nokube_manifests::{
    Facts, Object, PodSecurity, Volume, app_objects, is_replaced_at_once, namespace_objects,
    workload,
};
use nokube_sidecar::TargetError;
use serde::Deserialize;

use super::ClusterTarget;
use super::namespace::PLATFORM;
use crate::api::{Deleted, Meta, Place, Why, kind};
use crate::inventory::{Applied, Entry};
use crate::seen::GENERATION;

/// Begins the name of what holds an application's data.
const VOLUME: &str = "PersistentVolumeClaim/";
const SERVICE: &str = "Service";
/// Its type when it has a port of every node.
const NODE_PORT: &str = "NodePort";
/// Kinds whose objects are of one revision, and are read by its pods as long as there are any.
const OF_ONE_REVISION: [&str; 2] = ["ConfigMap", "Secret"];

/// What is read of a volume's claim.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Claim {
    spec: ClaimSpec,
    status: ClaimStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClaimStatus {
    phase: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSpec {
    storage_class_name: Option<String>,
    resources: ClaimResources,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClaimResources {
    requests: ClaimRequests,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClaimRequests {
    storage: String,
}

/// What is read of what is scaled.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Scaled {
    metadata: Meta,
    spec: ScaledSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScaledSpec {
    replicas: Option<u32>,
}

/// What is read of a `Service`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Service {
    spec: ServiceSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    ports: Vec<ServicePort>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServicePort {
    node_port: Option<u16>,
}

impl ClusterTarget {
    pub(super) async fn apply_all(
        &self,
        app: &AppSpec,
        restarted: u64,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<(), TargetError> {
        self.check_leading()?;
        self.check_namespace_name(app)?;
        let id = &app.deployment_id;
        self.check_readable(id)?;
        let _turn = self.turns.take(&app.namespace).await;
        // It is never closed.
        let _place = self.work.acquire().await;
        let known = self.inventory.get(id).and_then(|entry| entry.look.clone());
        let (look, looked) = match app.desired {
            DesiredState::Running => {
                let look = self.artifacts.seen(app, known.clone()).await?;
                let facts = self.artifacts.facts(look.as_deref())?;
                // A container that is refused leaves the Spin application before it, of whose artifact it is.
                (look.or(known), facts)
            }
            DesiredState::Stopped => (known, Facts::default()),
        };
        let mut entry = match self.inventory.get(id) {
            Some(entry) => Entry::clone(&entry),
            None => Entry::new(app),
        };
        if entry.namespace != app.namespace || entry.service != app.service {
            return Err(TargetError::Refused(
                "a deployment's namespace and service never change".to_owned(),
            ));
        }
        if entry.ends_namespace {
            return Err(TargetError::Unavailable(
                "the namespace is being removed".to_owned(),
            ));
        }
        let mut facts = Facts {
            restarted: entry.restarted(restarted),
            ..looked
        };
        // While it changes from one kind to the other the namespace has to let either run.
        if app.artifact == ArtifactKind::Spin {
            entry.artifact = app.artifact;
        }
        let others = self.inventory.others(&app.namespace, id);
        let kinds = others.into_iter().chain([app.artifact, entry.artifact]);
        let pod_security = PodSecurity::of(kinds);
        let shared = namespace_objects(app, pod_security, &self.settings).map_err(refused)?;
        let mut objects = app_objects(app, secrets, &facts, &self.settings).map_err(refused)?;
        check_places(app, &shared, &objects)?;

        let wanted: BTreeSet<String> = objects.iter().map(Object::id).collect();
        entry.look = look;
        // What an earlier attempt had begun stays listed until it is looked at below.
        entry.begun.extend(wanted.difference(&entry.made).cloned());
        self.write_down(&entry).await?;
        nokube_faults::crash_point("cluster.inventory_written");
        self.seen.register(id, &app.namespace, &app.service);
        // The same again, for the sake of what somebody may have changed.
        let since = entry.applied.as_ref().filter(|applied| {
            applied.generation == app.generation
                && applied.desired == app.desired
                && self.seen.look(id, |seen| seen.workload.is_some())
        });
        let since = since.map(|applied| applied.at_ms);
        if since.is_none() {
            self.seen.awaits(id, app.generation);
        }

        let is_new = self.prepare_namespace(app, &shared).await?;
        facts.volume = self.volume(app, &entry).await?;
        if facts.volume.is_some() {
            objects = app_objects(app, secrets, &facts, &self.settings).map_err(refused)?;
        }
        let is_new_revision = entry.applied.is_some() && since.is_none();
        if is_new_revision && app.desired == DesiredState::Running {
            self.try_dry(app, &objects, &entry).await?;
        }
        self.make_room(app, &entry, &facts).await?;
        for object in of_the_other_kind(app) {
            entry.made.remove(&object);
            entry.begun.remove(&object);
        }
        self.hand_over_copies(app, &entry).await?;
        let workload = workload(app);
        let mut object_generation = None;
        for object in &objects {
            let written = self.write(app, object, &entry, is_new).await?;
            if object.kind == workload.kind && object.name == workload.name {
                object_generation = Some(written.generation);
            }
            nokube_faults::crash_point("cluster.object_applied");
        }
        nokube_faults::crash_point("cluster.objects_applied");
        let node_port = self.given_node_port(&objects).await?;

        let unwanted: Vec<String> = entry
            .all()
            .filter(|id| !wanted.contains(*id))
            .cloned()
            .collect();
        entry.old.clear();
        entry.made = wanted;
        for object in unwanted {
            if object.starts_with(VOLUME) {
                // It goes with the deployment, not with a revision that has no use for it.
                entry.made.insert(object);
            } else if app.desired == DesiredState::Running && is_of_one_revision(&object) {
                entry.old.insert(object);
            } else {
                self.remove_object(app, &object).await?;
            }
        }
        entry.begun.clear();
        entry.artifact = app.artifact;
        entry.applied = Some(Applied {
            generation: app.generation,
            revision: app.revision,
            desired: app.desired,
            restarted: facts.restarted,
            scales: scales(app),
            at_ms: since.unwrap_or_else(now_ms),
            node_port,
        });
        self.write_down(&entry).await?;
        self.seen.written(id, object_generation);
        Ok(())
    }

    /// The volume that is there: what an earlier revision asked for, or an operator has made larger.
    async fn volume(&self, app: &AppSpec, entry: &Entry) -> Result<Option<Volume>, TargetError> {
        let Some(object) = entry.all().find(|object| object.starts_with(VOLUME)) else {
            return Ok(None);
        };
        let (place, name) = place(object, &app.namespace)?;
        let found = self.cluster.get::<Claim>(place, name).await;
        let found =
            found.map_err(|error| self.note_namespace(Some(&app.namespace), &error, object))?;
        Ok(found.map(|claim| Volume {
            size: claim.spec.resources.requests.storage,
            class: claim.spec.storage_class_name,
            is_bound: claim.status.phase == "Bound",
        }))
    }

    /// Takes away what has to be gone before new pods are there, and waits for that.
    ///
    /// What ran as the other kind has the names that the new objects are to have. And a volume is of one copy: SpinKube's
    /// operator starts new pods before it ends old ones, and neither it nor a `Deployment` that starts again after it was
    /// stopped waits for those that are still ending.
    async fn make_room(
        &self,
        app: &AppSpec,
        entry: &Entry,
        facts: &Facts,
    ) -> Result<(), TargetError> {
        let ending = |what: &str| Err(TargetError::Unavailable(format!("{what} is ending")));
        let mut gone = true;
        for object in of_the_other_kind(app) {
            if entry.all().any(|known| *known == object) {
                gone &= self.remove_object(app, &object).await? == Deleted::Gone;
            }
        }
        if !gone {
            return ending("what ran as another kind of application");
        }
        let starts = |applied: &Applied| applied.desired == DesiredState::Stopped;
        let is_new = |applied: &Applied| {
            applied.revision != app.revision || applied.restarted != facts.restarted
        };
        let makes_pods = entry.applied.as_ref().is_some_and(|applied| {
            starts(applied) || (is_new(applied) && is_replaced_at_once(app))
        });
        let has_volume = app.spec.storage_path.is_some();
        if app.desired == DesiredState::Stopped || !has_volume || !makes_pods {
            return Ok(());
        }
        let workload = workload(app);
        let object = format!("{}/{}", workload.kind, workload.name);
        let (place, name) = place(&object, &app.namespace)?;
        let found = self.cluster.metadata(place, name).await;
        let found =
            found.map_err(|error| self.note_namespace(Some(&app.namespace), &error, &object))?;
        let is_written = found.is_some_and(|meta| {
            let generation = meta.annotations.get(GENERATION);
            meta.deletion_timestamp.is_none()
                && generation.is_some_and(|text| *text == app.generation.to_string())
        });
        // By an attempt that ended before all was written: these pods are the new ones.
        if is_written {
            return Ok(());
        }
        if is_replaced_at_once(app) && self.remove_object(app, &object).await? == Deleted::Going {
            return ending("the copy that has the volume");
        }
        if self.seen.look(&app.deployment_id, |seen| seen.pods.len()) > 0 {
            return ending("the copy that has the volume");
        }
        Ok(())
    }

    /// Before the number of copies is no longer ours, somebody else has it: else there would be one copy until the
    /// autoscaler speaks.
    async fn hand_over_copies(&self, app: &AppSpec, entry: &Entry) -> Result<(), TargetError> {
        let was_ours = entry
            .applied
            .as_ref()
            .is_some_and(|applied| !applied.scales);
        if !was_ours || !scales(app) {
            return Ok(());
        }
        let object = format!("Deployment/{}", app.service);
        let failed = |error| self.note_namespace(Some(&app.namespace), &error, &object);
        let (place, name) = place(&object, &app.namespace)?;
        let found = self.cluster.get::<Scaled>(place, name).await;
        let Some(found) = found.map_err(failed)? else {
            return Ok(());
        };
        let copies = found.spec.replicas.unwrap_or(1);
        let copies = copies.clamp(app.spec.min_replicas, app.spec.max_replicas);
        self.cluster
            .hand_over_copies(place, name, &found.metadata.uid, copies)
            .await
            .map_err(failed)
    }

    /// Removes what earlier revisions had, once none of their pods is left.
    pub(super) async fn remove_old(&self, deployment_id: &str) {
        if self.check_leading().is_err() {
            return;
        }
        let Some(found) = self.inventory.get(deployment_id) else {
            return;
        };
        let _turn = self.turns.take(&found.namespace).await;
        let Some(found) = self.inventory.get(deployment_id) else {
            return;
        };
        let mut entry = Entry::clone(&found);
        for object in std::mem::take(&mut entry.old) {
            if let Err(error) = self
                .remove_object_of(deployment_id, &entry.namespace, &object)
                .await
            {
                tracing::warn!(deployment = deployment_id, object, %error, "what an earlier revision had stays");
                return;
            }
        }
        if let Err(error) = self.write_down(&entry).await {
            tracing::warn!(deployment = deployment_id, %error, "what an earlier revision had is still listed");
        }
    }

    pub(super) async fn write_down(&self, entry: &Entry) -> Result<(), TargetError> {
        self.inventory
            .put(entry.clone())
            .await
            .map_err(|error| match error.why() {
                None => error.about("the list of what was made"),
                Some(_) => TargetError::Unavailable(format!(
                    "the list of what was made cannot be written: {error}"
                )),
            })
    }

    /// What serves stays as it is when the cluster would not take one of the new objects: all are tried before the first
    /// is written.
    async fn try_dry(
        &self,
        app: &AppSpec,
        objects: &[Object],
        entry: &Entry,
    ) -> Result<(), TargetError> {
        // Where they are to be there is still what ran as the other kind.
        let other_kind = of_the_other_kind(app);
        let changes_kind = entry.all().any(|known| other_kind.contains(known));
        for object in objects {
            let id = object.id();
            if changes_kind && ["Deployment", "Service"].contains(&object.kind.as_str()) {
                continue;
            }
            if !entry.made.contains(&id) {
                self.check_ours(app, &id).await?;
            }
            self.cluster
                .apply(object, true, true)
                .await
                .map_err(|error| self.note_namespace(Some(&app.namespace), &error, &id))?;
        }
        Ok(())
    }

    /// Applies one object. One that is there and not ours is refused; of ours, what we say holds.
    async fn write(
        &self,
        app: &AppSpec,
        object: &Object,
        entry: &Entry,
        namespace_is_new: bool,
    ) -> Result<Meta, TargetError> {
        let id = object.id();
        let failed = |error| self.note_namespace(Some(&app.namespace), &error, &id);
        if !namespace_is_new && !entry.made.contains(&id) {
            self.check_ours(app, &id).await?;
        }
        match self.cluster.apply(object, false, false).await {
            Ok(written) => Ok(written),
            Err(error) if error.why() == Some(Why::FieldsHeld) => {
                self.check_ours(app, &id).await?;
                tracing::info!(
                    deployment = app.deployment_id, object = id, %error,
                    "taking back fields that another client has changed"
                );
                self.cluster
                    .apply(object, true, false)
                    .await
                    .map_err(failed)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The port of every node that the cluster gave one of these, if it is such a `Service`.
    async fn given_node_port(&self, objects: &[Object]) -> Result<Option<u16>, TargetError> {
        let by_node =
            |object: &&Object| object.kind == SERVICE && object.body["spec"]["type"] == NODE_PORT;
        let Some(object) = objects.iter().find(by_node) else {
            return Ok(None);
        };
        let place = Place {
            kind: SERVICE,
            namespace: object.namespace.as_deref(),
        };
        let found = self.cluster.get::<Service>(place, &object.name).await;
        let found = found
            .map_err(|error| self.note_namespace(place.namespace, &error, &object.id()))?
            .unwrap_or_default();
        Ok(found.spec.ports.iter().find_map(|port| port.node_port))
    }

    async fn check_ours(&self, app: &AppSpec, object: &str) -> Result<(), TargetError> {
        let (place, name) = place(object, &app.namespace)?;
        let found = self.cluster.metadata(place, name).await;
        match found.map_err(|error| self.note_namespace(Some(&app.namespace), &error, object))? {
            Some(meta) if meta.deletion_timestamp.is_some() || self.will_go(app, &meta).await? => {
                Err(TargetError::Unavailable(format!(
                    "{object} is still being removed"
                )))
            }
            Some(meta) if !self.is_ours(&meta, &app.deployment_id) => Err(TargetError::Refused(
                format!("{object} is in the namespace already and is not of this deployment"),
            )),
            _ => Ok(()),
        }
    }

    /// Whether an object is there for the sake of one that is not to stay: of another deployment of this platform, which
    /// had the name before, or of a `SpinApp` of ours, which this deployment no longer is.
    async fn will_go(&self, app: &AppSpec, meta: &Meta) -> Result<bool, TargetError> {
        if meta.labels.get(PLATFORM) == Some(&self.settings.platform) {
            return Ok(!self.is_ours(meta, &app.deployment_id));
        }
        let owner = meta
            .owner_references
            .iter()
            .find(|owner| owner["kind"] == "SpinApp");
        let Some(name) = owner.and_then(|owner| owner["name"].as_str()) else {
            return Ok(false);
        };
        let spin_app = Place {
            kind: "SpinApp",
            namespace: Some(&app.namespace),
        };
        let found = match self.cluster.metadata(spin_app, name).await {
            Ok(found) => found,
            Err(error) if error.why() == Some(Why::NoSuchKind) => None,
            Err(error) => return Err(error.about(&format!("SpinApp/{name}"))),
        };
        // What it owned waits for the garbage collector.
        Ok(found.is_none_or(|meta| meta.labels.get(PLATFORM) == Some(&self.settings.platform)))
    }
}

/// Objects that a deployment has while it is of the other kind, with the names that those of this kind have. (The
/// operator makes `Deployment` and `Service` of a `SpinApp`, and takes them away with it.)
fn of_the_other_kind(app: &AppSpec) -> Vec<String> {
    let kinds: &[&str] = match app.artifact {
        ArtifactKind::Spin => &["Deployment", "Service"],
        ArtifactKind::Container => &["SpinApp"],
    };
    kinds
        .iter()
        .map(|kind| format!("{kind}/{}", app.service))
        .collect()
}

/// Whether an autoscaler says how many copies there are.
fn scales(app: &AppSpec) -> bool {
    app.spec.enable_autoscaling && app.desired == DesiredState::Running
}

/// Where an object of the inventory is, and its name.
pub(super) fn place<'a>(
    object: &'a str,
    namespace: &'a str,
) -> Result<(Place<'a>, &'a str), TargetError> {
    // Written by a newer version: it has to remove it.
    let unknown =
        || TargetError::Unavailable(format!("this version of the sidecar knows no {object}"));
    let (kind_name, name) = object.split_once('/').ok_or_else(unknown)?;
    let kind = crate::api::known_kind(kind_name).ok_or_else(unknown)?;
    Ok((
        Place {
            kind,
            namespace: Some(namespace),
        },
        name,
    ))
}

/// Nothing is ever written outside the deployment's own namespace, whatever objects were made of it.
fn check_places(app: &AppSpec, shared: &[Object], objects: &[Object]) -> Result<(), TargetError> {
    let namespaced = shared.iter().skip(1).chain(objects);
    let in_place = namespaced
        .clone()
        .all(|object| object.namespace.as_deref() == Some(app.namespace.as_str()))
        && shared.first().is_some_and(|object| {
            object.kind == "Namespace" && object.namespace.is_none() && object.name == app.namespace
        });
    let known = shared.iter().chain(objects).all(|object| {
        kind(&object.kind).is_some_and(|(version, plural)| {
            version == object.api_version && plural == object.plural
        })
    });
    if in_place && known {
        return Ok(());
    }
    tracing::error!(
        deployment = app.deployment_id,
        "objects that are not to be written"
    );
    Err(TargetError::Refused(
        "the platform made objects of it that the sidecar does not write".to_owned(),
    ))
}

/// Whether an object outlives what serves: data, and what pods read that may still be ending.
pub(super) fn is_kept_when_stopped(object: &str) -> bool {
    object.starts_with(VOLUME) || is_of_one_revision(object)
}

fn is_of_one_revision(object: &str) -> bool {
    let kind = object.split('/').next().unwrap_or_default();
    OF_ONE_REVISION.contains(&kind)
}

fn refused(faults: Faults) -> TargetError {
    let all: Vec<String> = faults
        .iter()
        .map(|fault| format!("{} {}", fault.pointer, fault.detail))
        .collect();
    TargetError::Refused(all.join("; "))
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}
