//! The runner's life: it asks for work, builds several at once, and stops when told to.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nokube_api::runner::LeaseRequest;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::caches::CacheBounds;
use crate::client::Platform;
use crate::error::RunnerError;
use crate::job;
use crate::options::RunnerOptions;
use crate::process::RoomBound;
use crate::sandbox::Sandbox;
use crate::sandbox::slots::Slots;
use crate::toolchain::Toolchain;
use crate::usage::room;
use crate::workdir::Folders;

/// How often an idle runner asks.
const IDLE: Duration = Duration::from_millis(300);
/// How long it waits at most when the platform does not answer.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// How long running builds have to be told of when the runner stops.
const STOP_MAX: Duration = Duration::from_secs(5);

/// What the builds of one runner share.
pub(crate) struct Machine {
    pub(crate) options: RunnerOptions,
    pub(crate) folders: Folders,
    pub(crate) slots: Arc<Slots>,
    pub(crate) toolchain: Toolchain,
    sandbox: Result<Sandbox, String>,
    private: Vec<PathBuf>,
}

impl Machine {
    /// The sandbox, where there is one.
    pub(crate) fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.as_ref().ok()
    }

    /// Why there is no sandbox.
    pub(crate) fn without_sandbox(&self) -> Option<&str> {
        self.sandbox.as_ref().err().map(String::as_str)
    }

    /// Whether a path (without links) belongs to the platform itself.
    pub(crate) fn is_private(&self, path: &Path) -> bool {
        path.starts_with(self.folders.root())
            || self.private.iter().any(|private| path.starts_with(private))
    }

    /// What programs have to leave of the file system, when together they may take so much each.
    pub(crate) fn room_bound(&self, fall_bytes: u64) -> RoomBound {
        let folder = self.folders.root().to_owned();
        let total = room(&folder).map_or(0, |room| room.total_bytes);
        // Whose writing it is cannot be seen: all builds of this machine are allowed for.
        let builds = u64::try_from(self.options.concurrency.max(1)).unwrap_or(u64::MAX);
        RoomBound {
            folder,
            reserve_bytes: self.options.limits.reserve_of(total),
            fall_bytes: fall_bytes.saturating_mul(builds),
        }
    }

    /// Whether a build may begin; removes caches when the file system is nearly full. May take long.
    pub(crate) fn has_room(&self) -> bool {
        let bound = self.room_bound(0);
        let is_enough =
            || room(&bound.folder).map_or(true, |room| room.free_bytes > bound.reserve_bytes);
        self.folders.caches().make_room(is_enough);
        is_enough()
    }

    async fn prepare(options: RunnerOptions) -> Result<Self, RunnerError> {
        let folders = open_folders(&options).await?;
        let toolchain = Toolchain::load(options.toolchain.as_deref())?;
        let sandbox = Sandbox::probe(options.helper.clone(), folders.root()).await;
        match &sandbox {
            Ok(_) => tracing::info!("build commands run in a sandbox"),
            Err(reason) if options.unsandboxed_builds => {
                tracing::warn!(
                    reason,
                    "build commands run WITHOUT a sandbox: they can do whatever this user can"
                );
            }
            Err(reason) => tracing::warn!(reason, "sources with build commands are refused"),
        }
        let private = options
            .private_dirs
            .iter()
            .filter_map(|folder| folder.canonicalize().ok())
            .collect();
        Ok(Self {
            slots: Arc::new(Slots::new(options.concurrency)),
            options,
            folders,
            toolchain,
            sandbox,
            private,
        })
    }
}

/// Opens the folder, which an earlier runner may be about to leave.
async fn open_folders(options: &RunnerOptions) -> Result<Folders, RunnerError> {
    let began = Instant::now();
    let bounds = CacheBounds {
        project_bytes: options.limits.cache_bytes,
        total_bytes: options.limits.caches_total_bytes,
    };
    loop {
        match Folders::open(&options.data_dir, bounds) {
            Err(RunnerError::FolderInUse(_)) if began.elapsed() < STOP_MAX * 2 => {
                tokio::time::sleep(IDLE).await
            }
            other => return other,
        }
    }
}

/// Leases and makes builds until `shutdown` is ready; then running builds are stopped, and told to be
/// made again.
///
/// # Errors
/// When it cannot start: its folder is unusable or in use, the toolchain file is wrong.
pub async fn run(
    options: RunnerOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunnerError> {
    let platform =
        Platform::new(&options.platform_url, &options.runner_token).map_err(RunnerError::Client)?;
    let machine = Arc::new(Machine::prepare(options).await?);
    let stop = CancellationToken::new();
    let mut builds = JoinSet::new();
    tokio::pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => {}
        never = lease_forever(&machine, &platform, &stop, &mut builds) => match never {},
    }
    stop.cancel();
    let ended = async { while builds.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_MAX, ended).await.is_err() {
        tracing::warn!("some builds could not be told of; their leases will run out");
    }
    // Dropping what is left kills its programs.
    builds.shutdown().await;
    Ok(())
}

async fn lease_forever(
    machine: &Arc<Machine>,
    platform: &Platform,
    stop: &CancellationToken,
    builds: &mut JoinSet<()>,
) -> std::convert::Infallible {
    let mut request = LeaseRequest {
        runner: machine.options.name.clone(),
        builders: vec!["runner".to_owned(), "simulated".to_owned()],
        runner_id: Some(machine.folders.runner_id().to_string()),
        starts: true,
    };
    let room = Arc::new(Semaphore::new(machine.options.concurrency.max(1)));
    let mut back_off = IDLE;
    loop {
        let permit = Arc::clone(&room)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        while builds.try_join_next().is_some() {}
        let answer = platform.lease(&request).await;
        // Until an answer has come it holds nothing, not even what an answer that was lost gave it.
        request.starts &= answer.is_err();
        match answer {
            Ok(Some(job)) => {
                nokube_faults::crash_point("runner.leased");
                back_off = IDLE;
                let (machine, platform, stop) =
                    (Arc::clone(machine), platform.clone(), stop.clone());
                builds.spawn(async move {
                    job::run(machine, platform, job, stop).await;
                    drop(permit);
                });
            }
            Ok(None) => {
                back_off = IDLE;
                tokio::time::sleep(IDLE).await;
            }
            Err(error) => {
                // Once per outage is enough to be told of.
                if back_off == IDLE {
                    tracing::warn!(reason = error.text(), "the platform gives no work");
                }
                tokio::time::sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF_MAX);
            }
        }
    }
}
