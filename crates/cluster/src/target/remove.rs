//! Removing a deployment: its objects, last made first, its volume and the data on it, and with the last
//! deployment of a namespace the namespace.
//!
//! A namespace of ours in which somebody else's pods run, or in which somebody else keeps workloads, services,
//! configuration or volumes, stays: the removal of the deployment ends all the same, and housekeeping looks again later.
//! Other kinds are not looked for; they go with the namespace.

use std::time::Duration;

use nokube_api::sidecar::AppSpec;
use nokube_manifests::left_behind;
use nokube_sidecar::TargetError;
use tokio::time::Instant;

use super::apply::{is_kept_when_stopped, now_ms, place};
use super::namespace::{NAMESPACE, is_of_cert_manager, names};
use super::{ClusterTarget, lock};
use crate::api::{CallError, Deleted, Why};
use crate::inventory::{Applied, Entry};

/// What is being removed is asked about this often.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How far a removal is.
pub(super) struct Removing {
    asked: Instant,
    message: Option<String>,
}

impl Removing {
    /// What it waits for.
    pub(super) fn message(&self) -> Option<String> {
        self.message.clone()
    }
}

impl ClusterTarget {
    /// Removes what it can. False when that was tried only just before.
    pub(super) async fn remove_all(&self, app: &AppSpec) -> Result<bool, TargetError> {
        let id = &app.deployment_id;
        let Some(entry) = self.inventory.get(id) else {
            return Ok(false);
        };
        {
            let mut removing = lock(&self.removing);
            let now = Instant::now();
            match removing.get_mut(id) {
                Some(known) if now < known.asked + ASK_AGAIN => return Ok(false),
                Some(known) => known.asked = now,
                None => {
                    let begun = Removing {
                        asked: now,
                        message: None,
                    };
                    removing.insert(id.clone(), begun);
                }
            }
        }
        self.check_leading()?;
        let _turn = self.turns.take(&entry.namespace).await;
        // It is never closed.
        let _place = self.work.acquire().await;
        let waits_for = if entry.ends_namespace {
            self.end_namespace(&entry).await?
        } else {
            self.remove_objects(app, Entry::clone(&entry)).await?
        };
        match waits_for {
            Some(message) => {
                if let Some(removing) = lock(&self.removing).get_mut(id) {
                    removing.message = Some(message);
                }
            }
            None => {
                self.inventory
                    .remove(id)
                    .await
                    .map_err(|error| error.about("the list of what was made"))?;
                self.seen.forget(id);
                lock(&self.removing).remove(id);
            }
        }
        Ok(true)
    }

    /// What there is still to wait for; nothing when all is gone.
    async fn remove_objects(
        &self,
        app: &AppSpec,
        mut entry: Entry,
    ) -> Result<Option<String>, TargetError> {
        let what = format!("Namespace/{}", entry.namespace);
        let namespace = self.cluster.metadata(NAMESPACE, &entry.namespace).await;
        let Some(meta) = namespace.map_err(|error| error.about(&what))? else {
            lock(&self.namespaces).remove(&entry.namespace);
            return Ok(None);
        };
        // Nothing in somebody else's is ours. And where nothing is ours, nothing may be looked at.
        if !self.is_namespace_of_entry(&meta, &entry) {
            tracing::warn!(
                deployment = app.deployment_id,
                namespace = entry.namespace,
                "not looked into: the namespace is somebody else's"
            );
            return Ok(None);
        }
        if meta.deletion_timestamp.is_some() {
            return Ok(Some(ending(&entry.namespace)));
        }
        // What was begun may have ended before there was a right to anything in it.
        if entry.applied.is_none() {
            self.bind(app).await?;
        }
        let mut all: Vec<String> = entry.all().cloned().collect();
        all.sort_by_key(|object| std::cmp::Reverse(rank(object)));
        let mut going = Vec::new();
        for object in all {
            if self.remove_object(app, &object).await? == Deleted::Going {
                going.push(object.clone());
            } else {
                entry.made.remove(&object);
                entry.begun.remove(&object);
                entry.old.remove(&object);
            }
            nokube_faults::crash_point("cluster.object_removed");
        }
        self.write_down(&entry).await?;
        let pods = self.seen.look(&app.deployment_id, |seen| seen.pods.len());
        if pods > 0 {
            return Ok(Some(format!("is being removed: {pods} copies are ending")));
        }
        if !going.is_empty() {
            return Ok(Some(format!("is being removed: {}", names(&going))));
        }
        self.remove_left_behind(app).await?;
        let is_last = self
            .inventory
            .others(&entry.namespace, &entry.deployment_id)
            .is_empty();
        if !is_last {
            return Ok(None);
        }
        entry.ends_namespace = true;
        self.write_down(&entry).await?;
        self.end_namespace(&entry).await
    }

    /// Takes away what serves, of a deployment that shall stop and whose objects cannot be made or written as they should
    /// be then: by the inventory alone. Data and configuration stay.
    pub(super) async fn stop_bare(
        &self,
        app: &AppSpec,
        namespace: &str,
    ) -> Result<(), TargetError> {
        let id = &app.deployment_id;
        let _turn = self.turns.take(namespace).await;
        let Some(found) = self.inventory.get(id) else {
            return Ok(());
        };
        let mut entry = Entry::clone(&found);
        let mut all: Vec<String> = entry.all().cloned().collect();
        all.retain(|object| !is_kept_when_stopped(object));
        all.sort_by_key(|object| std::cmp::Reverse(rank(object)));
        for object in all {
            self.remove_object_of(id, namespace, &object).await?;
            entry.made.remove(&object);
            entry.begun.remove(&object);
        }
        let before = entry.applied.take();
        let again = before
            .as_ref()
            .filter(|before| before.generation == app.generation && before.desired == app.desired);
        entry.artifact = app.artifact;
        entry.applied = Some(Applied {
            generation: app.generation,
            revision: app.revision,
            desired: app.desired,
            restarted: before.as_ref().map_or(0, |before| before.restarted),
            scales: false,
            at_ms: again.map_or_else(now_ms, |again| again.at_ms),
            node_port: None,
        });
        self.write_down(&entry).await?;
        self.seen.written(id, None);
        Ok(())
    }

    /// Removes an object of a deployment, if it is there and of it.
    pub(super) async fn remove_object(
        &self,
        app: &AppSpec,
        object: &str,
    ) -> Result<Deleted, TargetError> {
        self.remove_object_of(&app.deployment_id, &app.namespace, object)
            .await
    }

    pub(super) async fn remove_object_of(
        &self,
        deployment_id: &str,
        namespace: &str,
        object: &str,
    ) -> Result<Deleted, TargetError> {
        let (place, name) = place(object, namespace)?;
        let found = match self.cluster.metadata(place, name).await {
            Ok(found) => found,
            // Where the cluster no longer knows the kind, there is no such object.
            Err(error) if error.why() == Some(Why::NoSuchKind) => None,
            Err(error) => return Err(error.about(object)),
        };
        match found {
            Some(meta) if self.is_ours(&meta, deployment_id) => {
                if meta.deletion_timestamp.is_some() {
                    return Ok(Deleted::Going);
                }
                self.cluster
                    .delete(place, name, Some(&meta.uid))
                    .await
                    .map_err(|error| error.about(object))
            }
            Some(_) => {
                tracing::warn!(
                    deployment = deployment_id,
                    object,
                    "stays: it is somebody else's"
                );
                Ok(Deleted::Gone)
            }
            None => Ok(Deleted::Gone),
        }
    }

    /// What others have made for the deployment and do not remove themselves.
    async fn remove_left_behind(&self, app: &AppSpec) -> Result<(), TargetError> {
        for (kind, name) in left_behind(app) {
            let object = format!("{kind}/{name}");
            let (place, name) = place(&object, &app.namespace)?;
            let failed = |error: CallError| error.about(&object);
            let found = self.cluster.metadata(place, name).await.map_err(failed)?;
            if let Some(meta) = found.filter(is_of_cert_manager) {
                self.cluster
                    .delete(place, name, Some(&meta.uid))
                    .await
                    .map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Removes a namespace that no deployment needs, unless somebody else's objects are in it. What there
    /// is still to wait for; nothing when it is gone or stays.
    async fn end_namespace(&self, entry: &Entry) -> Result<Option<String>, TargetError> {
        let namespace = entry.namespace.as_str();
        let what = format!("Namespace/{namespace}");
        let failed = |error: CallError| error.about(&what);
        let found = self
            .cluster
            .metadata(NAMESPACE, namespace)
            .await
            .map_err(failed)?;
        lock(&self.namespaces).remove(namespace);
        let waits = ending(namespace);
        let Some(meta) = found else {
            return Ok(None);
        };
        if meta.deletion_timestamp.is_some() {
            return Ok(Some(waits));
        }
        let needed = !self
            .inventory
            .others(namespace, &entry.deployment_id)
            .is_empty();
        // Gone and made anew for another deployment, or by somebody else.
        if needed || !self.is_namespace_of_entry(&meta, entry) {
            return Ok(None);
        }
        let foreign = self.foreign_objects(namespace).await.map_err(failed)?;
        if !foreign.is_empty() {
            tracing::warn!(
                namespace,
                objects = names(&foreign),
                "the namespace stays: it has objects that are somebody else's"
            );
            self.keep_namespace(entry).await?;
            return Ok(None);
        }
        let deleted = self
            .cluster
            .delete(NAMESPACE, namespace, Some(&meta.uid))
            .await
            .map_err(failed)?;
        Ok(match deleted {
            Deleted::Gone => None,
            Deleted::Going => Some(waits),
        })
    }

    /// Writes down that a namespace of ours stays without a deployment.
    async fn keep_namespace(&self, entry: &Entry) -> Result<(), TargetError> {
        if entry.is_of_namespace() {
            return Ok(());
        }
        self.write_down(&entry.of_namespace()).await
    }

    /// Looks again at namespaces that stayed.
    pub(super) async fn remove_kept_namespaces(&self) {
        if self.check_leading().is_err() {
            return;
        }
        let all = self.inventory.all();
        let kept: Vec<_> = all.iter().filter(|entry| entry.is_of_namespace()).collect();
        self.metrics
            .set_namespaces_kept(u64::try_from(kept.len()).unwrap_or(u64::MAX));
        for entry in kept {
            let _turn = self.turns.take(&entry.namespace).await;
            let needed = !self
                .inventory
                .others(&entry.namespace, &entry.deployment_id)
                .is_empty();
            let is_over = needed || self.is_gone(entry).await;
            if is_over && let Err(error) = self.inventory.remove(&entry.deployment_id).await {
                tracing::warn!(namespace = entry.namespace, %error, "still listed");
            }
        }
    }

    async fn is_gone(&self, entry: &Entry) -> bool {
        match self.end_namespace(entry).await {
            // Nothing to wait for is also said of one that stays.
            Ok(None) => matches!(
                self.cluster.metadata(NAMESPACE, &entry.namespace).await,
                Ok(None)
            ),
            Ok(Some(_)) => false,
            Err(error) => {
                tracing::warn!(namespace = entry.namespace, %error, "the namespace stays");
                false
            }
        }
    }
}

fn ending(namespace: &str) -> String {
    format!("is being removed: the namespace {namespace} is ending")
}

/// In which order objects are removed: routes first, so that nobody is sent to what ends; volumes last.
fn rank(object: &str) -> u8 {
    match object.split('/').next().unwrap_or_default() {
        "PersistentVolumeClaim" => 0,
        "ConfigMap" | "Secret" => 1,
        "Deployment" | "SpinApp" => 2,
        "Service" => 3,
        _ => 4,
    }
}
