//! What there is of a deployment, out of what was written and what the watches have seen: pure.
//!
//! An earlier revision is kept serving by the cluster itself while a new one is not ready, so nothing is
//! ever said to serve nothing once something was applied: there is nothing for the sidecar to bring back.

use std::collections::BTreeSet;

use nokube_api::sidecar::{AppSpec, ArtifactKind, DesiredState};
use nokube_sidecar::{Health, Observed};

use crate::api::known_kind;
use crate::inventory::{Applied, Entry};
use crate::seen::{App, Pod, Template, Trouble, Warning, told};

/// Clocks of the cluster and of this machine may be apart by some seconds.
const CLOCKS_APART_MS: i64 = 5_000;

/// What there is.
pub(super) fn observe(app: &AppSpec, entry: &Entry, seen: &App) -> Observed {
    let applied = entry.applied.as_ref();
    // Somebody else has removed it: what was applied is so no more.
    let is_missing = applied.is_some_and(|applied| {
        applied.desired == DesiredState::Running && !seen.has_workload(applied.generation)
    });
    let ready = applied.map_or(0, |applied| {
        current(applied, seen).filter(|pod| pod.ready).count()
    });
    Observed {
        present: true,
        applied: applied
            .filter(|_| !is_missing)
            .map(|applied| applied.generation),
        serving: applied.map(|applied| applied.generation),
        stale: false,
        health: match applied {
            Some(applied) if !is_missing => health(app, entry, applied, seen, ready),
            _ => Health::Progressing(None),
        },
        replicas_ready: u32::try_from(ready).unwrap_or(u32::MAX),
        objects: kinds(entry),
    }
}

/// Whether no pod of an earlier making is left.
pub(super) fn is_alone(entry: &Entry, seen: &App) -> bool {
    entry
        .applied
        .as_ref()
        .is_some_and(|applied| seen.pods.values().all(|pod| is_current(applied, pod)))
}

fn health(app: &AppSpec, entry: &Entry, applied: &Applied, seen: &App, ready: usize) -> Health {
    if applied.desired == DesiredState::Stopped {
        return match seen.pods.len() {
            0 => Health::Stopped,
            1 => Health::Progressing(Some("is being stopped: 1 copy is ending".to_owned())),
            pods => {
                Health::Progressing(Some(format!("is being stopped: {pods} copies are ending")))
            }
        };
    }
    let spec = &app.spec;
    let copies = if spec.enable_autoscaling {
        spec.min_replicas
    } else {
        spec.replicas
    };
    let copies = usize::try_from(copies).unwrap_or(usize::MAX).max(1);
    // Once all were ready, one that answers is enough: the others come back, or the message would
    // change with every restart of one.
    let was_reached = seen.reached == Some(applied.generation);
    if ready >= copies || (was_reached && ready > 0) {
        return Health::Ready;
    }
    let (message, fails) = reason(entry, applied, seen);
    let message = match ready {
        0 => message,
        _ => format!("{ready} of {copies} copies are ready: {message}"),
    };
    let overdue = seen
        .workload
        .as_ref()
        .is_some_and(|workload| workload.overdue);
    if fails || overdue {
        Health::Failed(message)
    } else {
        Health::Progressing(Some(message))
    }
}

/// Why it is not ready, and whether it will hardly get better by itself.
fn reason(entry: &Entry, applied: &Applied, seen: &App) -> (String, bool) {
    let pods = || current(applied, seen).filter(|pod| !pod.ready);
    let warned = |reasons: &[&str]| newest(applied, seen, reasons);
    if let Some(why) = pods().find_map(|pod| match &pod.trouble {
        Some(Trouble::Fails(why)) => Some(why.to_string()),
        _ => None,
    }) {
        return (why, true);
    }
    if pods().next().is_none() {
        let trouble = seen
            .workload
            .as_ref()
            .and_then(|workload| workload.trouble.as_deref());
        let said = warned(&[]).map(|warning| &*warning.message).or(trouble);
        return match said {
            Some(said) if said.contains("exceeded quota") => (
                told("the quota of the namespace is used up", said).into(),
                true,
            ),
            Some(said) if said.contains("denied") || said.contains("violates") => (
                told("the cluster's admission rules refuse its copies", said).into(),
                true,
            ),
            Some(said) => (told("its copies cannot be made", said).into(), false),
            None if entry.artifact == ArtifactKind::Spin => {
                ("waiting for SpinKube to make its copies".to_owned(), false)
            }
            None => (
                "waiting for the cluster to make its copies".to_owned(),
                false,
            ),
        };
    }
    if pods().any(|pod| pod.trouble == Some(Trouble::Unanswered)) {
        return match warned(&["Unhealthy"]) {
            Some(warning) => (
                told("it does not answer its probes", &warning.message).into(),
                false,
            ),
            None => (
                "it has not answered its readiness probe yet".to_owned(),
                false,
            ),
        };
    }
    let kept_from = [
        "FailedMount",
        "FailedAttachVolume",
        "FailedCreatePodSandBox",
    ];
    if let Some(warning) = warned(&kept_from) {
        let why = told("its container cannot be made", &warning.message);
        return (why.into(), false);
    }
    let waits = pods().find_map(|pod| match &pod.trouble {
        Some(Trouble::Waits(why)) => Some(why.to_string()),
        _ => None,
    });
    (waits.unwrap_or_else(|| "it is starting".to_owned()), false)
}

/// The newest complaint since it was applied, of these reasons or of any.
fn newest<'a>(applied: &Applied, seen: &'a App, reasons: &[&str]) -> Option<&'a Warning> {
    seen.warnings
        .iter()
        .filter(|warning| warning.at_ms >= applied.at_ms - CLOCKS_APART_MS)
        .filter(|warning| reasons.is_empty() || reasons.contains(&&*warning.reason))
        .max_by_key(|warning| warning.at_ms)
}

fn is_current(applied: &Applied, pod: &Pod) -> bool {
    pod.template
        == Template {
            revision: applied.revision,
            restarted: applied.restarted,
        }
}

/// Pods of what was applied last that are to stay.
fn current<'a>(applied: &'a Applied, seen: &'a App) -> impl Iterator<Item = &'a Pod> {
    seen.pods
        .values()
        .filter(|pod| is_current(applied, pod) && !pod.going)
}

/// Kinds of what was made, the namespace included.
fn kinds(entry: &Entry) -> Vec<&'static str> {
    let made = entry
        .made
        .iter()
        .filter_map(|object| known_kind(object.split('/').next()?));
    let kinds: BTreeSet<&str> = made.chain(["Namespace"]).collect();
    kinds.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::spec;

    const AT_MS: i64 = 1_000_000;

    fn entry(app: &AppSpec) -> Entry {
        Entry {
            applied: Some(Applied {
                generation: app.generation,
                revision: app.revision,
                desired: app.desired,
                restarted: 0,
                scales: false,
                at_ms: AT_MS,
                node_port: None,
            }),
            ..Entry::new(app)
        }
    }

    fn pod(revision: u32, trouble: Option<Trouble>) -> Pod {
        Pod {
            template: Template {
                revision,
                restarted: 0,
            },
            uid: "u".into(),
            container: "api".into(),
            ready: trouble.is_none(),
            going: false,
            restarts: 0,
            trouble,
        }
    }

    /// With a workload that is there, and these pods.
    fn seen(pods: Vec<Pod>) -> App {
        let mut seen = crate::seen::tests::with_workload(2);
        for (number, pod) in pods.into_iter().enumerate() {
            seen.pods.insert(&format!("api-1-{number}"), pod);
        }
        seen
    }

    fn warning(reason: &str, message: &str, at_ms: i64) -> Warning {
        Warning {
            reason: reason.into(),
            message: message.into(),
            object: "ReplicaSet/api-1".into(),
            at_ms,
            count: 1,
        }
    }

    #[test]
    fn pods_of_an_earlier_revision_do_not_make_it_ready() {
        let app = spec(2);
        let old = observe(&app, &entry(&app), &seen(vec![pod(1, None)]));
        assert!(matches!(old.health, Health::Progressing(_)));
        assert_eq!(old.replicas_ready, 0);
        let new = observe(&app, &entry(&app), &seen(vec![pod(1, None), pod(2, None)]));
        assert_eq!(new.health, Health::Ready);
        assert!(!is_alone(
            &entry(&app),
            &seen(vec![pod(1, None), pod(2, None)])
        ));
    }

    #[test]
    fn a_workload_that_somebody_removed_is_to_be_applied_again() {
        let app = spec(2);
        let gone = observe(&app, &entry(&app), &App::default());
        assert_eq!((gone.present, gone.applied), (true, None));
        // Nothing is to be brought back by an earlier generation.
        assert_eq!(gone.serving, Some(2));
    }

    #[test]
    fn all_copies_have_to_be_ready_at_first_and_one_later() {
        let mut app = spec(2);
        app.spec.replicas = 2;
        let half = || vec![pod(2, None), pod(2, Some(Trouble::Unanswered))];
        let first = observe(&app, &entry(&app), &seen(half()));
        assert_eq!(
            first.health,
            Health::Progressing(Some(
                "1 of 2 copies are ready: it has not answered its readiness probe yet".to_owned()
            ))
        );
        let mut later = seen(half());
        later.reached = Some(2);
        assert_eq!(observe(&app, &entry(&app), &later).health, Health::Ready);
    }

    #[test]
    fn a_used_up_quota_is_told_and_an_old_complaint_is_not() {
        let app = spec(2);
        let mut there = seen(vec![]);
        let quota = "pods \"x\" is forbidden: exceeded quota: nokube";
        there
            .warnings
            .push_back(warning("FailedCreate", quota, AT_MS - 60_000));
        assert!(matches!(
            observe(&app, &entry(&app), &there).health,
            Health::Progressing(Some(message)) if message.starts_with("waiting for SpinKube")
        ));
        there
            .warnings
            .push_back(warning("FailedCreate", quota, AT_MS));
        assert!(matches!(
            observe(&app, &entry(&app), &there).health,
            Health::Failed(message) if message.starts_with("the quota of the namespace is used up")
        ));
    }

    #[test]
    fn a_failing_probe_is_told_with_the_probes_answer() {
        let app = spec(2);
        let mut there = seen(vec![pod(2, Some(Trouble::Unanswered))]);
        there.warnings.push_back(warning(
            "Unhealthy",
            "Readiness probe failed: HTTP probe failed with statuscode: 500",
            AT_MS + 1,
        ));
        assert!(matches!(
            observe(&app, &entry(&app), &there).health,
            Health::Progressing(Some(message)) if message.contains("statuscode: 500")
        ));
    }

    #[test]
    fn it_is_stopped_when_the_last_pod_is_gone() {
        let mut app = spec(2);
        app.desired = DesiredState::Stopped;
        let ending = observe(&app, &entry(&app), &seen(vec![pod(2, None)]));
        assert!(matches!(ending.health, Health::Progressing(Some(_))));
        let stopped = observe(&app, &entry(&app), &App::default());
        assert_eq!(stopped.health, Health::Stopped);
        assert_eq!(stopped.applied, Some(2));
    }

    #[test]
    fn kinds_are_told_once() {
        let app = spec(2);
        let mut entry = entry(&app);
        entry.made = ["Secret/a", "Secret/b", "Service/a"]
            .map(str::to_owned)
            .into();
        assert_eq!(kinds(&entry), ["Namespace", "Secret", "Service"]);
    }
}
