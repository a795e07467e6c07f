//! Named points at which a test kills the whole platform, as a power failure would.
//!
//! Native crates call [`crash_point`] between two steps whose order matters. Without
//! `NOKUBE_CRASH_AT` in the environment of `nokube up` it does nothing. It never runs destructors or
//! flushes anything: that is its purpose.

use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};

/// Variable that names the point to die at.
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
    marker: Option<PathBuf>,
    platform: Option<Pid>,
}

/// Kills the platform with SIGKILL when this is the point that `NOKUBE_CRASH_AT` names.
pub fn crash_point(name: &str) {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let Some(plan) = PLAN.get_or_init(plan) else {
        return;
    };
    if plan.point != name {
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
    let point = std::env::var(CRASH_AT).ok()?;
    let platform = std::env::var(PLATFORM_PID)
        .ok()
        .and_then(|pid| pid.parse().ok())
        .and_then(Pid::from_raw);
    Some(Plan {
        point,
        marker: std::env::var_os(CRASH_MARKER).map(PathBuf::from),
        platform,
    })
}
