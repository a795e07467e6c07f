//! Which user a build is, where the runner is root: one per build slot, so that the bound on one
//! build's processes (RLIMIT_NPROC counts a user's) does not fail its neighbour, and no build can send
//! a signal to another's processes.
//!
//! Builds of one project at once are the same user: they share the project's cache, and its developers
//! can change each other's builds anyway.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The first of the build users; the id inside the sandbox in any case where the runner is not root.
/// Above what distributions hand out, next to the tenants' 61555.
pub(crate) const FIRST_USER: u32 = 61556;

/// The slots of a runner.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// The project and how many of its builds run, by slot.
    taken: Mutex<Vec<Option<(i64, usize)>>>,
}

impl Slots {
    /// Room for so many builds at once.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            taken: Mutex::new(vec![None; count]),
        }
    }

    /// A slot for a build of this project: the one it has already, else `preferred` when it is free, else
    /// the first that is.
    pub(crate) fn take(self: &Arc<Self>, project_id: i64, preferred: Option<u32>) -> Slot {
        let mut taken = self.lock();
        let of_project = taken
            .iter()
            .position(|slot| slot.is_some_and(|(owner, _)| owner == project_id));
        let is_free = |index: &usize| taken.get(*index).is_none_or(Option::is_none);
        // A larger number is of an earlier configuration.
        let preferred = preferred
            .and_then(|user| usize::try_from(user.checked_sub(FIRST_USER)?).ok())
            .filter(|index| *index < taken.len());
        let index = of_project
            .or(preferred.filter(is_free))
            .or((0..taken.len()).find(is_free))
            .unwrap_or(taken.len());
        if index == taken.len() {
            // More builds than were told of: none goes without.
            taken.push(None);
        }
        let builds = taken[index].map_or(0, |(_, builds)| builds);
        taken[index] = Some((project_id, builds + 1));
        Slot {
            slots: Arc::clone(self),
            index,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<(i64, usize)>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A build's slot, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    index: usize,
}

impl Slot {
    /// The user of the build, where the runner is root.
    pub(crate) fn user(&self) -> u32 {
        FIRST_USER.saturating_add(u32::try_from(self.index).unwrap_or(u32::MAX))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.lock();
        taken[self.index] = taken[self.index]
            .filter(|(_, builds)| *builds > 1)
            .map(|(project, builds)| (project, builds - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_of_different_projects_are_different_users() {
        let slots = Arc::new(Slots::default());
        let (first, second) = (slots.take(1, None), slots.take(2, None));
        assert_eq!((first.user(), second.user()), (FIRST_USER, FIRST_USER + 1));
        drop(first);
        assert_eq!(slots.take(3, None).user(), FIRST_USER);
    }

    #[test]
    fn builds_of_one_project_at_once_are_one_user() {
        let slots = Arc::new(Slots::default());
        let (first, again) = (slots.take(1, None), slots.take(1, Some(FIRST_USER + 1)));
        assert_eq!(first.user(), again.user());
        drop(first);
        assert_eq!(slots.take(2, None).user(), FIRST_USER + 1);
        drop(again);
        assert_eq!(slots.take(2, None).user(), FIRST_USER);
    }

    #[test]
    fn a_project_is_the_owner_of_its_cache_again_where_that_is_free() {
        let slots = Arc::new(Slots::new(2));
        assert_eq!(slots.take(1, Some(FIRST_USER + 1)).user(), FIRST_USER + 1);
        let both = (slots.take(1, None), slots.take(2, None));
        assert_eq!(slots.take(3, Some(FIRST_USER + 1)).user(), FIRST_USER + 2);
        drop(both);
        let third = slots.take(3, Some(FIRST_USER + 1));
        assert_eq!(third.user(), FIRST_USER + 1);
        // Nobody's, or of another configuration.
        assert_eq!(slots.take(4, Some(0)).user(), FIRST_USER);
        assert_eq!(slots.take(5, Some(FIRST_USER + 900)).user(), FIRST_USER);
    }
}
