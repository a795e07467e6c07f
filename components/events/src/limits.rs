//! How often calendars are read, in fixed windows: per calendar, and wrong addresses per client.
//!
//! A token of 256 bits is not guessed; the limit on wrong ones keeps strangers from working the database.

use std::net::IpAddr;

use nokube_domain::Timestamp;
use nokube_guest::{Ctx, Error};

/// 15 minutes.
pub(crate) const WINDOW_MS: i64 = 15 * 60 * 1_000;
/// A team whose calendars look every few minutes.
const READS_PER_FEED: u64 = 300;
const MISSES_PER_ADDRESS: u64 = 30;

/// How much is left of a limit.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    name: &'static str,
    quota: u64,
    left: u64,
    /// Seconds until the window ends.
    pub(crate) reset_seconds: u64,
}

impl Standing {
    /// Of one calendar.
    pub(crate) fn of_feed(cx: &Ctx, begun: Timestamp, count: u64) -> Result<Self, Error> {
        let quota = cx.number_variable("feed_limit_per_calendar", READS_PER_FEED)?;
        Ok(Self::new(cx, "calendar", quota, begun, count))
    }

    /// Of one client's wrong addresses.
    pub(crate) fn of_address(cx: &Ctx, begun: Timestamp, count: u64) -> Result<Self, Error> {
        let quota = cx.number_variable("feed_limit_per_address", MISSES_PER_ADDRESS)?;
        Ok(Self::new(cx, "address", quota, begun, count))
    }

    fn new(cx: &Ctx, name: &'static str, quota: u64, begun: Timestamp, count: u64) -> Self {
        let ends = begun.plus_millis(WINDOW_MS);
        let reset_ms = ends.millis().saturating_sub(cx.now().millis()).max(0);
        Self {
            name,
            quota,
            left: quota.saturating_sub(count),
            reset_seconds: u64::try_from(reset_ms).unwrap_or(0).div_ceil(1_000),
        }
    }

    /// Whether `count` is more than is allowed.
    pub(crate) fn is_over(&self, count: u64) -> bool {
        count > self.quota
    }

    /// Whether nothing is left.
    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// draft-ietf-httpapi-ratelimit-headers.
    pub(crate) fn headers(&self) -> [(&'static str, String); 2] {
        let (name, window) = (self.name, WINDOW_MS / 1_000);
        [
            (
                "ratelimit-policy",
                format!("\"{name}\";q={};w={window}", self.quota),
            ),
            (
                "ratelimit",
                format!("\"{name}\";r={};t={}", self.left, self.reset_seconds),
            ),
        ]
    }
}

/// Whom a client counts as. An IPv6 client owns at least a /64, so its addresses count as one.
pub(crate) fn bucket(cx: &Ctx) -> String {
    match cx.client_address() {
        None => "unknown".to_owned(),
        Some(IpAddr::V4(v4)) => v4.to_string(),
        Some(IpAddr::V6(v6)) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}
