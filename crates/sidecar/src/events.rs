//! What the sidecar itself did with a deployment and saw of it, for whoever asks why it is as it is.
//!
//! Kept in memory and bounded: after a restart of the sidecar it begins anew. What the target has seen is
//! the target's to keep ([`crate::Target::events`]); both are told together.

use std::collections::VecDeque;

use nokube_api::deploy::{DeploymentEvent, EventKind};
use nokube_domain::Timestamp;

/// Kept of one deployment: 32 × 512 characters × 1,000 deployments are 16 MB when all of them go wrong in as many ways.
const MOST: usize = 32;
const MESSAGE_CHARS: usize = 512;
/// Told at once, the target's included.
const MOST_TOLD: usize = 200;

/// The newest events of one deployment, oldest first.
#[derive(Debug, Default)]
pub(crate) struct EventRing(VecDeque<Noted>);

/// An event, smaller than it is told.
#[derive(Debug)]
struct Noted {
    at_ms: i64,
    kind: EventKind,
    reason: &'static str,
    message: Box<str>,
    count: u32,
}

impl EventRing {
    /// Notes an event. The same one again is counted, and is the newest then.
    pub(crate) fn note(
        &mut self,
        kind: EventKind,
        reason: &'static str,
        message: &str,
        now: Timestamp,
    ) {
        let message: String = message.chars().take(MESSAGE_CHARS).collect();
        let same = |event: &Noted| {
            event.kind == kind && event.reason == reason && *event.message == *message
        };
        let before = self
            .0
            .iter()
            .position(same)
            .and_then(|at| self.0.remove(at));
        let count = before.map_or(1, |event| event.count.saturating_add(1));
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        // A few are all there are of most.
        self.0.reserve_exact(1);
        self.0.push_back(Noted {
            at_ms: now.millis(),
            kind,
            reason,
            message: message.into(),
            count,
        });
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<DeploymentEvent> {
        let told = |event: &Noted| DeploymentEvent {
            time: Timestamp::from_millis(event.at_ms).to_string(),
            kind: event.kind,
            reason: event.reason.to_owned(),
            message: event.message.to_string(),
            object: None,
            count: event.count,
        };
        self.0.iter().map(told).collect()
    }
}

/// Events of the sidecar and of the target by time, the newest that may be told. An event without a time that can be
/// read counts as old.
pub(crate) fn by_time(
    own: Vec<DeploymentEvent>,
    of_target: Vec<DeploymentEvent>,
) -> Vec<DeploymentEvent> {
    let mut all = own;
    all.extend(of_target);
    all.sort_by_key(|event| Timestamp::parse(&event.time).map_or(i64::MIN, Timestamp::millis));
    all.drain(..all.len().saturating_sub(MOST_TOLD));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(ring: &mut EventRing, message: &str, at_ms: i64) {
        let now = Timestamp::from_millis(at_ms);
        ring.note(EventKind::Warning, "Retrying", message, now);
    }

    fn messages(events: &[DeploymentEvent]) -> Vec<(&str, u32)> {
        events
            .iter()
            .map(|event| (event.message.as_str(), event.count))
            .collect()
    }

    #[test]
    fn the_same_again_is_counted_and_becomes_the_newest() {
        let mut ring = EventRing::default();
        note(&mut ring, "one", 1_000);
        note(&mut ring, "two", 2_000);
        note(&mut ring, "one", 3_000);
        assert_eq!(messages(&ring.all()), [("two", 1), ("one", 2)]);
        assert_eq!(
            ring.all()[1].time,
            Timestamp::from_millis(3_000).to_string()
        );
    }

    #[test]
    fn only_the_newest_are_kept_and_none_is_long() {
        let mut ring = EventRing::default();
        for n in 0..100 {
            note(&mut ring, &format!("{n} {}", "é".repeat(1_000)), n);
        }
        let kept = ring.all();
        assert_eq!(kept.len(), MOST);
        assert!(kept[0].message.starts_with("68 "));
        assert!(
            kept.iter()
                .all(|event| event.message.chars().count() == MESSAGE_CHARS)
        );
    }

    #[test]
    fn events_of_both_are_told_in_order_of_time() {
        let mut ring = EventRing::default();
        note(&mut ring, "own", 1_500);
        let of_target = |time: &str, message: &str| DeploymentEvent {
            time: time.to_owned(),
            kind: EventKind::Normal,
            reason: "Pulled".to_owned(),
            message: message.to_owned(),
            object: Some("Pod/web-1".to_owned()),
            count: 1,
        };
        let told = by_time(
            ring.all(),
            vec![
                of_target("1970-01-01T00:00:02Z", "later"),
                of_target("1970-01-01T00:00:01Z", "earlier"),
                of_target("yesterday", "without a time"),
            ],
        );
        let order: Vec<_> = told.iter().map(|event| event.message.as_str()).collect();
        assert_eq!(order, ["without a time", "earlier", "own", "later"]);
        let many = (0..300).map(|n| of_target("2027-01-15T08:00:00Z", &n.to_string()));
        assert_eq!(by_time(ring.all(), many.collect()).len(), MOST_TOLD);
    }
}
