//! What every process of the platform does at its start and end: its log, its runtime, its signals,
//! and dying with its parent.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Which variable says how much is logged, such as `debug` or `nokube_sidecar=debug`.
pub(crate) const LOG_VARIABLE: &str = "NOKUBE_LOG";

/// Threads of a runtime that serves: two keep one slow request from delaying the rest, and each more
/// costs memory.
const WORKERS: usize = 2;
/// Blocking work is the disk's; more threads than this only hold memory.
const BLOCKING_THREADS: usize = 16;
const BLOCKING_IDLE: Duration = Duration::from_secs(5);

/// Sends the log to standard error.
pub(crate) fn start_log() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    // A second subscriber is refused; the first goes on.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .try_init();
}

/// Sets a process up that makes files for others: modes are said where files are made, and an inherited
/// mask must not take more away.
pub(crate) fn start_serving() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    super::confine::raise_open_files();
}

/// A runtime for a process that serves.
pub(crate) fn serving_runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_IDLE)
        .enable_all()
        .build()
        .context("no runtime can be started")
}

/// Cancelled by Ctrl-C or SIGTERM. A second one ends the process at once.
pub(crate) fn shutdown_signal() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be caught")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be caught")?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if cancelled.is_cancelled() {
                // 128 + SIGINT, as shells have it.
                std::process::exit(130);
            }
            cancelled.cancel();
        }
    });
    Ok(token)
}

/// Makes this process end (without a last word) when `parent` does. Must be called after the user id
/// was changed: that forgets it (prctl(2), `PR_SET_PDEATHSIG`).
pub(crate) fn die_with(parent: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .context("this process cannot be bound to its parent")?;
    // The parent may have ended before that.
    let expected = i32::try_from(parent).ok().and_then(Pid::from_raw);
    if getppid() != expected {
        anyhow::bail!("the parent process has ended");
    }
    Ok(())
}
