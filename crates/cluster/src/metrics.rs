//! What is counted, in Prometheus' text format (version 0.0.4).

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use nokube_api::sidecar::AppPhase;

/// Kinds that are watched, as they are named in metrics.
pub(crate) const WATCHED: [&str; 4] = ["Deployment", "SpinApp", "Pod", "Event"];

/// Counters of one process.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    reconciliations: AtomicU64,
    failures: AtomicU64,
    repeated_calls: AtomicU64,
    watch_restarts: [AtomicU64; WATCHED.len()],
    namespaces_kept: AtomicU64,
    leading: AtomicBool,
}

impl Metrics {
    /// A deployment was applied or removed, or that was tried.
    pub(crate) fn reconciled(&self, well: bool) {
        self.reconciliations.fetch_add(1, Relaxed);
        if !well {
            self.failures.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn call_repeated(&self) {
        self.repeated_calls.fetch_add(1, Relaxed);
    }

    /// A watch begins again after a failure.
    pub(crate) fn watch_restarted(&self, watched: usize) {
        if let Some(count) = self.watch_restarts.get(watched) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// So many namespaces stay because somebody else's objects are in them.
    pub(crate) fn set_namespaces_kept(&self, count: u64) {
        self.namespaces_kept.store(count, Relaxed);
    }

    pub(crate) fn set_leading(&self, leading: bool) {
        self.leading.store(leading, Relaxed);
    }

    /// All of them as text.
    pub(crate) fn text(&self, phases: &[(AppPhase, usize)]) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
            // Writing to a text never fails.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in values {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let one = |value: u64| [(String::new(), value)];
        metric(
            "nokube_reconciliations_total",
            "counter",
            "Deployments applied or removed, tried ones included.",
            &one(self.reconciliations.load(Relaxed)),
        );
        metric(
            "nokube_reconciliation_failures_total",
            "counter",
            "Those that failed or were refused.",
            &one(self.failures.load(Relaxed)),
        );
        metric(
            "nokube_repeated_calls_total",
            "counter",
            "Calls of the cluster's API that had to be repeated.",
            &one(self.repeated_calls.load(Relaxed)),
        );
        let restarts: Vec<_> = WATCHED
            .iter()
            .zip(&self.watch_restarts)
            .map(|(kind, count)| (format!("{{kind=\"{kind}\"}}"), count.load(Relaxed)))
            .collect();
        metric(
            "nokube_watch_restarts_total",
            "counter",
            "Watches that began again after a failure.",
            &restarts,
        );
        metric(
            "nokube_namespaces_kept",
            "gauge",
            "Namespaces without a deployment that stay for somebody else's objects.",
            &one(self.namespaces_kept.load(Relaxed)),
        );
        let phases: Vec<_> = phases
            .iter()
            .map(|(phase, count)| {
                let labels = format!("{{phase=\"{}\"}}", phase_name(*phase));
                (labels, u64::try_from(*count).unwrap_or(u64::MAX))
            })
            .collect();
        metric(
            "nokube_deployments",
            "gauge",
            "Deployments by phase; known to the leader.",
            &phases,
        );
        metric(
            "nokube_leader",
            "gauge",
            "1 while this process is the one that acts.",
            &one(self.leading.load(Relaxed).into()),
        );
        if let Some(bytes) = resident_bytes() {
            metric(
                "process_resident_memory_bytes",
                "gauge",
                "Resident memory of this process.",
                &one(bytes),
            );
        }
        text
    }
}

fn phase_name(phase: AppPhase) -> &'static str {
    match phase {
        AppPhase::Pending => "pending",
        AppPhase::Deploying => "deploying",
        AppPhase::Running => "running",
        AppPhase::Failed => "failed",
        AppPhase::Stopped => "stopped",
    }
}

/// The second number of /proc/self/statm (proc_pid_statm(5)).
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_was_counted() {
        let metrics = Metrics::default();
        metrics.reconciled(true);
        metrics.reconciled(false);
        metrics.watch_restarted(2);
        metrics.set_leading(true);
        let text = metrics.text(&[(AppPhase::Running, 3)]);
        for line in [
            "nokube_reconciliations_total 2",
            "nokube_reconciliation_failures_total 1",
            "nokube_watch_restarts_total{kind=\"Pod\"} 1",
            "nokube_deployments{phase=\"running\"} 3",
            "nokube_leader 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 16));
    }
}
