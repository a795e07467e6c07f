//! The local target: deployments on this machine, in the tenants' process.
//!
//! Applying a revision: artifact → locked application → modules compiled → files below `apps/` → the
//! tenants' process is told → it loads, probes and swaps. What serves is remembered here in memory, so
//! that a tenants' process that was restarted is told everything again without the sidecar.
//!
//! What nobody asks is put aside after a while, and what was ready before a start begins so: it takes
//! neither memory nor time until somebody asks ([`dormant`]).

mod address;
mod dormant;
mod files;
mod prepare;
mod retell;
mod state;
mod turns;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use nokube_api::logs::{LogLine, LogPage, LogStream};
use nokube_api::sidecar::{AppSpec, ArtifactKind, DesiredState};
use nokube_artifact::layout::Layout;
use nokube_domain::Timestamp;
use nokube_engine::Egress;
use nokube_engine::logs::{self, LogError, Stream};
use nokube_keys::Secret;
use nokube_sidecar::{Adopted, Health, LogQuery, Observed, Target, TargetError, TargetEvent};
use tokio::sync::{Mutex, Notify, watch};

use self::files::on_disk;
use self::state::{Apps, Serving};
use self::turns::Turns;
use super::cache::ModuleCache;
use super::cache_sweep::sweep;
use super::front::hosts::{HostState, HostTable};
use super::tenants::control::{ControlClient, ControlError};
use super::tenants::folders::Folders;
use super::tenants::supervisor::Life;

pub(crate) use address::Addresses;

const STOPPED: &str = "The application is stopped.";
const NEVER_READY: &str = "No revision of the application is ready.";
const NO_CONTAINERS: &str =
    "container images need a Kubernetes target; this one runs Spin applications";
/// Requests that began on an old revision may run this long on: the engine drains for a minute.
const OLD_FILES_KEPT: Duration = Duration::from_secs(75);
/// What the local target works with.
pub(crate) struct LocalTargetOptions {
    /// Where artifacts are.
    pub(crate) layout: Layout,
    /// The tenants' folders as this process sees them.
    pub(crate) outside: Folders,
    /// The same as the tenants' process sees them.
    pub(crate) inside: Folders,
    /// Compiled modules.
    pub(crate) cache: ModuleCache,
    /// Which hosts answer.
    pub(crate) hosts: Arc<HostTable>,
    /// The way to the tenants' process.
    pub(crate) control: ControlClient,
    /// Its life.
    pub(crate) life: watch::Receiver<Life>,
    /// How deployments are addressed.
    pub(crate) addresses: Addresses,
    /// Where tenants' applications may connect to.
    pub(crate) egress: Egress,
    /// Compiled modules that nothing uses go above this.
    pub(crate) most_module_bytes: u64,
    /// What nobody asked for so long is put aside.
    pub(crate) idle: Duration,
}

/// Deployments on this machine.
pub(crate) struct LocalTarget {
    options: LocalTargetOptions,
    apps: Arc<Apps>,
    /// Held while files of a revision are made or removed.
    files: Arc<Mutex<()>>,
    turns: Turns,
    changed: Notify,
}

impl LocalTarget {
    /// Must be called within a runtime: it follows the tenants' process from here on.
    pub(crate) fn start(options: LocalTargetOptions) -> Arc<Self> {
        let this = Arc::new(Self {
            options,
            apps: Arc::default(),
            files: Arc::default(),
            turns: Turns::new(),
            changed: Notify::new(),
        });
        tokio::spawn(retell::follow(Arc::downgrade(&this)));
        tokio::spawn(dormant::put_idle_aside(Arc::downgrade(&this)));
        this
    }

    async fn stop(&self, app: &AppSpec) -> Result<(), TargetError> {
        let id = &app.deployment_id;
        self.options.control.remove(id).await.map_err(unavailable)?;
        self.options.hosts.set(id, HostState::Down(STOPPED));
        self.apps.stopped(id, app.generation);
        Ok(())
    }

    async fn run(
        &self,
        app: &AppSpec,
        secrets: &BTreeMap<String, Secret>,
        hosts: Vec<String>,
        wakes: bool,
    ) -> Result<(), TargetError> {
        let id = &app.deployment_id;
        let prepared = self.prepare(app, secrets, &hosts, wakes).await?;
        nokube_faults::crash_point("target.prepared");
        let replaces = self.apps.is_serving(id);
        let told = self
            .options
            .control
            .put(id, prepared.first, prepared.within);
        let told = if wakes {
            told.await
        } else {
            self.turns.load(told).await
        };
        told.map_err(|error| match error {
            ControlError::Refused(message) => TargetError::Refused(message),
            error @ ControlError::Unavailable(_) => unavailable(error),
        })?;
        let serving = Serving {
            generation: app.generation,
            hosts,
            again: prepared.again,
            digest: app.digest.clone(),
        };
        self.apps.serves(id, serving);
        self.options.hosts.set(id, HostState::Serves);
        if replaces {
            // Requests that began on the old revision are still being answered by it.
            nokube_faults::crash_point("tenants.draining");
        }
        if !wakes {
            self.remove_old_files_later(id);
        }
        Ok(())
    }

    /// Hosts while a revision is put in place are those of both, so that neither is refused.
    fn claim(&self, app: &AppSpec, hosts: &[String]) -> Result<(), TargetError> {
        let id = &app.deployment_id;
        let mut all = self.apps.hosts(id);
        all.extend(
            hosts
                .iter()
                .filter(|host| !all.contains(host))
                .cloned()
                .collect::<Vec<_>>(),
        );
        self.options
            .hosts
            .claim(id, &all, address::reach(app))
            .map_err(|taken| {
                TargetError::Refused(format!(
                    "the host name {taken} belongs to another deployment; remove that one, or choose another name"
                ))
            })
    }

    /// Hosts from here on are those of what serves.
    fn settle_hosts(&self, app: &AppSpec, hosts: &[String], applied: bool) {
        let id = &app.deployment_id;
        let settled = if applied {
            hosts.to_vec()
        } else {
            self.apps.hosts(id)
        };
        if settled.is_empty() && !applied {
            self.options.hosts.set(id, HostState::Down(NEVER_READY));
            return;
        }
        // They are among those that were claimed.
        let _ = self.options.hosts.claim(id, &settled, address::reach(app));
    }
}

#[async_trait]
impl Target for LocalTarget {
    async fn adopt(&self, apps: &[Adopted]) {
        let prepared = self.prepared_before(apps).await;
        for app in apps {
            self.take_up(app, prepared.contains(&app.wanted.deployment_id));
        }
        self.options.hosts.all_adopted();
        let kept = apps
            .iter()
            .map(|app| app.wanted.deployment_id.clone())
            .collect();
        self.remove_strangers(kept).await;
    }

    async fn apply(
        &self,
        app: &AppSpec,
        // Each generation is run anew.
        _restarted: u64,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<(), TargetError> {
        if app.artifact == ArtifactKind::Container {
            return Err(TargetError::Refused(NO_CONTAINERS.to_owned()));
        }
        let hosts = self
            .options
            .addresses
            .hosts(app)
            .map_err(TargetError::Refused)?;
        let turn = self.apps.turn(&app.deployment_id);
        let _turn = turn.lock().await;
        self.claim(app, &hosts)?;
        if is_to_be_stopped(app) {
            return self.stop(app).await;
        }
        let wakes = self.apps.tries(&app.deployment_id, app.generation);
        if !self.apps.is_serving(&app.deployment_id) {
            // Stopped, put aside or never ready before: from here on waiting for it is worth while.
            self.options
                .hosts
                .set(&app.deployment_id, HostState::Coming);
        }
        let outcome = if wakes {
            self.wake(app, secrets, hosts.clone()).await
        } else {
            self.run(app, secrets, hosts.clone(), false).await
        };
        if !matches!(outcome, Err(TargetError::Unavailable(_))) {
            self.settle_hosts(app, &hosts, outcome.is_ok());
        }
        outcome
    }

    async fn remove(&self, app: &AppSpec) -> Result<(), TargetError> {
        let id = &app.deployment_id;
        let turn = self.apps.turn(id);
        let _turn = turn.lock().await;
        self.options.control.remove(id).await.map_err(unavailable)?;
        self.options.hosts.release(id);
        self.apps.forget(id);
        self.remove_files(id).await
    }

    async fn observe(&self, app: &AppSpec) -> Result<Observed, TargetError> {
        let id = &app.deployment_id;
        let state = self.apps.get(id);
        if let Some((generation, asked)) = state.dormant {
            return Ok(dormant::observed(app, generation, asked));
        }
        if state.applied.is_none() && state.serving.is_none() {
            return Ok(Observed {
                present: self.has_files(id).await?,
                ..Observed::absent()
            });
        }
        let serves = state.serving == state.applied && state.serving.is_some();
        let health = if !serves {
            Health::Stopped
        } else if self.options.life.borrow().running {
            Health::Ready
        } else {
            Health::Progressing(Some("the tenants' process is being started".to_owned()))
        };
        Ok(Observed {
            present: true,
            applied: state.applied,
            serving: state.serving,
            stale: false,
            replicas_ready: if health == Health::Ready {
                // One process answers as many requests at once as a copy's limits allow, times copies.
                app.spec.replicas
            } else {
                0
            },
            health,
            objects: objects(),
        })
    }

    fn access_url(&self, app: &AppSpec) -> Option<String> {
        self.options.addresses.url(app)
    }

    async fn logs(&self, app: &AppSpec, query: LogQuery) -> Result<LogPage, TargetError> {
        let dir = self.options.outside.log(&app.deployment_id);
        let find = move || {
            let query = logs::Query {
                cursor: query.cursor.as_deref(),
                tail: query.tail,
                since_ms: query.since.map(Timestamp::millis),
                contains: query.contains.as_deref(),
                limit: query.limit,
            };
            logs::find(&dir, &query)
        };
        let page = tokio::task::spawn_blocking(find)
            .await
            .map_err(|_| TargetError::Unavailable("the sidecar stops".to_owned()))?
            .map_err(|error| match error {
                LogError::Cursor => TargetError::Refused(error.to_string()),
                LogError::Io(_) => TargetError::Unavailable("the log cannot be read".to_owned()),
            })?;
        Ok(LogPage {
            lines: page.lines.into_iter().map(log_line).collect(),
            cursor: page.cursor,
            complete: false,
        })
    }

    async fn next_event(&self) -> TargetEvent {
        tokio::select! {
            () = self.changed.notified() => TargetEvent::Everything,
            id = self.options.hosts.next_asked() => {
                self.apps.asked(&id);
                TargetEvent::App(id)
            }
        }
    }

    async fn keep_house(&self) {
        let (dir, most) = (
            self.options.cache.dir().to_owned(),
            self.options.most_module_bytes,
        );
        let swept = on_disk(move || sweep(&dir, most, SystemTime::now())).await;
        match swept {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(removed)) => tracing::info!(modules = removed, "removed unused compiled modules"),
            Ok(Err(error)) => tracing::warn!(%error, "unused compiled modules stay"),
        }
    }

    async fn is_ready(&self) -> bool {
        self.options.life.borrow().running && self.options.control.list().await.is_ok()
    }
}

/// Kinds of what is made of a deployment here.
fn objects() -> Vec<&'static str> {
    vec!["Application"]
}

fn is_to_be_stopped(app: &AppSpec) -> bool {
    app.desired == DesiredState::Stopped || app.spec.replicas == 0
}

fn log_line(line: logs::Line) -> LogLine {
    LogLine {
        n: line.n,
        time: line.time,
        stream: match line.stream {
            Stream::Stdout => LogStream::Stdout,
            Stream::Stderr => LogStream::Stderr,
            Stream::System => LogStream::System,
        },
        component: line.component,
        request_id: line.request_id,
        text: line.text,
    }
}

fn unavailable(error: ControlError) -> TargetError {
    tracing::debug!(%error, "the tenants' process");
    TargetError::Unavailable("the tenants' process does not answer yet".to_owned())
}
