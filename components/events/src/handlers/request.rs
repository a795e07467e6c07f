//! What users send about an event.

use nokube_domain::event::{EventChange, EventData, EventDate, EventStatus, EventTitle, Period};
use nokube_domain::{Description, Invalid};
use nokube_guest::{Change, Error, Fields};

/// What an event shows beside what can be said about it: a client that sends back what it read is
/// not told that it made these up.
const SHOWN_ONLY: [&str; 4] = ["id", "owner", "created_at", "updated_at"];

/// A whole event.
pub(super) fn read_event(mut fields: Fields) -> Result<EventData, Error> {
    let title = fields.text("title", EventTitle::parse);
    let description = fields.optional_text("description", Description::parse);
    let start = fields.text("start_date", EventDate::parse);
    let end = fields.text("end_date", EventDate::parse);
    let status = fields.text("status", EventStatus::parse);
    let all_day = fields.optional("all_day", Ok::<bool, Invalid>);
    let period = match (start, end) {
        (Some(start), Some(end)) => match Period::new(start, end) {
            Ok(period) => Some(period),
            Err(reason) => {
                fields.fault("end_date", reason.to_string());
                None
            }
        },
        _ => None,
    };
    if let (Some(period), Some(all_day)) = (period, all_day)
        && let Err(reason) = check_all_day(&period, all_day)
    {
        fields.fault("all_day", reason.to_string());
    }
    fields.finish(|| {
        Some(EventData {
            title: title?,
            description,
            period: period?,
            status: status?,
        })
    })
}

/// A whole event as it was read and changed.
pub(super) fn read_replacement(mut fields: Fields) -> Result<EventData, Error> {
    fields.ignore(&SHOWN_ONLY);
    read_event(fields)
}

/// A partial change, and what it says about whole days.
pub(super) fn read_change(mut fields: Fields) -> Result<(EventChange, Option<bool>), Error> {
    let title = changed(&mut fields, "title", EventTitle::parse);
    let description = match fields.changed_text("description", Description::parse) {
        Change::Keep => None,
        Change::Unset => Some(None),
        Change::Set(text) => Some(Some(text)),
    };
    let start = changed(&mut fields, "start_date", EventDate::parse);
    let end = changed(&mut fields, "end_date", EventDate::parse);
    let status = changed(&mut fields, "status", EventStatus::parse);
    let all_day = fields.optional("all_day", Ok::<bool, Invalid>);
    fields.finish(|| {
        let change = EventChange {
            title,
            description,
            start,
            end,
            status,
        };
        Some((change, all_day))
    })
}

/// The event after a change.
pub(super) fn apply_change(
    current: &EventData,
    change: EventChange,
    all_day: Option<bool>,
) -> Result<EventData, Error> {
    let changed = current
        .changed(change)
        .map_err(|reason| Error::invalid("/end_date", &reason))?;
    if let Some(all_day) = all_day {
        check_all_day(&changed.period, all_day)
            .map_err(|reason| Error::invalid("/all_day", &reason))?;
    }
    Ok(changed)
}

/// A field that can be changed and not removed.
fn changed<T>(
    fields: &mut Fields,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Option<T> {
    match fields.changed_text(name, parse) {
        Change::Set(value) => Some(value),
        Change::Keep => None,
        Change::Unset => {
            fields.fault(name, "must not be null");
            None
        }
    }
}

fn check_all_day(period: &Period, all_day: bool) -> Result<(), Invalid> {
    if period.is_whole_days() == all_day {
        Ok(())
    } else {
        Err(Invalid::new(
            "must be what the dates say: whole days are dates without a time",
        ))
    }
}
