//! The states of a deployment and when a hand-over is tried again.

use std::fmt;

/// How far a deployment is, as users see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentStatus {
    /// Recorded; the target does not know it yet.
    Pending,
    /// The target has it and works on it.
    Deploying,
    /// The wanted revision answers.
    Running,
    /// The wanted revision cannot be served; an earlier one may still be.
    Failed,
    /// Kept, served by nothing, as a user wanted.
    Stopped,
    /// On its way out; gone once the target has confirmed.
    Deleting,
}

impl DeploymentStatus {
    /// Every status.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Deploying,
        Self::Running,
        Self::Failed,
        Self::Stopped,
        Self::Deleting,
    ];

    /// Its name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Deploying => "deploying",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Deleting => "deleting",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Nothing more happens by itself.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Running | Self::Failed | Self::Stopped)
    }
}

impl fmt::Display for DeploymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wanted of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired {
    /// Serve it.
    Running,
    /// Keep it, serve nothing.
    Stopped,
    /// Remove it and all it made.
    Deleted,
}

impl Desired {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Deleted => "deleted",
        }
    }

    /// What that name means.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Stopped, Self::Deleted]
            .into_iter()
            .find(|desired| desired.as_str() == text)
    }
}

/// Pauses after the first, second, … hand-over that the target did not take; the last one repeats.
const HANDOVER_BACKOFF_MS: [i64; 6] = [500, 1_000, 2_000, 5_000, 10_000, 15_000];

/// How long to wait after `failures` hand-overs in a row went wrong (1 or more).
#[must_use]
pub fn handover_delay_ms(failures: u32) -> i64 {
    let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    HANDOVER_BACKOFF_MS[index.min(HANDOVER_BACKOFF_MS.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_names_read_back() {
        for status in DeploymentStatus::ALL {
            assert_eq!(DeploymentStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(DeploymentStatus::parse(""), None);
        assert_eq!(Desired::parse("deleted"), Some(Desired::Deleted));
        assert_eq!(Desired::parse("gone"), None);
    }

    #[test]
    fn the_pause_between_hand_overs_grows_and_stays_bounded() {
        assert_eq!(handover_delay_ms(1), 500);
        assert!((1..20).map(handover_delay_ms).is_sorted());
        assert_eq!(handover_delay_ms(u32::MAX), 15_000);
    }
}
