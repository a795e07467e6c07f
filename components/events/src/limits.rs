//! How often calendars are read, in fixed windows: per calendar, and wrong addresses per client.
//!
//! A token of 256 bits is not guessed; the limit on wrong ones keeps strangers from working the database.

use nokube_domain::Timestamp;
use nokube_guest::limits::{Standing, WINDOW_MS};
use nokube_guest::{Ctx, Error};

/// A team whose calendars look every few minutes.
const READS_PER_FEED: u64 = 300;
const MISSES_PER_ADDRESS: u64 = 30;

/// Of one calendar that was read so often since `begun`; and whether that is too often.
pub(crate) fn of_feed(cx: &Ctx, begun: Timestamp, count: u64) -> Result<(Standing, bool), Error> {
    let quota = cx.number_variable("feed_limit_per_calendar", READS_PER_FEED)?;
    let standing = standing(cx, "calendar", quota, begun, count);
    Ok((standing, count > quota))
}

/// Of one client that sent so many wrong addresses since `begun`.
pub(crate) fn of_address(cx: &Ctx, begun: Timestamp, count: u64) -> Result<Standing, Error> {
    let quota = cx.number_variable("feed_limit_per_address", MISSES_PER_ADDRESS)?;
    Ok(standing(cx, "address", quota, begun, count))
}

fn standing(cx: &Ctx, name: &'static str, quota: u64, begun: Timestamp, count: u64) -> Standing {
    let left = quota.saturating_sub(count);
    Standing::new(name, quota, left, cx.now(), begun.plus_millis(WINDOW_MS))
}
