//! Linear memory that applications share: how much of it instances have grown to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number of bytes that is taken from by many.
#[derive(Debug)]
pub(crate) struct Pot {
    used: AtomicU64,
    limit: u64,
    /// What is taken here is taken there too.
    larger: Option<Arc<Pot>>,
}

impl Pot {
    pub(crate) fn new(limit: u64, larger: Option<Arc<Self>>) -> Self {
        Self {
            used: AtomicU64::new(0),
            limit,
            larger,
        }
    }

    /// Takes `bytes`, or tells which limit is in the way.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), u64> {
        let before = self.used.fetch_add(bytes, Ordering::AcqRel);
        let taken = if before.saturating_add(bytes) > self.limit {
            Err(self.limit)
        } else {
            self.larger.as_ref().map_or(Ok(()), |pot| pot.take(bytes))
        };
        if taken.is_err() {
            self.used.fetch_sub(bytes, Ordering::AcqRel);
        }
        taken
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(pot) = &self.larger {
            pot.give_back(bytes);
        }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_takes_is_missing_in_its_own_pot_and_in_the_larger_one() {
        let all = Arc::new(Pot::new(100, None));
        let [one, other] = [70, 70].map(|limit| Pot::new(limit, Some(Arc::clone(&all))));
        assert_eq!(one.take(60), Ok(()));
        assert_eq!(one.take(20), Err(70));
        assert_eq!(other.take(50), Err(100));
        assert_eq!(other.take(40), Ok(()));
        one.give_back(60);
        assert_eq!(other.take(30), Ok(()));
        assert_eq!(all.used.load(Ordering::Acquire), 70);
    }
}
