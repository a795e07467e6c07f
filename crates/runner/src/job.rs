//! One leased build, from the acknowledged start to the acknowledged result.
//!
//! Whatever happens on the way (cancelled, lease lost, too slow, the runner told to stop), the build's
//! programs are dead and its folder is gone when [`run`] returns.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nokube_api::runner::{BuildOutcome, BuildResult, Job};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::caches::CacheUse;
use crate::client::{CallError, Platform};
use crate::error::{BuildError, BuildStep};
use crate::log::BuildLog;
use crate::sandbox::slots::Slot;
use crate::workdir::WorkDir;
use crate::worker::Machine;
use crate::{build, caches, detect, pack, simulated, source};

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A platform that is away for longer has given the lease to someone else.
const RESULT_MAX: Duration = Duration::from_secs(600);
/// Lines still on their way when the build has ended.
const LOG_MAX: Duration = Duration::from_secs(60);

/// What the steps of one build share.
pub(crate) struct Build {
    pub(crate) machine: Arc<Machine>,
    pub(crate) platform: Platform,
    pub(crate) job: Job,
    pub(crate) work: WorkDir,
    /// What earlier builds of the project left for this one.
    pub(crate) cache: CacheUse,
    /// Which user it is.
    pub(crate) slot: Slot,
    pub(crate) log: BuildLog,
    /// Cancelled when nobody wants the build any more, and in any case at its end: what runs in
    /// threads of its own looks at it.
    pub(crate) cancel: CancellationToken,
    commit: Mutex<Option<String>>,
}

impl Build {
    /// Remembers the commit, for the result.
    pub(crate) fn set_commit(&self, commit: &str) {
        *self.commit.lock().unwrap_or_else(PoisonError::into_inner) = Some(commit.to_owned());
    }

    /// The user that its files must belong to, when that is not the runner's own.
    pub(crate) fn owner(&self) -> Option<u32> {
        self.machine
            .sandbox()
            .and_then(|sandbox| sandbox.owner(&self.slot))
    }

    /// The commit that is built, once it is known.
    pub(crate) fn commit(&self) -> Option<String> {
        self.commit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Builds it and tells the platform how it went.
pub(crate) async fn run(
    machine: Arc<Machine>,
    platform: Platform,
    job: Job,
    shutdown: CancellationToken,
) {
    let lost = CancellationToken::new();
    let Some(lease_seconds) = start(&platform, &job, &shutdown).await else {
        return;
    };
    tracing::info!(
        build = job.build_id,
        builder = job.builder,
        attempt = job.attempt,
        "build started"
    );
    // Ends with this future, however that ends.
    let mut beating = JoinSet::new();
    beating.spawn(beat(
        platform.clone(),
        job.build_id.clone(),
        job.lease_id.clone(),
        lease_seconds,
        lost.clone(),
    ));
    let limit = machine.options.limits.log_lines;
    let (log, shipped) = BuildLog::start(
        platform.clone(),
        job.build_id.clone(),
        job.lease_id.clone(),
        limit,
        lost.clone(),
    );
    let (build_id, lease_id) = (job.build_id.clone(), job.lease_id.clone());
    let (outcome, commit) = supervise(machine, &platform, job, log, &lost, &shutdown).await;
    // Every line before the result: a finished build's log is complete.
    drop(tokio::time::timeout(LOG_MAX, shipped).await);
    if let Some(outcome) = outcome {
        nokube_faults::crash_point("runner.before_result");
        let result = BuildResult {
            lease_id,
            outcome,
            commit,
        };
        tell(&platform, &build_id, &result).await;
    }
    drop(beating);
    tracing::info!(build = build_id, "build ended");
}

/// Acknowledges the lease. Nothing when it is not ours any more.
async fn start(platform: &Platform, job: &Job, shutdown: &CancellationToken) -> Option<u64> {
    let began = Instant::now();
    let mut pause = RETRY_FIRST;
    while began.elapsed() < Duration::from_secs(job.lease_seconds) && !shutdown.is_cancelled() {
        match platform.start(&job.build_id, &job.lease_id).await {
            Ok(state) => return Some(state.lease_seconds),
            Err(CallError::Gone) => return None,
            Err(error) => tracing::warn!(
                build = job.build_id,
                reason = error.text(),
                "the start is not acknowledged yet"
            ),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
    None
}

/// Keeps the lease; cancels `lost` when it is gone, or must have run out.
async fn beat(
    platform: Platform,
    build_id: String,
    lease_id: String,
    mut lease_seconds: u64,
    lost: CancellationToken,
) {
    let mut kept = Instant::now();
    let mut pause = Duration::from_secs(lease_seconds) / 3;
    loop {
        tokio::time::sleep(pause).await;
        let asked = Instant::now();
        match platform.heartbeat(&build_id, &lease_id).await {
            Ok(state) => {
                kept = asked;
                lease_seconds = state.lease_seconds;
                pause = Duration::from_secs(lease_seconds) / 3;
            }
            Err(CallError::Gone) => break,
            Err(error) => {
                tracing::warn!(
                    build = build_id,
                    reason = error.text(),
                    "a heartbeat was not answered"
                );
                if kept.elapsed() > Duration::from_secs(lease_seconds) {
                    break;
                }
                // More often than usual: the platform may come back just before the lease ends.
                pause = (Duration::from_secs(lease_seconds) / 10).min(RETRY_MAX);
            }
        }
    }
    tracing::info!(
        build = build_id,
        "the build was cancelled, or its lease is lost"
    );
    lost.cancel();
}

/// Runs the build until it ends or must end; cleans up. No outcome when there is nobody to tell.
async fn supervise(
    machine: Arc<Machine>,
    platform: &Platform,
    job: Job,
    log: BuildLog,
    lost: &CancellationToken,
    shutdown: &CancellationToken,
) -> (Option<BuildOutcome>, Option<String>) {
    let work = match machine.folders.work(&job.build_id, &job.lease_id) {
        Ok(work) => work,
        Err(error) => {
            let error = BuildError::io("cannot make a folder on the build machine")(error);
            return (conclude(Err(error), &log).await, None);
        }
    };
    let limit = Duration::from_secs(job.timeout_seconds);
    let cancel = lost.child_token();
    let cache = machine.folders.caches().of(job.project_id);
    let slot = machine
        .slots
        .take(job.project_id, caches::owner(&cache.folder()));
    let build = Build {
        machine,
        platform: platform.clone(),
        job,
        work,
        cache,
        slot,
        log,
        cancel: cancel.clone(),
        commit: Mutex::default(),
    };
    let ended = tokio::select! {
        ended = make(&build) => ended,
        () = lost.cancelled() => Err(BuildError::Lost),
        () = tokio::time::sleep(limit) => Err(BuildError::Source(format!("the build took longer than its limit of {} seconds", limit.as_secs()))),
        () = shutdown.cancelled() => Err(BuildError::Stopped),
    };
    cancel.cancel();
    let outcome = conclude(ended, &build.log).await;
    let commit = build.commit();
    build.work.remove().await;
    drop((build.cache, build.slot));
    let (machine, project_id) = (build.machine, build.job.project_id);
    // A large cache takes a while to be measured: the result need not wait.
    tokio::task::spawn_blocking(move || machine.folders.caches().settle(project_id));
    (outcome, commit)
}

/// The steps of a build. Dropping this future stops every program it started.
async fn make(build: &Build) -> BuildStep<String> {
    let job = &build.job;
    let version = env!("CARGO_PKG_VERSION");
    build
        .log
        .system(format!(
            "build of {} by {} (nokube {version}), attempt {}",
            job.image_full_name, build.machine.options.name, job.attempt
        ))
        .await;
    if job.builder == "simulated" {
        return simulated::make(build).await;
    }
    let machine = Arc::clone(&build.machine);
    if !tokio::task::spawn_blocking(move || machine.has_room())
        .await
        .map_err(|_| BuildError::Lost)?
    {
        return Err(BuildError::Platform(
            "the build machine's disk is nearly full; its operator has to make room".to_owned(),
        ));
    }
    let source = source::fetch(build).await?;
    let mut found = detect::detect(build, &source).await?;
    let targets = build::build(build, &source, &mut found).await?;
    let packed = pack::pack(build, &source, &found).await;
    targets.move_out();
    packed
}

/// The last lines of the log, and what the platform is told.
async fn conclude(ended: BuildStep<String>, log: &BuildLog) -> Option<BuildOutcome> {
    match ended {
        Ok(digest) => {
            log.system(format!("build succeeded: {digest}")).await;
            Some(BuildOutcome::Success { digest })
        }
        Err(BuildError::Source(message)) => {
            let error_message = crate::log::clean(&message);
            log.system(format!("build failed: {error_message}")).await;
            Some(BuildOutcome::Failed {
                error_message,
                retryable: false,
            })
        }
        Err(BuildError::Platform(message)) => {
            let error_message = crate::log::clean(&message);
            log.system(format!(
                "build failed, not by its source's fault: {error_message}"
            ))
            .await;
            Some(BuildOutcome::Failed {
                error_message,
                retryable: true,
            })
        }
        Err(BuildError::Stopped) => {
            log.system("the build runner was stopped: the build waits for the next one")
                .await;
            Some(BuildOutcome::GivenBack)
        }
        Err(BuildError::Lost) => None,
    }
}

/// Tells the result until the platform has it or says that the lease is lost.
async fn tell(platform: &Platform, build_id: &str, result: &BuildResult) {
    let began = Instant::now();
    let mut pause = RETRY_FIRST;
    while began.elapsed() < RESULT_MAX {
        match platform.result(build_id, result).await {
            Ok(()) | Err(CallError::Gone) => return,
            Err(CallError::Refused(reason)) => {
                tracing::error!(build = build_id, reason, "the platform refused the result");
                return;
            }
            Err(CallError::Unreachable(reason)) => {
                tracing::warn!(build = build_id, reason, "the result will be told again")
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}
