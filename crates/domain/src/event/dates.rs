//! When an event takes place: between two points in time, or on whole days.
//!
//! A date without a time is a day of the calendar, in no time zone: it is given back as it came. For
//! sorting and filtering it counts as that day in UTC.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::{Invalid, Timestamp};

/// 24 × 60 × 60 × 1000.
const DAY_MS: i64 = 86_400_000;
/// 1900-01-01T00:00:00.000Z. Calendars write years with four digits, and a typo is further away.
const EARLIEST_MS: i64 = -2_208_988_800_000;
/// 2999-12-31T23:59:59.999Z.
const LATEST_MS: i64 = 32_503_679_999_999;

/// A point in time, or a whole day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventDate {
    /// Of a day, its midnight in UTC.
    at: Timestamp,
    is_day: bool,
}

impl EventDate {
    /// Reads `2026-01-31`, or RFC 3339 with any offset.
    ///
    /// # Errors
    /// Anything else, and what is before 1900 or after 2999.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let date = match day_from_text(text) {
            Some(at) => Self { at, is_day: true },
            None => Self {
                at: Timestamp::parse(text).map_err(|_| {
                    Invalid::new(
                        "must be a date, such as 2026-01-31, or an RFC 3339 time, such as \
                         2026-01-31T09:30:00.000Z",
                    )
                })?,
                is_day: false,
            },
        };
        if !(EARLIEST_MS..=LATEST_MS).contains(&date.at.millis()) {
            return Err(Invalid::new("must be between the years 1900 and 2999"));
        }
        Ok(date)
    }

    /// When it begins.
    #[must_use]
    pub fn begins(self) -> Timestamp {
        self.at
    }

    /// When it is over: a day at the next midnight, a point in time at once.
    #[must_use]
    pub fn is_over(self) -> Timestamp {
        if self.is_day {
            self.at.plus_millis(DAY_MS)
        } else {
            self.at
        }
    }
}

/// A day in its one spelling, as its midnight in UTC.
fn day_from_text(text: &str) -> Option<Timestamp> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    // The parser takes `2026-1-5` and `+2026-01-05` as well.
    if day.to_string() != text {
        return None;
    }
    let midnight = day.and_time(NaiveTime::MIN).and_utc();
    Some(Timestamp::from_millis(midnight.timestamp_millis()))
}

impl fmt::Display for EventDate {
    /// As it came, a time in UTC.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_day {
            let time = DateTime::<Utc>::from_timestamp_millis(self.at.millis()).unwrap_or_default();
            write!(formatter, "{}", time.date_naive())
        } else {
            self.at.fmt(formatter)
        }
    }
}

/// From when to when. Both ends are days, or both are times; the last day belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    start: EventDate,
    end: EventDate,
}

impl Period {
    /// A period.
    ///
    /// # Errors
    /// Why the end does not fit the beginning.
    pub fn new(start: EventDate, end: EventDate) -> Result<Self, Invalid> {
        if start.is_day != end.is_day {
            return Err(Invalid::new(
                "must be a date without a time if start_date is one, and a time if that is one",
            ));
        }
        if end.at < start.at {
            return Err(Invalid::new("must not be before start_date"));
        }
        Ok(Self { start, end })
    }

    /// A period from the database.
    #[must_use]
    pub fn from_parts(is_whole_days: bool, start: Timestamp, end: Timestamp) -> Self {
        let date = |at| EventDate {
            at,
            is_day: is_whole_days,
        };
        Self {
            start: date(start),
            end: date(end),
        }
    }

    /// Its beginning.
    #[must_use]
    pub fn start(&self) -> EventDate {
        self.start
    }

    /// Its end; of whole days, the last of them.
    #[must_use]
    pub fn end(&self) -> EventDate {
        self.end
    }

    /// Whether it is made of whole days.
    #[must_use]
    pub fn is_whole_days(&self) -> bool {
        self.start.is_day
    }

    /// The last millisecond that belongs to it: with it, one comparison tells what still goes on at some time,
    /// whether the event has days, times or no length.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        let last = self.end.is_over().plus_millis(-1);
        last.max(self.start.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn date(text: &str) -> EventDate {
        EventDate::parse(text).unwrap()
    }

    #[test]
    fn a_day_comes_back_as_a_day_and_a_time_in_utc() {
        assert_eq!(date("2026-01-31").to_string(), "2026-01-31");
        assert_eq!(
            date("2026-01-31T01:30:00+02:00").to_string(),
            "2026-01-30T23:30:00.000Z"
        );
        for bad in [
            "",
            "2026-1-5",
            "+2026-01-05",
            "2026-02-30",
            "2026-01-31T10:00",
            "1899-12-31",
            "3000-01-01",
            "20260131",
            "tomorrow",
        ] {
            assert!(EventDate::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(date("1900-01-01").begins().millis(), EARLIEST_MS);
        assert_eq!(date("2999-12-31").is_over().millis(), LATEST_MS + 1);
    }

    #[test]
    fn an_event_goes_on_until_its_last_millisecond() {
        let until = |start, end| Period::new(date(start), date(end)).unwrap().until();
        assert_eq!(
            until("2026-01-31", "2026-01-31").to_string(),
            "2026-01-31T23:59:59.999Z"
        );
        assert_eq!(
            until("2026-01-31T10:00:00Z", "2026-01-31T11:00:00Z").to_string(),
            "2026-01-31T10:59:59.999Z"
        );
        let moment = "2026-01-31T10:00:00Z";
        assert_eq!(until(moment, moment), Timestamp::parse(moment).unwrap());
    }

    #[test]
    fn the_end_is_of_the_same_kind_and_not_earlier() {
        assert!(Period::new(date("2026-01-31"), date("2026-01-30")).is_err());
        assert!(Period::new(date("2026-01-31"), date("2026-01-31T00:00:00Z")).is_err());
        assert!(
            Period::new(
                date("2026-01-31T10:00:00+02:00"),
                date("2026-01-31T08:00:00Z")
            )
            .is_ok()
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in EARLIEST_MS..=LATEST_MS, is_day: bool) {
            let at = if is_day { millis.div_euclid(DAY_MS) * DAY_MS } else { millis };
            let date = EventDate { at: Timestamp::from_millis(at), is_day };
            prop_assert_eq!(EventDate::parse(&date.to_string()), Ok(date));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = EventDate::parse(&text);
        }
    }
}
