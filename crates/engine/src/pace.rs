//! How long somebody may keep us waiting while they send or take bytes: a pause at a time, and all pauses together in
//! proportion to what they send or take meanwhile.

use std::time::Duration;

/// Bounds of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PaceLimits {
    /// The longest pause.
    pub(crate) stall: Duration,
    /// All pauses together, of somebody who sends nothing. Nobody saves up more than this.
    pub(crate) grace: Duration,
    /// Who sends so many bytes per second may go on for ever.
    pub(crate) bytes_per_second: u64,
}

/// What is left of somebody's time.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: PaceLimits,
    left: Duration,
}

impl Pace {
    pub(crate) fn new(limits: PaceLimits) -> Self {
        let left = limits.grace;
        Self { limits, left }
    }

    /// How long may be waited now.
    pub(crate) fn patience(&self) -> Duration {
        self.left.min(self.limits.stall)
    }

    /// `bytes` came, or went, after waiting for so long.
    pub(crate) fn note(&mut self, waited: Duration, bytes: u64) {
        let rate = self.limits.bytes_per_second.max(1);
        let earned = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        let left = self.left.saturating_sub(waited).saturating_add(earned);
        self.left = left.min(self.limits.grace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_little_runs_out_of_time_and_who_sends_enough_does_not() {
        let seconds = Duration::from_secs;
        let limits = PaceLimits {
            stall: seconds(10),
            grace: seconds(30),
            bytes_per_second: 1_024,
        };
        let mut slow = Pace::new(limits);
        let mut steps = 0;
        while slow.patience() >= seconds(9) {
            slow.note(seconds(9), 1);
            steps += 1;
            assert!(steps < 10, "one byte every nine seconds, for ever");
        }
        let mut steady = Pace::new(limits);
        for _ in 0..1_000 {
            steady.note(seconds(9), 9 * 1_024);
            assert_eq!(steady.patience(), seconds(10));
        }
        // Much at once does not pay for a long wait after it.
        steady.note(seconds(0), 1 << 40);
        for _ in 0..3 {
            steady.note(seconds(10), 1);
        }
        assert!(steady.patience() < seconds(1));
    }
}
