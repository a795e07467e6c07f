//! The caller's events: filtered, searched, sorted, page by page.

use nokube_domain::event::{EventDate, EventStatus, search_words};
use nokube_guest::{Caller, Ctx, Error, FieldFault, Paging, Response, platform};

use super::view::event_shown;
use crate::error::EventsError;
use crate::store::list::{Filter, Order, SortKey, events_listed, events_listed_count};

/// `GET /events?status=&from=&to=&q=&sort=&page=&limit=`.
pub(crate) async fn list_events(cx: Ctx, caller: Caller) -> Result<Response, EventsError> {
    let (filter, order, paging) = read_query(&cx)?;
    let db = platform::open(&cx).await?;
    let total = events_listed_count(&db, &caller, &filter).await?;
    let events = events_listed(&db, &caller, &filter, order, paging).await?;
    let shown = events.iter().map(|event| event_shown(event, &caller));
    Ok(paging.answer(&cx, shown.collect(), total))
}

/// Every fault of the query at once.
fn read_query(cx: &Ctx) -> Result<(Filter, Order, Paging), Error> {
    let mut faults = Vec::new();
    let status = checked(&mut faults, cx.query_as("status", EventStatus::parse))?;
    let from = checked(&mut faults, cx.query_as("from", EventDate::parse))?;
    let to = checked(&mut faults, cx.query_as("to", EventDate::parse))?;
    let words = checked(&mut faults, cx.query_as("q", search_words))?;
    let order = checked(&mut faults, cx.query_as("sort", read_order))?;
    let paging = checked(&mut faults, cx.paging().map(Some))?;
    let filter = Filter {
        status: status.flatten(),
        from: from.flatten().map(EventDate::begins),
        // A day as the end is looked at to its end.
        before: to.flatten().map(EventDate::is_over),
        words: words.flatten(),
    };
    match (paging.flatten(), faults.is_empty()) {
        (Some(paging), true) => Ok((filter, order.flatten().unwrap_or_default(), paging)),
        _ => Err(Error::Invalid(faults)),
    }
}

/// Puts the faults of a parameter aside, and passes on what is none.
fn checked<T>(
    faults: &mut Vec<FieldFault>,
    read: Result<Option<T>, Error>,
) -> Result<Option<Option<T>>, Error> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(Error::Invalid(more)) => {
            faults.extend(more);
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

fn read_order(text: &str) -> Result<Order, &'static str> {
    let (name, is_descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let key = match name {
        "start_date" => SortKey::Start,
        "end_date" => SortKey::End,
        "title" => SortKey::Title,
        "status" => SortKey::Status,
        "created_at" => SortKey::Created,
        "updated_at" => SortKey::Updated,
        _ => {
            return Err(
                "must be start_date, end_date, title, status, created_at or updated_at, \
                 with - in front for the other way round",
            );
        }
    };
    Ok(Order { key, is_descending })
}
