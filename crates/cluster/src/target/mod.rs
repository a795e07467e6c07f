//! The cluster as a place where applications run.
//!
//! `apply` writes a deployment's objects, `observe` reads what the watches have seen, `remove` takes
//! away what the inventory lists. Nothing here decides what objects look like (`nokube-manifests`) or
//! when to do what (`nokube-sidecar`).

mod apply;
mod cursor;
mod logs;
mod namespace;
mod observe;
mod remove;
mod turns;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use nokube_api::deploy::{DeploymentEvent, EventKind};
use nokube_api::logs::LogPage;
use nokube_api::sidecar::{AppSpec, DesiredState};
use nokube_artifact::layout::Layout;
use nokube_domain::Timestamp;
use nokube_keys::Secret;
use nokube_manifests::Settings;
use nokube_sidecar::{
    Adopted, Health, LogQuery, Observed, SpecFault, Target, TargetError, TargetEvent,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use self::apply::now_ms;
use self::remove::Removing;
use self::turns::Turns;
use crate::api::{CallError, Cluster};
use crate::artifacts::Artifacts;
use crate::inventory::Inventory;
use crate::leader::Term;
use crate::metrics::Metrics;
use crate::seen::{Seen, Warning, Watched, follow};

/// Deployments that are applied or removed at once: the objects of each are in memory.
const AT_ONCE: usize = 16;

/// Each has half a megabyte of text in memory, and about as much again for its lines.
const PAGES_AT_ONCE: usize = 8;

/// What a target works with.
pub(crate) struct TargetOptions {
    pub(crate) settings: Settings,
    /// Where artifacts are that were stored here.
    pub(crate) layout: Layout,
    /// The shim runs WASI 0.3.
    pub(crate) wasi_0_3: bool,
    /// While this sidecar is the one that acts.
    pub(crate) term: Arc<Term>,
}

/// Deployments in a cluster.
pub(crate) struct ClusterTarget {
    cluster: Cluster,
    settings: Settings,
    artifacts: Artifacts,
    inventory: Inventory,
    seen: Arc<Seen>,
    metrics: Arc<Metrics>,
    term: Arc<Term>,
    /// Who works in a namespace, works there alone.
    turns: Turns,
    /// Namespaces that are as they should be: a hash of what they should be, and since when.
    namespaces: Mutex<HashMap<String, (String, Instant)>>,
    removing: Mutex<HashMap<String, Removing>>,
    /// Taken after a namespace's turn: who waits for that keeps nobody else from working.
    work: Semaphore,
    /// Pages of logs that are put together at once.
    pages: Semaphore,
    watches: Mutex<JoinSet<()>>,
}

impl ClusterTarget {
    /// Reads what was made, and begins to watch.
    pub(crate) async fn open(
        cluster: Cluster,
        metrics: Arc<Metrics>,
        options: TargetOptions,
    ) -> Result<Arc<Self>, CallError> {
        let TargetOptions {
            settings,
            layout,
            wasi_0_3,
            term,
        } = options;
        let cluster = cluster.in_term(Arc::clone(&term));
        let inventory = Inventory::open(
            cluster.clone(),
            settings.system_namespace.clone(),
            settings.platform.clone(),
        )
        .await?;
        let seen = Arc::new(Seen::default());
        // A namespace that stayed has no workload.
        let all = inventory.all();
        for entry in all.iter().filter(|entry| !entry.is_of_namespace()) {
            seen.register(&entry.deployment_id, &entry.namespace, &entry.service);
        }
        let mut watches = JoinSet::new();
        for watched in Watched::ALL {
            watches.spawn(follow(
                watched,
                cluster.clone(),
                settings.platform.clone(),
                Arc::clone(&seen),
                Arc::clone(&metrics),
            ));
        }
        Ok(Arc::new(Self {
            cluster,
            settings,
            artifacts: Artifacts::new(layout, wasi_0_3),
            inventory,
            seen,
            metrics,
            term,
            turns: Turns::default(),
            namespaces: Mutex::default(),
            removing: Mutex::default(),
            work: Semaphore::new(AT_ONCE),
            pages: Semaphore::new(PAGES_AT_ONCE),
            watches: Mutex::new(watches),
        }))
    }

    fn node_port(&self, app: &AppSpec) -> Option<u16> {
        self.inventory
            .get(&app.deployment_id)?
            .applied
            .as_ref()?
            .node_port
    }

    /// Which port of every node leads to a deployment: there is no address to show where nobody has said
    /// where nodes are.
    fn told_node_port(&self, app: &AppSpec) -> Option<DeploymentEvent> {
        let entry = self.inventory.get(&app.deployment_id)?;
        let applied = entry.applied.as_ref()?;
        Some(DeploymentEvent {
            time: Timestamp::from_millis(applied.at_ms).to_string(),
            kind: EventKind::Normal,
            reason: "NodePort".to_owned(),
            message: format!("Port {} of every node leads to it.", applied.node_port?),
            object: None,
            count: 1,
        })
    }

    /// Whoever does not lead any more changes nothing.
    fn check_leading(&self) -> Result<(), TargetError> {
        if self.term.holds() {
            Ok(())
        } else {
            Err(TargetError::Unavailable(CallError::Superseded.to_string()))
        }
    }

    /// What nobody knows of is neither written over nor said to be gone.
    fn check_readable(&self, deployment_id: &str) -> Result<(), TargetError> {
        if self.inventory.is_unreadable(deployment_id) {
            return Err(TargetError::Unavailable(
                "what was made of it was written down in a form that this version of the sidecar does not know".to_owned(),
            ));
        }
        Ok(())
    }
}

impl Drop for ClusterTarget {
    fn drop(&mut self) {
        lock(&self.watches).abort_all();
    }
}

#[async_trait]
impl Target for ClusterTarget {
    async fn adopt(&self, apps: &[Adopted]) {
        for app in apps.iter().filter(|app| app.settled) {
            self.seen
                .reached(&app.wanted.deployment_id, app.wanted.generation);
        }
    }

    fn check(&self, app: &AppSpec) -> Vec<SpecFault> {
        // One that stops, stops, whatever is wrong with it: if need be without what it would have (`stop_bare`).
        if app.desired == DesiredState::Stopped {
            return Vec::new();
        }
        let faults = nokube_manifests::check(app, &self.settings);
        faults
            .err()
            .into_iter()
            .flatten()
            .map(|fault| SpecFault {
                pointer: fault.pointer,
                detail: fault.detail.to_string(),
            })
            .collect()
    }

    async fn apply(
        &self,
        app: &AppSpec,
        restarted: u64,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<(), TargetError> {
        let mut outcome = self.apply_all(app, restarted, secrets).await;
        if let Err(TargetError::Refused(why)) = &outcome
            && app.desired == DesiredState::Stopped
            && let Some(entry) = self.inventory.get(&app.deployment_id)
        {
            tracing::info!(deployment = app.deployment_id, why, "stopped all the same");
            outcome = self.stop_bare(app, &entry.namespace).await;
        }
        self.metrics.reconciled(outcome.is_ok());
        outcome
    }

    async fn remove(&self, app: &AppSpec) -> Result<(), TargetError> {
        let outcome = self.remove_all(app).await;
        if !matches!(outcome, Ok(false)) {
            self.metrics.reconciled(outcome.is_ok());
        }
        outcome.map(|_| ())
    }

    async fn observe(&self, app: &AppSpec) -> Result<Observed, TargetError> {
        let id = &app.deployment_id;
        self.check_readable(id)?;
        let Some(entry) = self.inventory.get(id) else {
            return Ok(Observed::absent());
        };
        if !self.seen.is_complete() {
            return Err(TargetError::Unavailable(
                "the cluster's state is still being read".to_owned(),
            ));
        }
        let (mut observed, is_alone) = self.seen.look(id, |seen| {
            let observed = observe::observe(app, &entry, seen);
            (observed, observe::is_alone(&entry, seen))
        });
        if observed.health == Health::Ready
            && let Some(generation) = observed.applied
        {
            self.seen.reached(id, generation);
            if !entry.old.is_empty() && is_alone {
                self.remove_old(id).await;
            }
        }
        let removing = lock(&self.removing).get(id).map(Removing::message);
        // The cluster counts the removal of a workload as a change of it.
        observed.stale = removing.is_none()
            && observed.applied == Some(app.generation)
            && self.seen.is_to_be_written(id, app.spec.enable_autoscaling);
        if let Some(message) = removing.flatten() {
            observed.health = Health::Progressing(Some(message));
        }
        Ok(observed)
    }

    fn access_url(&self, app: &AppSpec) -> Option<String> {
        nokube_manifests::access_url(app, &self.settings, self.node_port(app))
    }

    async fn logs(&self, app: &AppSpec, query: LogQuery) -> Result<LogPage, TargetError> {
        self.read_logs(app, query).await
    }

    fn manifest_settings(&self) -> Option<Settings> {
        Some(self.settings.clone())
    }

    async fn events(&self, app: &AppSpec) -> Result<Vec<DeploymentEvent>, TargetError> {
        let event = |warning: &Warning| DeploymentEvent {
            time: Timestamp::from_millis(warning.at_ms).to_string(),
            kind: EventKind::Warning,
            reason: warning.reason.to_string(),
            message: warning.message.to_string(),
            object: Some(warning.object.to_string()),
            count: warning.count,
        };
        let mut events: Vec<_> = self.seen.look(&app.deployment_id, |seen| {
            seen.warnings.iter().map(event).collect()
        });
        events.extend(self.told_node_port(app));
        Ok(events)
    }

    async fn next_event(&self) -> TargetEvent {
        self.seen.next_event().await
    }

    async fn keep_house(&self) {
        self.remove_kept_namespaces().await;
    }

    async fn is_ready(&self) -> bool {
        self.seen.is_complete()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
