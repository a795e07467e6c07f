//! When what was written is written again although nothing else is wanted. Of all that is made for a
//! deployment only its workload is watched; whatever else somebody changes or removes is mended by this.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::{App, Seen};

/// Between two times for one deployment, more or less by a quarter: those that were written together are
/// not written together again. A thousand deployments of ten objects are 17 calls a second.
pub(crate) const EVERY: Duration = Duration::from_secs(10 * 60);
/// Whoever changes a workload again and again is followed no faster, and what fails is not tried again
/// sooner.
const SOONEST: Duration = Duration::from_secs(30);
/// Between two of all deployments.
const APART: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Again {
    /// No deployment before this.
    next: Option<Instant>,
    hasher: RandomState,
}

impl Again {
    /// A deployment's own share of a time, the same each time the process asks.
    fn part(&self, deployment_id: &str, of: Duration) -> Duration {
        let hash = self.hasher.hash_one(deployment_id);
        let thousandths = u32::try_from(hash % 1000).unwrap_or_default();
        of * thousandths / 1000
    }
}

impl App {
    /// Somebody else has changed what is wanted of the workload since we wrote it.
    fn is_changed(&self) -> bool {
        match (&self.workload, self.written) {
            (Some(workload), Some((_, written))) => workload.object_generation > written,
            // It is not known what we wrote: before a restart.
            _ => false,
        }
    }
}

impl Seen {
    /// A deployment was written in full; with the workload's own generation, where there is one.
    pub(crate) fn written(&self, deployment_id: &str, object_generation: Option<i64>) {
        let mut state = self.lock();
        let part = state.again.part(deployment_id, EVERY / 2);
        if let Some(app) = state.apps.get_mut(deployment_id) {
            let now = Instant::now();
            app.written = object_generation.map(|generation| (now, generation));
            app.again_at = Some(now + EVERY - EVERY / 4 + part);
        }
    }

    /// Whether it is time to write a deployment again; who is told so does it. `scales` when the cluster
    /// itself changes its workload.
    pub(crate) fn is_to_be_written(&self, deployment_id: &str, scales: bool) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        let part = state.again.part(deployment_id, EVERY);
        let free = state.again.next.is_none_or(|next| next <= now);
        let Some(app) = state.apps.get_mut(deployment_id) else {
            return false;
        };
        let changed =
            !scales && app.is_changed() && app.written.is_none_or(|(at, _)| at + SOONEST <= now);
        // After a start all of them are due within the time, and not at once.
        let due = *app.again_at.get_or_insert_with(|| now + part) <= now;
        if !free || !(changed || due) {
            return false;
        }
        if changed {
            tracing::info!(
                deployment = deployment_id,
                "somebody has changed its workload, which is written again"
            );
        }
        app.again_at = Some(now + SOONEST);
        app.written = app.written.map(|(_, generation)| (now, generation));
        state.again.next = Some(now + APART);
        true
    }
}
