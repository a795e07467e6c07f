//! Named points at which a test kills the whole platform with SIGKILL.
//!
//! Native crates call [`crash_point`] between two steps whose order matters. Without
//! `NOKUBE_CRASH_AT` in the environment of `nokube up` it does nothing. It never runs destructors or
//! flushes anything: that is its purpose. It is no power failure: what was written stays in the
//! kernel's memory and is read after the restart, flushed or not. That everything is flushed, and in
//! its order, unit tests show where it is written (`durable`, `host/sqlite/flush.rs`).

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use rustix::process::{Pid, Signal, kill_process};

/// Every point, so that a test can meet each. A new one is listed here first.
pub const POINTS: &[&str] = &[
    "runner.leased",
    "runner.cloning",
    "runner.packing",
    "runner.before_result",
    "sidecar.artifact_received",
    "sidecar.app_received",
    "sidecar.app_stored",
    "sidecar.house_asked",
    "target.prepared",
    "target.unpacked",
    "tenants.draining",
    "file.before_rename",
    "file.renamed",
    "layout.blob_written",
    "layout.blob_named",
    "layout.before_index",
    "layout.index_written",
    "sqlite.before_statement",
    "sqlite.after_statement",
    "sqlite.before_flush",
];

/// Points of `nokube-sidecar`, which `nokube up` never meets.
pub const CLUSTER_POINTS: &[&str] = &[
    "cluster.inventory_written",
    "cluster.object_applied",
    "cluster.objects_applied",
    "cluster.object_removed",
];

/// Variable that names the point to die at: `<name>`, or `<name>#<n>` for the n-th time it is met (from 1).
pub const CRASH_AT: &str = "NOKUBE_CRASH_AT";
/// Variable that names a file: made when the point was reached, and no crash happens while it exists,
/// so that the platform lives after its restart.
pub const CRASH_MARKER: &str = "NOKUBE_CRASH_MARKER";
/// Variable in the environment of child processes: the process that is killed before the child itself.
pub const PLATFORM_PID: &str = "NOKUBE_PLATFORM_PID";

/// The variables that a parent hands on to its children, whose environment is otherwise cleared.
pub const VARIABLES: [&str; 3] = [CRASH_AT, CRASH_MARKER, PLATFORM_PID];

struct Plan {
    point: String,
    /// How many times it may still be passed.
    passes: AtomicU32,
    marker: Option<PathBuf>,
    platform: Option<Pid>,
}

/// Kills the platform with SIGKILL when this is the point that `NOKUBE_CRASH_AT` names.
///
/// # Panics
/// In a process that is to crash somewhere, at a point that [`POINTS`] does not list.
pub fn crash_point(name: &str) {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let Some(plan) = PLAN.get_or_init(plan) else {
        return;
    };
    assert!(
        POINTS.contains(&name) || CLUSTER_POINTS.contains(&name),
        "the crash point {name} is not listed in nokube_faults::POINTS"
    );
    if plan.point != name {
        return;
    }
    let take = |left: u32| left.checked_sub(1);
    if plan.passes.fetch_update(Relaxed, Relaxed, take).is_ok() {
        return;
    }
    if let Some(marker) = &plan.marker
        && std::fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(marker)
            .is_err()
    {
        return;
    }
    if let Some(platform) = plan.platform {
        let _ = kill_process(platform, Signal::KILL);
    }
    let _ = kill_process(rustix::process::getpid(), Signal::KILL);
    // The signal is pending; nothing after the point may happen.
    loop {
        std::thread::park();
    }
}

fn plan() -> Option<Plan> {
    let wanted = std::env::var(CRASH_AT).ok()?;
    let (point, time) = wanted.split_once('#').unwrap_or((&wanted, "1"));
    let time: u32 = time.parse().unwrap_or(1);
    let platform = std::env::var(PLATFORM_PID)
        .ok()
        .and_then(|pid| pid.parse().ok())
        .and_then(Pid::from_raw);
    Some(Plan {
        point: point.to_owned(),
        passes: AtomicU32::new(time.saturating_sub(1)),
        marker: std::env::var_os(CRASH_MARKER).map(PathBuf::from),
        platform,
    })
}
