//! What is loaded when it is first asked: applications that were ready before a start, and those that
//! nobody asked for long.
//!
//! The front tells of the first request for such a host and lets it wait
//! ([`HostTable::next_asked`](crate::platform::front::hosts::HostTable::next_asked)); the sidecar is told
//! that the deployment is asked for and applies it again, with its secrets. It is not probed then: it was
//! ready once, and the request is answered all the sooner.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Weak;
use std::time::Duration;

use nokube_api::sidecar::AppSpec;
use nokube_artifact::Digest;
use nokube_keys::Secret;
use nokube_sidecar::{Adopted, Health, Observed, TargetError};
use tokio::time::MissedTickBehavior;

use super::files::on_disk;
use super::prepare::NATIVE;
use super::state::Dormant;
use super::{LocalTarget, STOPPED, is_to_be_stopped, objects};
use crate::platform::front::hosts::HostState;

/// Idle applications are looked for ten times within the time they may be idle, but not more often …
const LEAST_PAUSE: Duration = Duration::from_millis(100);
/// … nor less often than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Puts applications aside for as long as the target lives.
pub(super) async fn put_idle_aside(target: Weak<LocalTarget>) {
    let Some(idle) = target.upgrade().map(|target| target.options.idle) else {
        return;
    };
    let mut looks = tokio::time::interval((idle / 10).clamp(LEAST_PAUSE, LONGEST_PAUSE));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(target) = target.upgrade() else {
            return;
        };
        for id in target.options.hosts.idle(idle) {
            target.put_aside(&id).await;
        }
    }
}

impl LocalTarget {
    async fn put_aside(&self, id: &str) {
        let turn = self.apps.turn(id);
        // Else something is being put in its place.
        let Ok(_turn) = turn.try_lock() else {
            return;
        };
        let (hosts, idle) = (&self.options.hosts, self.options.idle);
        if !self.apps.put_aside(id, || hosts.fall_asleep(id, idle)) {
            return;
        }
        match self.options.control.remove(id).await {
            Ok(()) => tracing::debug!(deployment = id, "put aside"),
            // A process that has ended has nothing of it; one that hangs will be told again by the wake.
            Err(error) => tracing::debug!(deployment = id, %error, "put aside, but not told so"),
        }
    }

    /// Loads what was put aside.
    pub(super) async fn wake(
        &self,
        app: &AppSpec,
        secrets: &BTreeMap<String, Secret>,
        hosts: Vec<String>,
    ) -> Result<(), TargetError> {
        let outcome = self.turns.wake(self.run(app, secrets, hosts, true)).await;
        if let Err(TargetError::Refused(message)) = &outcome {
            tracing::warn!(
                deployment = app.deployment_id,
                message,
                "what was ready is refused now"
            );
            self.apps.lost(&app.deployment_id, app.generation);
        }
        outcome
    }

    /// Gives an adopted deployment its hosts. What had been reached is left as it was: stopped, or dormant
    /// when everything that it needs is `prepared`; everything else is for the sidecar to apply.
    pub(super) fn take_up(&self, adopted: &Adopted, prepared: bool) {
        let app = &adopted.wanted;
        let id = &app.deployment_id;
        let Ok(hosts) = self.options.addresses.hosts(app) else {
            return;
        };
        // What is in conflict is said when it is applied.
        if self.claim(app, &hosts).is_err() {
            return;
        }
        if is_to_be_stopped(app) {
            self.options.hosts.set(id, HostState::Down(STOPPED));
            if adopted.settled {
                self.apps.stopped(id, app.generation);
            }
        } else if adopted.settled && prepared {
            let dormant = Dormant {
                generation: app.generation,
                hosts,
                digest: app.digest.clone(),
                asked: false,
            };
            self.apps.adopt(id, dormant);
            self.options.hosts.set(id, HostState::Dormant);
        }
    }

    /// The deployments whose artifact is unpacked and compiled for this engine. After an upgrade none is: they
    /// are compiled at once then, not when somebody waits.
    pub(super) async fn prepared_before(&self, apps: &[Adopted]) -> BTreeSet<String> {
        let dirs: Vec<_> = apps
            .iter()
            .filter(|app| app.settled && !is_to_be_stopped(&app.wanted))
            .filter_map(|app| {
                let digest: Digest = app.wanted.digest.parse().ok()?;
                let id = &app.wanted.deployment_id;
                let dir = self.options.outside.app(id).join(digest.hex());
                Some((id.clone(), dir.join(NATIVE)))
            })
            .collect();
        let ending = self.options.cache.ending();
        on_disk(move || {
            dirs.into_iter()
                .filter(|(_, dir)| has_file_ending_in(dir, &ending))
                .map(|(id, _)| id)
                .collect()
        })
        .await
        .unwrap_or_default()
    }
}

/// What there is of a dormant deployment. As long as it is the wanted generation it counts as serving; when
/// another is wanted it does not, so that it is brought back first and serves until that one is ready.
pub(super) fn observed(app: &AppSpec, generation: u64, asked: bool) -> Observed {
    let is_wanted = generation == app.generation;
    Observed {
        present: true,
        applied: Some(generation),
        serving: is_wanted.then_some(generation),
        stale: false,
        health: match (is_wanted, asked) {
            (true, false) => Health::Ready,
            (true, true) => Health::Asked,
            (false, _) => Health::Progressing(None),
        },
        replicas_ready: if is_wanted { app.spec.replicas } else { 0 },
        objects: objects(),
    }
}

fn has_file_ending_in(dir: &Path, ending: &str) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(ending))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::address::tests::spec;
    use super::*;

    #[test]
    fn what_is_dormant_counts_as_ready_until_it_is_asked_or_something_newer_is_wanted() {
        let mut app = spec();
        let there = observed(&app, 1, false);
        assert_eq!((there.applied, there.serving), (Some(1), Some(1)));
        assert_eq!(there.health, Health::Ready);
        assert_eq!(observed(&app, 1, true).health, Health::Asked);
        app.generation = 2;
        let there = observed(&app, 1, false);
        assert_eq!((there.applied, there.serving), (Some(1), None));
    }

    #[test]
    fn only_modules_for_this_engine_count_as_prepared() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("00-old.cwasm"), "code").unwrap();
        assert!(has_file_ending_in(dir.path(), "-old.cwasm"));
        assert!(!has_file_ending_in(dir.path(), "-new.cwasm"));
        assert!(!has_file_ending_in(&dir.path().join("none"), "-old.cwasm"));
    }
}
