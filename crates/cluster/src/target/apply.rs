//! Writing a deployment's objects.
//!
//! What is to be made is written down first. Whatever ends this half-way, the next call goes on: applying
//! the same again changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use nokube_api::sidecar::{AppSpec, DesiredState};
use nokube_domain::Faults;
use nokube_keys::Secret;
use nokube_manifests::{
    Facts, Object, PodSecurity, app_objects, is_replaced_at_once, namespace_objects, workload,
};
use nokube_sidecar::TargetError;
use serde::Deserialize;

use super::ClusterTarget;
use crate::api::{Deleted, Meta, Place, Why, kind};
use crate::inventory::{Applied, Entry, shape};

/// Begins the name of what holds an application's data.
const VOLUME: &str = "PersistentVolumeClaim/";
const SERVICE: &str = "Service";
/// Its type when it has a port of every node.
const NODE_PORT: &str = "NodePort";
/// Kinds whose objects are of one revision, and are read by its pods as long as there are any.
const OF_ONE_REVISION: [&str; 2] = ["ConfigMap", "Secret"];

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
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<(), TargetError> {
        self.check_leading()?;
        self.check_namespace_name(app)?;
        let id = &app.deployment_id;
        let known = self.inventory.get(id).and_then(|entry| entry.look.clone());
        let (look, looked) = match app.desired {
            DesiredState::Running => {
                let look = self.artifacts.seen(app, known).await?;
                let facts = self.artifacts.facts(look.as_deref())?;
                (look, facts)
            }
            DesiredState::Stopped => (known, Facts::default()),
        };
        let _turn = self.turns.take(&app.namespace).await;
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
        let facts = Facts {
            restarted: entry.restarted(app),
            ..looked
        };
        let others = self.inventory.others(&app.namespace, id);
        let pod_security = PodSecurity::of(others.into_iter().chain([app.artifact]));
        let shared = namespace_objects(app, pod_security, &self.settings).map_err(refused)?;
        let objects = app_objects(app, secrets, &facts, &self.settings).map_err(refused)?;
        check_places(app, &shared, &objects)?;

        let wanted: BTreeSet<String> = objects.iter().map(Object::id).collect();
        entry.artifact = app.artifact;
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
        let is_new_revision = entry.applied.is_some() && since.is_none();
        if is_new_revision && app.desired == DesiredState::Running {
            self.try_dry(app, &objects).await?;
        }
        self.make_room(app, &entry, &facts).await?;
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
        entry.applied = Some(Applied {
            generation: app.generation,
            revision: app.revision,
            desired: app.desired,
            restarted: facts.restarted,
            shape: shape(app),
            at_ms: since.unwrap_or_else(now_ms),
            node_port,
        });
        self.write_down(&entry).await?;
        self.seen.written(id, object_generation);
        Ok(())
    }

    /// Takes away a Spin application whose volume the next one's pods are to have: SpinKube's operator starts
    /// new pods before it ends old ones.
    async fn make_room(
        &self,
        app: &AppSpec,
        entry: &Entry,
        facts: &Facts,
    ) -> Result<(), TargetError> {
        let new_pods = entry.applied.as_ref().is_some_and(|applied| {
            applied.revision != app.revision || applied.restarted != facts.restarted
        });
        if !new_pods || !is_replaced_at_once(app) {
            return Ok(());
        }
        let workload = workload(app);
        let object = format!("{}/{}", workload.kind, workload.name);
        if self.remove_object(app, &object).await? == Deleted::Going {
            return Err(TargetError::Unavailable(
                "the copy that has the volume is ending".to_owned(),
            ));
        }
        Ok(())
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

    /// What serves stays as it is when the cluster would not take the new workload at all.
    async fn try_dry(&self, app: &AppSpec, objects: &[Object]) -> Result<(), TargetError> {
        let id = {
            let workload = workload(app);
            format!("{}/{}", workload.kind, workload.name)
        };
        let Some(object) = objects.iter().find(|object| object.id() == id) else {
            return Ok(());
        };
        match self.cluster.apply(object, true, true).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.note_namespace(Some(&app.namespace), &error, &id)),
        }
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
            Some(meta) if !self.is_ours(&meta, &app.deployment_id) => Err(TargetError::Refused(
                format!("{object} is in the namespace already and is not of this deployment"),
            )),
            Some(meta) if meta.deletion_timestamp.is_some() => Err(TargetError::Unavailable(
                format!("{object} is still being removed"),
            )),
            _ => Ok(()),
        }
    }
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
