//! What to do next for one deployment: a pure function of what is wanted and what is there.

use crate::target::{Health, Observed};

/// What is wanted of one deployment, and what is known about the attempts so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The newest generation.
    pub generation: u64,
    /// It shall be removed.
    pub deleted: bool,
    /// That generation was refused by the target: trying again cannot help.
    pub refused: bool,
    /// An older generation that was ready before, and goes on serving until the newest one is.
    pub fallback: Option<u64>,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Bring the fallback back: nothing serves, and the newest generation has yet to become ready.
    Restore,
    /// Apply the newest generation.
    Apply,
    /// Apply the newest generation again, whatever it is like: somebody may have changed it.
    Refresh,
    /// Apply the newest generation again: it was ready, was put aside, and is asked for.
    Wake,
    /// The newest generation is ready (or stopped as wanted): it is the fallback of what comes next.
    Settle,
    /// Remove everything at the target.
    Remove,
    /// Nothing is left: the tombstone has done its work.
    Forget,
    /// Look again soon.
    Recheck,
}

/// The steps from `observed` to `wanted`, in order. None when all is as it should be, or as good as
/// it gets.
#[must_use]
pub fn plan(wanted: &Wanted, observed: &Observed) -> Vec<Action> {
    if wanted.deleted {
        return if observed.present {
            vec![Action::Remove, Action::Recheck]
        } else {
            vec![Action::Forget]
        };
    }
    let mut actions = Vec::new();
    if observed.serving.is_none()
        && wanted
            .fallback
            .is_some_and(|fallback| fallback != wanted.generation)
    {
        actions.push(Action::Restore);
    }
    if wanted.refused {
        return actions;
    }
    if observed.applied != Some(wanted.generation) {
        actions.extend([Action::Apply, Action::Recheck]);
        return actions;
    }
    if observed.stale {
        // Before anything older is brought back: what is wanted may be all right again by that.
        actions = vec![Action::Refresh];
    }
    match observed.health {
        Health::Ready | Health::Stopped => {
            actions.retain(|action| *action == Action::Refresh);
            actions.push(Action::Settle);
        }
        Health::Asked => return vec![Action::Wake, Action::Recheck],
        Health::Progressing(_) => actions.push(Action::Recheck),
        Health::Failed(_) => {}
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(generation: u64) -> Wanted {
        Wanted {
            generation,
            deleted: false,
            refused: false,
            fallback: None,
        }
    }

    fn observed(applied: Option<u64>, serving: Option<u64>, health: Health) -> Observed {
        Observed {
            present: true,
            applied,
            serving,
            stale: false,
            health,
            replicas_ready: 0,
            objects: Vec::new(),
        }
    }

    #[test]
    fn what_is_new_is_applied_and_looked_at_again() {
        assert_eq!(
            plan(&wanted(1), &Observed::absent()),
            [Action::Apply, Action::Recheck]
        );
    }

    #[test]
    fn what_is_ready_is_settled() {
        let there = observed(Some(2), Some(2), Health::Ready);
        assert_eq!(plan(&wanted(2), &there), [Action::Settle]);
        let stopped = observed(Some(2), None, Health::Stopped);
        assert_eq!(plan(&wanted(2), &stopped), [Action::Settle]);
    }

    #[test]
    fn what_was_put_aside_is_applied_again_when_it_is_asked_for() {
        let there = observed(Some(2), Some(2), Health::Asked);
        assert_eq!(plan(&wanted(2), &there), [Action::Wake, Action::Recheck]);
    }

    #[test]
    fn what_somebody_may_have_changed_is_applied_again_whatever_it_is_like() {
        let mut there = observed(Some(2), Some(2), Health::Ready);
        there.stale = true;
        assert_eq!(plan(&wanted(2), &there), [Action::Refresh, Action::Settle]);
        there.health = Health::Failed("probe".into());
        assert_eq!(plan(&wanted(2), &there), [Action::Refresh]);
        // Something newer is wanted: that is applied anyhow.
        assert_eq!(plan(&wanted(3), &there), [Action::Apply, Action::Recheck]);
    }

    #[test]
    fn what_makes_progress_is_waited_for() {
        let there = observed(Some(2), Some(1), Health::Progressing(None));
        assert_eq!(plan(&wanted(2), &there), [Action::Recheck]);
    }

    #[test]
    fn what_failed_for_good_is_left_while_something_older_serves() {
        let mut two = wanted(2);
        two.fallback = Some(1);
        let there = observed(Some(2), Some(1), Health::Failed("probe".into()));
        assert_eq!(plan(&two, &there), []);
        two.refused = true;
        let there = observed(Some(1), Some(1), Health::Ready);
        assert_eq!(plan(&two, &there), []);
    }

    #[test]
    fn the_older_revision_comes_back_first_when_nothing_serves() {
        let mut two = wanted(2);
        two.fallback = Some(1);
        assert_eq!(
            plan(&two, &Observed::absent()),
            [Action::Restore, Action::Apply, Action::Recheck]
        );
        two.refused = true;
        assert_eq!(plan(&two, &Observed::absent()), [Action::Restore]);
    }

    #[test]
    fn a_lost_generation_is_applied_again_without_a_fallback_of_itself() {
        let mut two = wanted(2);
        two.fallback = Some(2);
        assert_eq!(
            plan(&two, &Observed::absent()),
            [Action::Apply, Action::Recheck]
        );
    }

    #[test]
    fn what_is_deleted_is_removed_until_nothing_is_left() {
        let mut gone = wanted(3);
        gone.deleted = true;
        assert_eq!(
            plan(&gone, &observed(Some(2), Some(2), Health::Ready)),
            [Action::Remove, Action::Recheck]
        );
        assert_eq!(plan(&gone, &Observed::absent()), [Action::Forget]);
    }

    /// A target that does at once what it is told, and what is remembered of having reached it.
    struct Model {
        wanted: Wanted,
        observed: Observed,
    }

    impl Model {
        /// True when there is nothing more to do.
        fn act(&mut self, action: Action) -> bool {
            let generation = self.wanted.generation;
            match action {
                Action::Restore => {
                    let fallback = self.wanted.fallback;
                    assert!(fallback.is_some_and(|older| older != generation));
                    self.observed.serving = fallback;
                    self.observed.applied = fallback;
                    self.observed.health = Health::Ready;
                }
                Action::Refresh => {
                    assert_eq!(self.observed.applied, Some(generation), "it is not applied");
                    self.observed.stale = false;
                }
                Action::Apply | Action::Wake => {
                    self.observed = observed(Some(generation), Some(generation), Health::Ready);
                }
                Action::Remove => self.observed = Observed::absent(),
                Action::Recheck => {}
                Action::Settle => {
                    assert_eq!(self.observed.applied, Some(generation), "it is not reached");
                    return true;
                }
                Action::Forget => {
                    assert!(!self.observed.present, "something is left of it");
                    return true;
                }
            }
            false
        }
    }

    #[test]
    fn every_state_comes_to_rest_on_a_target_that_does_what_it_is_told() {
        let healths = [
            Health::Ready,
            Health::Stopped,
            Health::Asked,
            Health::Failed("it does not start".into()),
            Health::Progressing(None),
        ];
        let generations = [None, Some(1), Some(2)];
        let mut states = 0;
        for applied in generations {
            for serving in generations {
                for health in &healths {
                    for fallback in generations {
                        for (deleted, refused) in [(false, false), (true, false), (false, true)] {
                            for stale in [false, true] {
                                let mut two = wanted(2);
                                (two.deleted, two.refused) = (deleted, refused);
                                two.fallback = fallback;
                                let mut there = observed(applied, serving, health.clone());
                                there.stale = stale;
                                comes_to_rest(two, there);
                                states += 1;
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(states, 3 * 3 * 5 * 3 * 3 * 2);
    }

    fn comes_to_rest(wanted: Wanted, observed: Observed) {
        let said = format!("{wanted:?} {observed:?}");
        let mut model = Model { wanted, observed };
        for _ in 0..5 {
            let actions = plan(&model.wanted, &model.observed);
            let is_waiting = actions == [Action::Recheck];
            if actions.is_empty() {
                // As good as it gets: the newest generation was refused or failed, and nothing older is missing.
                let failed = matches!(model.observed.health, Health::Failed(_));
                assert!(model.wanted.refused || failed, "{said}");
                return;
            }
            if actions.into_iter().any(|action| model.act(action)) {
                return;
            }
            if is_waiting {
                // What makes progress gets there.
                assert!(
                    matches!(model.observed.health, Health::Progressing(_)),
                    "{said}"
                );
                model.observed.health = Health::Ready;
            }
        }
        panic!("it never rests: {said}");
    }
}
