//! What the cluster says of deployments, as far as a status needs it: filled by watches, kept in memory,
//! read again after every start.
//!
//! Of each object only a few fields stay. Objects that bear our labels but are of no deployment we know,
//! or lie in another namespace than that one's, are not believed.

mod again;
mod pod;
mod raw;
mod watches;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nokube_sidecar::TargetEvent;
use tokio::sync::Notify;
use tokio::time::Instant;

use again::Again;
pub(crate) use again::EVERY;
pub(crate) use pod::{Pod, Pods, Trouble, told};
use raw::Raw;
pub(crate) use watches::{Watched, follow};

/// The deployment an object belongs to.
pub(crate) const DEPLOYMENT_LABEL: &str = "nokube.dev/deployment";
/// The generation that an object was applied for.
pub(crate) const GENERATION: &str = "nokube.dev/generation";
/// The revision that a pod was made for.
const REVISION: &str = "nokube.dev/revision";
/// The generation of the restart that a pod was made for.
const RESTARTED: &str = "nokube.dev/restarted";

/// Warnings of a deployment that are remembered; the newest say most.
const WARNINGS: usize = 8;
/// What was applied is in the watch within a moment; after this it is taken for gone.
const LONGEST_UNSEEN: Duration = Duration::from_secs(30);

/// What is known of all deployments.
#[derive(Default)]
pub(crate) struct Seen {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    apps: HashMap<String, App>,
    /// Deployments by `namespace/service`, to tell whose an event is.
    names: HashMap<String, String>,
    /// Which kinds were listed in full since the start.
    listed: [Listing; Watched::ALL.len()],
    /// Deployments that changed since they were last asked for.
    pending: BTreeSet<String>,
    everything: bool,
    again: Again,
}

/// How far a kind's watch is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Listing {
    #[default]
    Not,
    /// The cluster does not know the kind.
    NoSuchKind,
    Done,
}

/// What is known of one deployment.
#[derive(Debug, Clone, Default)]
pub(crate) struct App {
    namespace: String,
    service: String,
    pub(crate) workload: Option<Workload>,
    pub(crate) pods: Pods,
    pub(crate) warnings: VecDeque<Warning>,
    /// A generation's workload was written and is yet to be seen.
    awaited: Option<(u64, Instant)>,
    /// The newest generation that was ready.
    pub(crate) reached: Option<u64>,
    /// When it was written by us, and the workload's own generation after that.
    written: Option<(Instant, i64)>,
    /// When it is written again at the latest.
    again_at: Option<Instant>,
}

/// The SpinApp or Deployment of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workload {
    kind: Watched,
    /// The deployment's generation that it was applied for.
    pub(crate) generation: u64,
    /// The object's own, which the cluster counts up whoever changes what is wanted of it.
    object_generation: i64,
    /// A condition that says it goes wrong, in the cluster's words.
    pub(crate) trouble: Option<Box<str>>,
    /// The cluster has given up waiting for it.
    pub(crate) overdue: bool,
}

/// Something the cluster complained about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    pub(crate) reason: Box<str>,
    pub(crate) message: Box<str>,
    /// `Kind/name`.
    pub(crate) object: Box<str>,
    pub(crate) at_ms: i64,
    /// How often, as the cluster counts.
    pub(crate) count: u32,
}

/// Which pods are of the same making: those of the same revision, since the same restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) revision: u32,
    pub(crate) restarted: u64,
}

impl App {
    /// Whether a workload was there, or is about to be seen.
    pub(crate) fn has_workload(&self, generation: u64) -> bool {
        self.workload.is_some()
            || self.awaited.is_some_and(|(awaited, since)| {
                awaited == generation && since.elapsed() < LONGEST_UNSEEN
            })
    }
}

impl Seen {
    /// Believes what it hears of a deployment from now on.
    pub(crate) fn register(&self, deployment_id: &str, namespace: &str, service: &str) {
        let mut state = self.lock();
        let name = format!("{namespace}/{service}");
        state.names.insert(name, deployment_id.to_owned());
        let app = state.apps.entry(deployment_id.to_owned()).or_default();
        namespace.clone_into(&mut app.namespace);
        service.clone_into(&mut app.service);
    }

    /// Nothing of a deployment is left.
    pub(crate) fn forget(&self, deployment_id: &str) {
        let mut state = self.lock();
        if let Some(app) = state.apps.remove(deployment_id) {
            let name = format!("{}/{}", app.namespace, app.service);
            // Another deployment may have taken the name over.
            if state.names.get(&name).is_some_and(|id| id == deployment_id) {
                state.names.remove(&name);
            }
        }
    }

    /// A generation's workload is about to be written.
    pub(crate) fn awaits(&self, deployment_id: &str, generation: u64) {
        if let Some(app) = self.lock().apps.get_mut(deployment_id) {
            app.awaited = Some((generation, Instant::now()));
        }
    }

    /// A generation was ready.
    pub(crate) fn reached(&self, deployment_id: &str, generation: u64) {
        if let Some(app) = self.lock().apps.get_mut(deployment_id) {
            app.reached = Some(generation);
        }
    }

    /// Looks at what is known of a deployment; it may be nothing.
    pub(crate) fn look<T>(&self, deployment_id: &str, work: impl FnOnce(&App) -> T) -> T {
        match self.lock().apps.get(deployment_id) {
            Some(app) => work(app),
            None => work(&App::default()),
        }
    }

    /// What is known of a deployment.
    #[cfg(test)]
    pub(crate) fn app(&self, deployment_id: &str) -> Option<App> {
        self.lock().apps.get(deployment_id).cloned()
    }

    /// Whether everything was listed at least once. A cluster without SpinKube has no SpinApps.
    pub(crate) fn is_complete(&self) -> bool {
        let state = self.lock();
        Watched::ALL.iter().all(|watched| match watched {
            // What it complains about is no part of what is there.
            Watched::Event => true,
            Watched::SpinApp => state.listed[watched.index()] != Listing::Not,
            Watched::Deployment | Watched::Pod => state.listed[watched.index()] == Listing::Done,
        })
    }

    /// Waits for a deployment to change, or all of them.
    pub(crate) async fn next_event(&self) -> TargetEvent {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.lock();
                if std::mem::take(&mut state.everything) {
                    state.pending.clear();
                    return TargetEvent::Everything;
                }
                if let Some(id) = state.pending.pop_first() {
                    return TargetEvent::App(id);
                }
            }
            changed.await;
        }
    }

    fn no_such_kind(&self, watched: Watched) {
        let mut state = self.lock();
        if state.listed[watched.index()] != Listing::NoSuchKind {
            state.listed[watched.index()] = Listing::NoSuchKind;
            state.everything = true;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// A list of a kind is complete: what was not in it is no more.
    fn listed(&self, watched: Watched, found: &HashSet<(String, String)>) {
        let mut state = self.lock();
        for (id, app) in &mut state.apps {
            let is_found = |name: &str| found.contains(&(id.clone(), name.to_owned()));
            match watched {
                Watched::Pod => app.pods.retain(is_found),
                Watched::Deployment | Watched::SpinApp => {
                    app.workload
                        .take_if(|workload| workload.kind == watched && !is_found(&app.service));
                }
                Watched::Event => {}
            }
        }
        state.listed[watched.index()] = Listing::Done;
        state.everything = true;
        drop(state);
        self.changed.notify_one();
    }

    /// Takes in what a watch told. Returns whose it is.
    fn take_in(&self, watched: Watched, raw: &Raw) -> Option<(String, String)> {
        let mut state = self.lock();
        let id = match watched {
            Watched::Event => state.names.get(&raw.is_about()?)?.clone(),
            _ => raw.deployment()?.to_owned(),
        };
        let app = state.apps.get_mut(&id)?;
        if raw.namespace() != app.namespace {
            return None;
        }
        let name = raw.name().to_owned();
        match watched {
            Watched::Deployment | Watched::SpinApp => {
                if name != app.service {
                    return None;
                }
                let workload = raw.workload(watched);
                app.awaited
                    .take_if(|(awaited, _)| *awaited <= workload.generation);
                if app.workload.as_ref() == Some(&workload) {
                    return Some((id, name));
                }
                app.workload = Some(workload);
            }
            Watched::Pod => {
                if !app.pods.insert(&name, Pod::of(raw)) {
                    return Some((id, name));
                }
            }
            Watched::Event => {
                let warning = raw.warning();
                app.warnings.retain(|known| {
                    known.object != warning.object || known.reason != warning.reason
                });
                app.warnings.push_back(warning);
                if app.warnings.len() > WARNINGS {
                    // A list tells them by their names.
                    let times = app.warnings.iter().map(|warning| warning.at_ms);
                    if let Some((oldest, _)) = times.enumerate().min_by_key(|(_, at_ms)| *at_ms) {
                        app.warnings.remove(oldest);
                    }
                }
            }
        }
        state.pending.insert(id.clone());
        drop(state);
        self.changed.notify_one();
        Some((id, name))
    }

    /// A watch told that something is gone.
    fn take_out(&self, watched: Watched, raw: &Raw) {
        let mut state = self.lock();
        let Some(id) = raw.deployment().map(str::to_owned) else {
            return;
        };
        let Some(app) = state.apps.get_mut(&id) else {
            return;
        };
        if raw.namespace() != app.namespace {
            return;
        }
        match watched {
            Watched::Pod => {
                app.pods.remove(raw.name());
            }
            Watched::Deployment | Watched::SpinApp if raw.name() == app.service => {
                app.workload.take_if(|workload| workload.kind == watched);
            }
            // Events end after an hour; what they said stays true.
            _ => return,
        }
        state.pending.insert(id);
        drop(state);
        self.changed.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing that panics runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A deployment whose workload was seen.
    pub(crate) fn with_workload(generation: u64) -> App {
        App {
            workload: Some(Workload {
                kind: Watched::Deployment,
                generation,
                object_generation: 1,
                trouble: None,
                overdue: false,
            }),
            ..App::default()
        }
    }

    fn raw(value: serde_json::Value) -> Raw {
        serde_json::from_value(value).unwrap()
    }

    fn deployment(namespace: &str, generation: u64) -> Raw {
        raw(json!({ "metadata": {
            "name": "api", "namespace": namespace,
            "labels": { DEPLOYMENT_LABEL: "d1" },
            "annotations": { GENERATION: generation.to_string() },
        } }))
    }

    #[test]
    fn what_lies_in_another_namespace_is_not_believed() {
        let seen = Seen::default();
        seen.register("d1", "shop-production", "api");
        assert!(
            seen.take_in(Watched::Deployment, &deployment("else", 1))
                .is_none()
        );
        assert!(seen.app("d1").unwrap().workload.is_none());
        seen.take_in(Watched::Deployment, &deployment("shop-production", 1));
        assert_eq!(seen.app("d1").unwrap().workload.unwrap().generation, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_just_written_counts_as_there_for_a_while() {
        let seen = Seen::default();
        seen.register("d1", "ns", "api");
        seen.awaits("d1", 2);
        assert!(seen.app("d1").unwrap().has_workload(2));
        assert!(!seen.app("d1").unwrap().has_workload(3));
        tokio::time::advance(LONGEST_UNSEEN).await;
        assert!(!seen.app("d1").unwrap().has_workload(2));
    }

    #[test]
    fn what_a_new_list_does_not_have_is_gone() {
        let seen = Seen::default();
        seen.register("d1", "ns", "api");
        seen.take_in(Watched::Deployment, &deployment("ns", 1));
        seen.listed(Watched::SpinApp, &HashSet::new());
        assert!(seen.app("d1").unwrap().workload.is_some());
        seen.listed(Watched::Deployment, &HashSet::new());
        assert!(seen.app("d1").unwrap().workload.is_none());
    }

    #[test]
    fn a_cluster_without_spinkube_is_known_in_full_all_the_same() {
        let seen = Seen::default();
        seen.listed(Watched::Deployment, &HashSet::new());
        seen.listed(Watched::Pod, &HashSet::new());
        assert!(!seen.is_complete());
        seen.no_such_kind(Watched::SpinApp);
        assert!(seen.is_complete());
    }

    #[test]
    fn the_newest_warnings_are_kept_in_whichever_order_they_are_told() {
        let seen = Seen::default();
        seen.register("d1", "ns", "api");
        for second in (10..30).rev() {
            let event = raw(json!({
                "metadata": { "name": "e", "namespace": "ns" },
                "involvedObject": { "kind": "Pod", "name": format!("api-1-{second}"), "namespace": "ns" },
                "reason": "BackOff", "message": "m", "type": "Warning",
                "eventTime": "2026-11-21T09:00:00.000000Z",
                "series": { "count": 7, "lastObservedTime": format!("2026-11-21T10:00:{second}.123456Z") },
            }));
            seen.take_in(Watched::Event, &event);
        }
        let warnings = seen.app("d1").unwrap().warnings;
        let oldest = warnings.iter().map(|warning| warning.at_ms % 60_000).min();
        assert_eq!((warnings.len(), oldest), (WARNINGS, Some(22_123)));
        assert!(warnings.iter().all(|warning| warning.count == 7));
    }

    #[test]
    fn a_warning_is_the_deployments_whose_pod_it_is_about() {
        let seen = Seen::default();
        seen.register("d1", "ns", "api");
        seen.register("d2", "ns", "api-v2");
        let warning = |object: &str, kind: &str| {
            raw(json!({
                "metadata": { "name": "e", "namespace": "ns" },
                "involvedObject": { "kind": kind, "name": object, "namespace": "ns" },
                "reason": "BackOff", "message": "m", "type": "Warning",
                "lastTimestamp": "2026-11-21T10:00:00Z",
            }))
        };
        seen.take_in(Watched::Event, &warning("api-v2-5d4f-abcde", "Pod"));
        seen.take_in(Watched::Event, &warning("api-5d4f", "ReplicaSet"));
        seen.take_in(Watched::Event, &warning("else", "Deployment"));
        assert_eq!(seen.app("d1").unwrap().warnings.len(), 1);
        assert_eq!(seen.app("d2").unwrap().warnings.len(), 1);
    }
}
