//! Converging: one task per deployment, woken by callers and by the target, with back-off.
//!
//! [`crate::plan::plan`] decides, this file acts and keeps each deployment's status.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nokube_api::deploy::{DeploymentEvent, EventKind};
use nokube_api::sidecar::{AppPhase, AppSpec, AppStatus, DesiredState};
use nokube_domain::Timestamp;
use nokube_keys::{SealingKey, Secret};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::desired::{DesiredApp, DesiredStore};
use crate::events::EventRing;
use crate::plan::{Action, Wanted, plan};
use crate::target::{Adopted, Health, Observed, Target, TargetError, TargetEvent};

const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// What makes progress is looked at this often.
const RECHECK: Duration = Duration::from_millis(200);
/// What is settled is looked at this often, in case an event was lost.
const RESYNC: Duration = Duration::from_secs(60);
/// 0.25 + 0.5 + … + 16 + 30 s: after about a minute of failing a deployment is called failed, and
/// is still tried.
const FAILURES_UNTIL_FAILED: u32 = 8;

/// Everything the deployments' tasks share.
pub(crate) struct Reconciler {
    store: Arc<DesiredStore>,
    target: Arc<dyn Target>,
    sealing_key: SealingKey,
    apps: Mutex<HashMap<String, Arc<AppCell>>>,
    tasks: Mutex<JoinSet<()>>,
}

struct AppCell {
    wake: Notify,
    state: Mutex<CellState>,
}

struct CellState {
    /// But for the objects.
    status: AppStatus,
    /// Kinds of the objects that were made.
    objects: Vec<&'static str>,
    /// The generation the target refused.
    refused: Option<u64>,
    events: EventRing,
}

impl CellState {
    fn status(&self) -> AppStatus {
        AppStatus {
            objects: self.objects.iter().copied().map(str::to_owned).collect(),
            ..self.status.clone()
        }
    }

    fn note(&mut self, kind: EventKind, reason: &'static str, message: &str) {
        let now = Timestamp::from_millis(i64::try_from(now_ms()).unwrap_or(i64::MAX));
        self.events.note(kind, reason, message, now);
    }

    /// Notes what a change of phase means to whoever waits for it.
    fn note_phase_after(&mut self, before: AppPhase) {
        let phase = self.status.phase;
        let revision = self.status.revision;
        let said = self.status.message.clone();
        match phase {
            _ if phase == before => {}
            AppPhase::Running => {
                self.note(
                    EventKind::Normal,
                    "Ready",
                    &format!("Revision {revision} answers."),
                );
            }
            AppPhase::Stopped => {
                self.note(EventKind::Normal, "Stopped", "It is stopped, as wanted.")
            }
            AppPhase::Failed => {
                let why = said.as_deref().unwrap_or("It will not come up by itself.");
                self.note(EventKind::Warning, "Failed", why);
            }
            AppPhase::Deploying if before == AppPhase::Running => {
                let why = said.as_deref().unwrap_or("It has stopped being ready.");
                self.note(EventKind::Warning, "NotReady", why);
            }
            AppPhase::Pending | AppPhase::Deploying => {}
        }
    }
}

/// When a deployment is looked at next.
enum Next {
    Now,
    Soon,
    Settled,
    Retry,
    Gone,
}

impl Reconciler {
    pub(crate) fn new(
        store: Arc<DesiredStore>,
        target: Arc<dyn Target>,
        sealing_key: SealingKey,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            target,
            sealing_key,
            apps: Mutex::new(HashMap::new()),
            tasks: Mutex::new(JoinSet::new()),
        })
    }

    /// Takes up everything that was wanted when the sidecar last stopped, then follows the target's
    /// events until dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let apps = self.store.all();
        let adopted: Vec<Adopted> = apps
            .iter()
            .filter(|app| app.deletion.is_none())
            .map(|app| Adopted {
                wanted: Arc::clone(&app.wanted),
                settled: app.is_settled(),
            })
            .collect();
        self.target.adopt(&adopted).await;
        for app in apps.into_iter().filter(|app| !app.is_gone()) {
            self.wake(&app.wanted.deployment_id);
        }
        loop {
            match self.target.next_event().await {
                TargetEvent::App(id) => {
                    if self.store.get(&id).is_some_and(|app| !app.is_gone()) {
                        self.wake(&id);
                    }
                }
                TargetEvent::Everything => {
                    for cell in lock(&self.apps).values() {
                        cell.wake.notify_one();
                    }
                }
            }
        }
    }

    /// Ends every deployment's task. What they were doing is taken up at the next start.
    pub(crate) fn stop(&self) {
        lock(&self.tasks).abort_all();
    }

    /// Looks at a deployment now: something about it has changed.
    pub(crate) fn wake(self: &Arc<Self>, deployment_id: &str) {
        let Some(desired) = self.store.get(deployment_id) else {
            return;
        };
        let mut apps = lock(&self.apps);
        if let Some(cell) = apps.get(deployment_id) {
            {
                let mut state = lock(&cell.state);
                if state.status.generation != desired.wanted.generation {
                    state.status = self.first_status(&desired.wanted);
                    state.objects.clear();
                    state.refused = None;
                }
            }
            cell.wake.notify_one();
            return;
        }
        let cell = Arc::new(AppCell {
            wake: Notify::new(),
            state: Mutex::new(CellState {
                status: self.first_status(&desired.wanted),
                objects: Vec::new(),
                refused: None,
                events: EventRing::default(),
            }),
        });
        apps.insert(deployment_id.to_owned(), Arc::clone(&cell));
        let this = Arc::clone(self);
        let id = deployment_id.to_owned();
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move { this.follow(id, cell).await });
    }

    /// The status of a deployment; none once nothing is left of it.
    pub(crate) fn status(&self, deployment_id: &str) -> Option<AppStatus> {
        let desired = self.store.get(deployment_id)?;
        if desired.is_gone() {
            return None;
        }
        let known = lock(&self.apps)
            .get(deployment_id)
            .map(|cell| lock(&cell.state).status());
        Some(known.unwrap_or_else(|| self.first_status(&desired.wanted)))
    }

    /// What was done with a deployment since the sidecar started, oldest first.
    pub(crate) fn events(&self, deployment_id: &str) -> Vec<DeploymentEvent> {
        lock(&self.apps)
            .get(deployment_id)
            .map_or_else(Vec::new, |cell| lock(&cell.state).events.all())
    }

    fn first_status(&self, wanted: &AppSpec) -> AppStatus {
        AppStatus {
            deployment_id: wanted.deployment_id.clone(),
            generation: wanted.generation,
            revision: wanted.revision,
            phase: AppPhase::Pending,
            replicas_ready: 0,
            replicas_total: replicas_wanted(wanted),
            access_url: self.target.access_url(wanted),
            message: None,
            objects: Vec::new(),
        }
    }

    /// The life of one deployment.
    async fn follow(self: Arc<Self>, id: String, cell: Arc<AppCell>) {
        let mut failures = 0_u32;
        loop {
            let next = match self.store.get(&id) {
                None => Next::Gone,
                // On the heap for as long as it takes: what is settled waits, as nearly all of them nearly always.
                Some(desired) => match Box::pin(self.step(&desired, &cell)).await {
                    Ok(next) => {
                        failures = 0;
                        next
                    }
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        self.note_failure(&desired, &cell, &error, failures);
                        Next::Retry
                    }
                },
            };
            let pause = match next {
                Next::Gone => break,
                Next::Now => continue,
                Next::Settled => RESYNC,
                Next::Soon => RECHECK,
                Next::Retry => back_off(failures),
            };
            tokio::select! {
                () = cell.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        lock(&self.apps).remove(&id);
        // A wake between the last look and the removal would be lost.
        if self.store.get(&id).is_some_and(|app| !app.is_gone()) {
            self.wake(&id);
        }
    }

    async fn step(
        self: &Arc<Self>,
        desired: &DesiredApp,
        cell: &AppCell,
    ) -> Result<Next, TargetError> {
        if desired.is_gone() {
            return Ok(Next::Gone);
        }
        let app = &desired.wanted;
        let observed = self.target.observe(app).await?;
        let refused = self.note_observed(desired, cell, &observed);
        let fallback = desired
            .settled
            .as_ref()
            .filter(|settled| {
                settled.desired == DesiredState::Running && app.desired == DesiredState::Running
            })
            .map(|settled| settled.generation);
        let wanted = Wanted {
            generation: app.generation,
            deleted: desired.deletion.is_some(),
            refused,
            fallback,
        };
        let mut next = Next::Settled;
        for action in plan(&wanted, &observed) {
            match action {
                Action::Restore => self.restore(desired, cell).await,
                Action::Apply => {
                    self.note_phase(app, cell, AppPhase::Deploying);
                    if !self
                        .apply_unless_superseded(desired, cell, "Applied")
                        .await?
                    {
                        return Ok(Next::Now);
                    }
                }
                Action::Refresh => {
                    self.refresh(desired, cell).await;
                    // What woke this task meanwhile is looked at.
                    return Ok(Next::Soon);
                }
                Action::Wake => {
                    if !self.apply_unless_superseded(desired, cell, "Woken").await? {
                        return Ok(Next::Now);
                    }
                }
                // Known already, as nearly always: no need for a thread that may write.
                Action::Settle if desired.is_settled() => {}
                Action::Settle => {
                    self.store_blocking({
                        let app = Arc::clone(app);
                        move |store| store.settle(&app)
                    })
                    .await?
                }
                Action::Remove => {
                    lock(&cell.state).note(
                        EventKind::Normal,
                        "Removing",
                        "Everything of it is being removed.",
                    );
                    self.target.remove(app).await?;
                }
                Action::Forget => {
                    let id = app.deployment_id.clone();
                    self.store_blocking(move |store| store.forget(&id, now_ms()))
                        .await?;
                    return Ok(Next::Gone);
                }
                Action::Recheck => {
                    // What `apply` has just finished is seen at once.
                    let observed = self.target.observe(app).await?;
                    self.note_observed(desired, cell, &observed);
                    let reached = observed.applied == Some(app.generation)
                        && matches!(observed.health, Health::Ready | Health::Stopped);
                    next = if reached { Next::Now } else { Next::Soon };
                }
            }
        }
        Ok(next)
    }

    /// True when the target took it or refused it; false when something newer is wanted meanwhile.
    async fn apply_unless_superseded(
        &self,
        desired: &DesiredApp,
        cell: &AppCell,
        done: &'static str,
    ) -> Result<bool, TargetError> {
        let app = &desired.wanted;
        let outcome = tokio::select! {
            outcome = self.apply(app, desired.restarted) => outcome,
            () = self.superseded(app, cell) => return Ok(false),
        };
        match outcome {
            Err(TargetError::Refused(message)) => {
                tracing::info!(
                    deployment = app.deployment_id,
                    generation = app.generation,
                    message,
                    "refused"
                );
                let mut state = lock(&cell.state);
                state.note(EventKind::Warning, "Refused", &message);
                if state.status.generation == app.generation {
                    state.refused = Some(app.generation);
                    state.status.phase = AppPhase::Failed;
                    state.status.replicas_ready = 0;
                    state.status.message = Some(message);
                }
                Ok(true)
            }
            Ok(()) => {
                let what = format!(
                    "Revision {} was given to the target (generation {}).",
                    app.revision, app.generation
                );
                lock(&cell.state).note(EventKind::Normal, done, &what);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Applies the same again. What does not go well is tried again when it is due again: what serves has not
    /// failed by that.
    async fn refresh(&self, desired: &DesiredApp, cell: &AppCell) {
        let app = &desired.wanted;
        let outcome = tokio::select! {
            outcome = self.apply(app, desired.restarted) => outcome,
            () = self.superseded(app, cell) => return,
        };
        if let Err(error) = outcome {
            tracing::warn!(deployment = app.deployment_id, %error, "not applied again");
            lock(&cell.state).note(EventKind::Warning, "NotReapplied", &error.to_string());
        }
    }

    async fn apply(&self, app: &AppSpec, restarted: u64) -> Result<(), TargetError> {
        let secrets = match self.open_secrets(app) {
            // What stops has no use for them.
            Err(_) if app.desired == DesiredState::Stopped => BTreeMap::new(),
            secrets => secrets?,
        };
        self.target.apply(app, restarted, &secrets).await
    }

    /// Resolves when another generation, or a removal, is wanted than `app`.
    async fn superseded(&self, app: &AppSpec, cell: &AppCell) {
        loop {
            cell.wake.notified().await;
            let current = self.store.get(&app.deployment_id);
            let same = current.is_some_and(|current| {
                current.deletion.is_none() && current.wanted.generation == app.generation
            });
            if !same {
                return;
            }
        }
    }

    /// Brings the fallback back. That it fails must not keep the wanted generation from being tried.
    async fn restore(&self, desired: &DesiredApp, cell: &AppCell) {
        let Some(settled) = &desired.settled else {
            return;
        };
        match self.apply(settled, desired.restarted).await {
            Ok(()) => {
                let what = format!(
                    "Revision {} serves until the wanted one is ready.",
                    settled.revision
                );
                lock(&cell.state).note(EventKind::Normal, "Restored", &what);
            }
            Err(error) => {
                tracing::warn!(deployment = settled.deployment_id, %error, "the earlier revision does not come back");
            }
        }
    }

    fn open_secrets(&self, app: &AppSpec) -> Result<BTreeMap<String, Secret>, TargetError> {
        app.sealed_secrets
            .iter()
            .map(|(name, sealed)| {
                let place = format!("{}/{name}", app.deployment_id);
                match self.sealing_key.open(sealed, &place) {
                    Ok(secret) => Ok((name.clone(), secret)),
                    Err(_) => Err(TargetError::Refused(format!(
                        "the secret `{name}` cannot be opened with this platform's sealing key; set it again"
                    ))),
                }
            })
            .collect()
    }

    /// Writes what was observed into the status. Returns whether the wanted generation was refused.
    fn note_observed(&self, desired: &DesiredApp, cell: &AppCell, observed: &Observed) -> bool {
        let app = &desired.wanted;
        let mut state = lock(&cell.state);
        if state.status.generation != app.generation {
            return false;
        }
        state.objects.clone_from(&observed.objects);
        // Some are known once the target has given something out.
        state.status.access_url = self.target.access_url(app);
        let before = state.status.phase;
        let refused = state.refused == Some(app.generation);
        if desired.deletion.is_some() {
            state.status.phase = AppPhase::Deploying;
            state.status.message = Some(match &observed.health {
                Health::Progressing(Some(message)) => message.clone(),
                _ => "is being removed".to_owned(),
            });
            state.status.replicas_ready = 0;
        } else if refused {
            // Said already, with the reason.
        } else if observed.applied == Some(app.generation) {
            let (phase, message) = match &observed.health {
                Health::Ready | Health::Asked => (AppPhase::Running, None),
                Health::Stopped => (AppPhase::Stopped, None),
                Health::Progressing(message) => (AppPhase::Deploying, message.clone()),
                Health::Failed(message) => (AppPhase::Failed, Some(message.clone())),
            };
            state.status.phase = phase;
            state.status.message = message;
            state.status.replicas_ready = observed.replicas_ready;
            state.note_phase_after(before);
        } else {
            state.status.replicas_ready = 0;
        }
        refused
    }

    fn note_phase(&self, app: &AppSpec, cell: &AppCell, phase: AppPhase) {
        let mut state = lock(&cell.state);
        // What is called failed because it keeps failing stays so while it is tried again.
        if state.status.generation == app.generation && state.status.phase != AppPhase::Failed {
            state.status.phase = phase;
        }
    }

    fn note_failure(
        &self,
        desired: &DesiredApp,
        cell: &AppCell,
        error: &TargetError,
        failures: u32,
    ) {
        let app = &desired.wanted;
        if failures == 1 || failures == FAILURES_UNTIL_FAILED {
            tracing::warn!(deployment = app.deployment_id, generation = app.generation, failures, %error, "not converging");
        }
        let mut state = lock(&cell.state);
        state.note(EventKind::Warning, "Retrying", &error.to_string());
        if state.status.generation == app.generation {
            state.status.phase = if failures >= FAILURES_UNTIL_FAILED {
                AppPhase::Failed
            } else {
                AppPhase::Deploying
            };
            state.status.replicas_ready = 0;
            state.status.message = Some(error.to_string());
        }
    }

    async fn store_blocking(
        &self,
        work: impl FnOnce(&DesiredStore) -> std::io::Result<()> + Send + 'static,
    ) -> Result<(), TargetError> {
        let store = Arc::clone(&self.store);
        let outcome = tokio::task::spawn_blocking(move || work(&store)).await;
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(%error, "desired state cannot be written");
                Err(TargetError::Unavailable(
                    "the sidecar cannot keep what it is told now".to_owned(),
                ))
            }
            Err(_) => Err(TargetError::Unavailable("the sidecar stops".to_owned())),
        }
    }
}

/// Copies that shall answer.
fn replicas_wanted(app: &AppSpec) -> u32 {
    match app.desired {
        DesiredState::Running => app.spec.replicas,
        DesiredState::Stopped => 0,
    }
}

fn back_off(failures: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
        .min(LONGEST_RETRY)
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that panics runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
