//! Numbers that a seed repeats (xorshift64*, Vigna 2016): all that a run leaves to chance comes from here.

use std::time::{SystemTime, UNIX_EPOCH};

/// A row of numbers.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        // Nought would stay nought.
        Self(seed.max(1))
    }

    /// A number from 0 up to, and without, `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// A seed that no run had before.
pub(crate) fn fresh_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanoseconds = since.map_or(1, |since| since.as_nanos());
    u64::try_from(nanoseconds & u128::from(u32::MAX)).unwrap_or(1)
}
