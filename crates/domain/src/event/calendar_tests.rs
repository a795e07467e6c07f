//! What is written, a parser that is not ours reads.

use icalendar::parser::{read_calendar, unfold};
use icalendar::{Calendar, Component as _};
use proptest::prelude::*;

use super::{CalendarEntry, LINE_OCTETS, write_calendar};
use crate::event::{EventData, EventDate, EventStatus, EventTitle, Period};
use crate::{Description, Timestamp, Uuid7};

fn entry(title: &str, description: Option<&str>, start: &str, end: &str) -> CalendarEntry {
    let date = |text| EventDate::parse(text).unwrap();
    let at = Timestamp::from_millis(1_800_000_000_000);
    CalendarEntry {
        id: Uuid7::new(at, [7; 10]),
        data: EventData {
            title: EventTitle::parse(title).unwrap(),
            description: description.map(|text| Description::parse(text).unwrap()),
            period: Period::new(date(start), date(end)).unwrap(),
            status: EventStatus::Published,
        },
        sequence: 3,
        created_at: at,
        updated_at: at,
    }
}

fn parsed(text: &str) -> Calendar {
    text.parse().expect("a calendar")
}

fn lines_are_sound(text: &str) {
    assert!(text.ends_with("\r\n"));
    for line in text.trim_end_matches("\r\n").split("\r\n") {
        assert!(line.len() <= LINE_OCTETS && !line.is_empty(), "{line}");
        assert!(!line.contains(['\r', '\n']), "{line:?}");
    }
}

#[test]
fn whole_days_end_on_the_day_after_the_last() {
    let text = write_calendar("ada", &[entry("Soldes", None, "2027-06-20", "2027-06-30")]);
    lines_are_sound(&text);
    for line in [
        "DTSTART;VALUE=DATE:20270620\r\n",
        "DTEND;VALUE=DATE:20270701\r\n",
        "STATUS:CONFIRMED\r\n",
        "SEQUENCE:3\r\n",
        "DTSTAMP:20270115T080000Z\r\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    let calendar = parsed(&text);
    assert_eq!(calendar.events().count(), 1);
    assert_eq!(calendar.get_name(), Some("ada"));
}

#[test]
fn times_are_utc_and_a_moment_has_no_end() {
    let (ten, eleven) = ("2027-06-20T12:00:00.500+02:00", "2027-06-20T11:00:00Z");
    let text = write_calendar("ada", &[entry("Call", None, ten, eleven)]);
    assert!(text.contains("DTSTART:20270620T100000Z\r\nDTEND:20270620T110000Z\r\n"));
    let text = write_calendar("ada", &[entry("Call", None, eleven, eleven)]);
    assert!(!text.contains("DTEND"));
    assert!(parsed(&text).events().next().unwrap().get_end().is_none());
}

#[test]
fn a_calendar_without_events_is_one() {
    let text = write_calendar("ada", &[]);
    lines_are_sound(&text);
    let unfolded = unfold(&text);
    let calendar = read_calendar(&unfolded).expect("a calendar");
    assert_eq!(calendar.components.len(), 1);
}

#[test]
fn what_would_end_a_line_or_a_value_is_escaped() {
    let injected = "a\r\nEND:VEVENT\nATTACH:file\\;,x";
    let text = write_calendar(
        "ada",
        &[entry("T;,\\n", Some(injected), "2027-06-20", "2027-06-20")],
    );
    lines_are_sound(&text);
    assert!(text.contains("SUMMARY:T\\;\\,\\\\n\r\n"));
    let calendar = parsed(&text);
    let event = calendar.events().next().unwrap();
    assert_eq!(event.get_summary(), Some("T;,\\n"));
    assert_eq!(
        event.get_description(),
        Some("a\nEND:VEVENT\nATTACH:file\\;,x")
    );
}

proptest! {
    #[test]
    fn every_title_and_description_reads_back(title in "\\PC{1,200}", description in "(\\PC|[\n\t]){0,400}") {
        prop_assume!(EventTitle::parse(&title).is_ok() && Description::parse(&description).is_ok());
        let entry = entry(&title, Some(&description), "2027-06-20", "2027-06-20");
        let text = write_calendar("ada", std::slice::from_ref(&entry));
        lines_are_sound(&text);
        let calendar = parsed(&text);
        let event = calendar.events().next().unwrap();
        prop_assert_eq!(event.get_summary(), Some(entry.data.title.as_str()));
        prop_assert_eq!(event.get_description().unwrap_or_default(), description.as_str());
    }
}
