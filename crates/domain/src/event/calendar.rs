//! Calendars as other programs read them: iCalendar (RFC 5545).

use chrono::{DateTime, Utc};

use super::{EventData, EventDate, EventStatus};
use crate::{Timestamp, Uuid7};

/// RFC 5545, section 3.1: octets of a line without its end.
const LINE_OCTETS: usize = 75;

/// One event of a calendar.
#[derive(Debug, Clone)]
pub struct CalendarEntry {
    /// Never changes: programs that read the calendar know the event by it.
    pub id: Uuid7,
    /// The event.
    pub data: EventData,
    /// How often it was changed.
    pub sequence: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

/// A calendar. It has no `METHOD`: it is for reading, not an invitation.
#[must_use]
pub fn write_calendar(name: &str, entries: &[CalendarEntry]) -> String {
    let mut lines = Lines(String::new());
    lines.add("BEGIN", "VCALENDAR");
    lines.add("VERSION", "2.0");
    lines.add("PRODID", "-//NoKube//Events//EN");
    lines.add("CALSCALE", "GREGORIAN");
    // RFC 7986, sections 5.1 and 5.7; X-WR-CALNAME is what older programs read instead.
    lines.text("NAME", name);
    lines.text("X-WR-CALNAME", name);
    lines.add("REFRESH-INTERVAL;VALUE=DURATION", "PT1H");
    if entries.is_empty() {
        lines.empty_zone();
    }
    for entry in entries {
        lines.event(entry);
    }
    lines.add("END", "VCALENDAR");
    lines.0
}

struct Lines(String);

impl Lines {
    fn event(&mut self, entry: &CalendarEntry) {
        let data = &entry.data;
        let (start, end) = (data.period.start(), data.period.end());
        self.add("BEGIN", "VEVENT");
        self.add("UID", &entry.id.to_string());
        self.add("DTSTAMP", &time(entry.updated_at));
        self.add("CREATED", &time(entry.created_at));
        self.add("LAST-MODIFIED", &time(entry.updated_at));
        self.add("SEQUENCE", &entry.sequence.to_string());
        if data.period.is_whole_days() {
            self.add("DTSTART;VALUE=DATE", &day(start.begins()));
            // Section 3.6.1: the end does not belong to the event, so it is the day after the last one.
            self.add("DTEND;VALUE=DATE", &day(end.is_over()));
        } else {
            let (start, end) = (time(start.begins()), time(EventDate::begins(end)));
            self.add("DTSTART", &start);
            // Section 3.8.2.2: the end is later than the beginning. Without one, the event is a moment.
            if end != start {
                self.add("DTEND", &end);
            }
        }
        self.text("SUMMARY", data.title.as_str());
        if let Some(description) = &data.description {
            self.text("DESCRIPTION", description.as_str());
        }
        self.add("STATUS", status(data.status));
        self.add("END", "VEVENT");
    }

    /// Section 3.6: a calendar has at least one component. This one says nothing.
    fn empty_zone(&mut self) {
        for (name, value) in [
            ("BEGIN", "VTIMEZONE"),
            ("TZID", "Etc/UTC"),
            ("BEGIN", "STANDARD"),
            ("DTSTART", "19700101T000000"),
            ("TZOFFSETFROM", "+0000"),
            ("TZOFFSETTO", "+0000"),
            ("END", "STANDARD"),
            ("END", "VTIMEZONE"),
        ] {
            self.add(name, value);
        }
    }

    /// Section 3.3.11: what has a meaning in a text is escaped.
    fn text(&mut self, name: &str, value: &str) {
        let mut escaped = String::with_capacity(value.len());
        let mut rest = value.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\\' | ';' | ',' => escaped.extend(['\\', c]),
                '\r' | '\n' => {
                    if c == '\r' && rest.peek() == Some(&'\n') {
                        rest.next();
                    }
                    escaped.push_str("\\n");
                }
                c if c.is_control() && c != '\t' => {}
                c => escaped.push(c),
            }
        }
        self.add(name, &escaped);
    }

    /// Section 3.1: a long line goes on in the next one after a space, never inside a character.
    fn add(&mut self, name: &str, value: &str) {
        let mut octets = 0;
        for c in name.chars().chain([':']).chain(value.chars()) {
            if octets + c.len_utf8() > LINE_OCTETS {
                self.0.push_str("\r\n ");
                octets = 1;
            }
            self.0.push(c);
            octets += c.len_utf8();
        }
        self.0.push_str("\r\n");
    }
}

fn status(status: EventStatus) -> &'static str {
    match status {
        EventStatus::Draft => "TENTATIVE",
        EventStatus::Published => "CONFIRMED",
        EventStatus::Archived => "CANCELLED",
    }
}

/// Section 3.3.5, form 2: UTC, to the second.
fn time(at: Timestamp) -> String {
    utc(at).format("%Y%m%dT%H%M%SZ").to_string()
}

/// Section 3.3.4.
fn day(at: Timestamp) -> String {
    utc(at).format("%Y%m%d").to_string()
}

fn utc(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.millis()).unwrap_or_default()
}

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;
