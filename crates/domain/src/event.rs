//! Events: campaigns on a calendar, with a status, each its owner's alone.

mod calendar;
mod dates;
mod words;

use crate::{Description, Invalid};

pub use calendar::{CalendarEntry, write_calendar};
pub use dates::{EventDate, Period};
pub use words::{search_words, title_key, words_of};

const TITLE_CHARS: usize = 200;

/// A title: 1 to 200 characters on one line, no space around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTitle(String);

impl EventTitle {
    /// Reads a title; spaces around it are dropped.
    ///
    /// # Errors
    /// Empty, too long, or with control characters.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Invalid::new("must not be empty"));
        }
        if text.chars().count() > TITLE_CHARS {
            return Err(Invalid::new("must have at most 200 characters"));
        }
        if text.chars().any(crate::text::is_hidden) {
            return Err(Invalid::new("must not contain control characters"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How far along an event is. Each is reached and left freely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventStatus {
    /// Being planned.
    Draft,
    /// Decided.
    Published,
    /// Put away: kept, and on no calendar.
    Archived,
}

impl EventStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Draft, Self::Published, Self::Archived];

    /// Reads a status.
    ///
    /// # Errors
    /// Any other word.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(Invalid::new("must be draft, published or archived"))
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Archived => "archived",
        }
    }
}

/// What a user says about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventData {
    /// What it is called.
    pub title: EventTitle,
    /// More about it.
    pub description: Option<Description>,
    /// When it takes place.
    pub period: Period,
    /// How far along it is.
    pub status: EventStatus,
}

/// What a partial change says: nothing where it leaves things as they are.
#[derive(Debug, Clone, Default)]
pub struct EventChange {
    /// Another title.
    pub title: Option<EventTitle>,
    /// Another description, or none.
    pub description: Option<Option<Description>>,
    /// Another beginning.
    pub start: Option<EventDate>,
    /// Another end.
    pub end: Option<EventDate>,
    /// Another status.
    pub status: Option<EventStatus>,
}

impl EventData {
    /// The event after a change.
    ///
    /// # Errors
    /// When the two dates no longer fit each other: why `end_date` does not fit.
    pub fn changed(&self, change: EventChange) -> Result<Self, Invalid> {
        let start = change.start.unwrap_or(self.period.start());
        let end = change.end.unwrap_or(self.period.end());
        Ok(Self {
            title: change.title.unwrap_or_else(|| self.title.clone()),
            description: change
                .description
                .unwrap_or_else(|| self.description.clone()),
            period: Period::new(start, end)?,
            status: change.status.unwrap_or(self.status),
        })
    }

    /// The fields, as the API names them, that differ from another's.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let fields = [
            ("title", self.title != other.title),
            ("description", self.description != other.description),
            ("start_date", self.period.start() != other.period.start()),
            ("end_date", self.period.end() != other.period.end()),
            ("status", self.status != other.status),
        ];
        let differing = fields.into_iter().filter(|(_, differs)| *differs);
        differing.map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> EventData {
        let date = |text| EventDate::parse(text).unwrap();
        EventData {
            title: EventTitle::parse("Soldes d'été").unwrap(),
            description: None,
            period: Period::new(date("2027-06-20"), date("2027-07-10")).unwrap(),
            status: EventStatus::Draft,
        }
    }

    #[test]
    fn a_title_is_one_visible_line() {
        assert_eq!(EventTitle::parse("  Été ☀ ").unwrap().as_str(), "Été ☀");
        for bad in ["", "   ", "a\nb", "a\0b", "a\u{202e}b", &"é".repeat(201)] {
            assert!(EventTitle::parse(bad).is_err(), "{bad:?}");
        }
        assert!(EventTitle::parse(&"é".repeat(200)).is_ok());
    }

    #[test]
    fn every_status_is_reached_from_every_other() {
        for from in EventStatus::ALL {
            for to in EventStatus::ALL {
                let change = EventChange {
                    status: Some(to),
                    ..EventChange::default()
                };
                let event = EventData {
                    status: from,
                    ..event()
                };
                assert_eq!(event.changed(change).unwrap().status, to);
            }
        }
        assert!(EventStatus::parse("Draft").is_err());
        assert!(EventStatus::parse("cancelled").is_err());
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name_and_dates_have_to_fit() {
        let earlier = EventChange {
            end: Some(EventDate::parse("2027-06-01").unwrap()),
            ..EventChange::default()
        };
        assert!(event().changed(earlier).is_err());
        let change = EventChange {
            end: Some(EventDate::parse("2027-06-20").unwrap()),
            ..EventChange::default()
        };
        let changed = event().changed(change).unwrap();
        assert_eq!(changed.differences(&event()), ["end_date"]);
        let timed = EventChange {
            start: Some(EventDate::parse("2027-06-20T10:00:00Z").unwrap()),
            ..EventChange::default()
        };
        assert!(event().changed(timed).is_err(), "a time and a day");
    }
}
