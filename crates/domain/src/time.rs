//! Points in time: RFC 3339 on the wire, integer milliseconds in the database.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::Invalid;

/// Milliseconds since 1970-01-01T00:00:00Z, between the years 0 and 9999 when it came from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// 0000-01-01T00:00:00.000Z, 719,528 days before the epoch.
const FIRST_MS: i64 = -719_528 * 86_400_000;
/// 9999-12-31T23:59:59.999Z, the last millisecond of 2,932,897 days after it.
const LAST_MS: i64 = 2_932_897 * 86_400_000 - 1;

impl Timestamp {
    /// A time from the database or the clock.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This time and `millis` more.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Reads RFC 3339 with any offset; digits below the millisecond are dropped.
    ///
    /// # Errors
    /// Anything else, a date without a time included.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        DateTime::parse_from_rfc3339(text)
            .map(|time| Self(time.timestamp_millis()))
            .ok()
            // In UTC an offset may lead out of the years that RFC 3339 can write.
            .filter(|time| (FIRST_MS..=LAST_MS).contains(&time.0))
            .ok_or(Invalid::new(
                "must be an RFC 3339 time, such as 2026-01-31T09:30:00.000Z",
            ))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, `2026-01-31T09:30:00.000Z`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        formatter.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_are_accepted_and_utc_is_written() {
        let time = Timestamp::parse("2026-01-31T10:30:00.1239+01:00").unwrap();
        assert_eq!(time.to_string(), "2026-01-31T09:30:00.123Z");
        assert!(Timestamp::parse("2026-01-31").is_err());
        assert!(Timestamp::parse("2026-02-30T00:00:00Z").is_err());
    }

    #[test]
    fn the_first_and_the_last_time_can_be_written_and_none_beyond_is_read() {
        for text in ["0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
        for text in ["0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0_i64..253_402_300_799_999) {
            let time = Timestamp::from_millis(millis);
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Timestamp::parse(&text);
        }
    }
}
