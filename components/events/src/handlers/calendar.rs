//! The calendar that other programs read: iCalendar, at a private address.

use nokube_api::auth::UserNames;
use nokube_domain::UserId;
use nokube_domain::event::{CalendarEntry, write_calendar};
use nokube_guest::db::Db;
use nokube_guest::limits::{WINDOW_MS, address};
use nokube_guest::{Ctx, Error, Method, Response, platform};

use super::feed::token_hash;
use crate::error::EventsError;
use crate::limits::{of_address, of_feed};
use crate::store::{events::StoredEvent, feeds as store, list::events_on_calendar};

const ICALENDAR: &str = "text/calendar; charset=utf-8";
/// 366 × 24 × 60 × 60 × 1000: what ended longer ago is on no calendar.
const KEPT_MS: i64 = 31_622_400_000;
/// About 2 MB. What ends first comes first.
const MAX_ENTRIES: u64 = 5_000;

/// `GET /events/calendar.ics?token=`: whoever has the address may read it, while its owner's account is there and not
/// disabled.
pub(crate) async fn get_calendar(cx: Ctx) -> Result<Response, EventsError> {
    let token = cx.query("token").unwrap_or_default();
    let db = platform::open(&cx).await?;
    let hash = token_hash(&token);
    // Looking is cheap, and whoever has the address is not kept waiting by others who guess.
    let Some(reads) = store::reads_of(&db, &hash, cx.now(), WINDOW_MS).await? else {
        return Err(missed(&cx, &db).await?);
    };
    // What is over the limit writes nothing. Those that come at once are counted, and refused below.
    let (standing, is_over) = of_feed(&cx, reads.window_start_ms, reads.count.saturating_add(1))?;
    if is_over {
        return Err(EventsError::TooManyReads(standing));
    }
    let read = db.transaction(async |tx| store::feed_read(tx, &hash, cx.now(), WINDOW_MS).await);
    let feed = read.await?.ok_or(Error::NotFound("calendar"))?;
    let (standing, is_over) = of_feed(&cx, feed.window_start_ms, feed.window_count)?;
    if is_over {
        return Err(EventsError::TooManyReads(standing));
    }
    if !may_be_shown(&cx, feed.owner_id).await? {
        return Err(missed(&cx, &db).await?);
    }
    let since = cx.now().plus_millis(-KEPT_MS);
    let events = events_on_calendar(&db, feed.owner_id, since, MAX_ENTRIES).await?;
    let entries: Vec<CalendarEntry> = events.into_iter().map(entry).collect();
    let text = write_calendar(&format!("Events of {}", feed.owner_name), &entries);
    let response = cx
        .document(ICALENDAR, text.into_bytes())
        .header("cache-control", "private, no-cache")
        .header("content-disposition", "inline; filename=\"events.ics\"");
    Ok(standing.on_response(response))
}

/// Asks `auth`, which leaves out accounts that are disabled or gone. Without its answer nothing is shown.
async fn may_be_shown(cx: &Ctx, owner: UserId) -> Result<bool, Error> {
    let path = format!("/internal/users?ids={owner}");
    let answer = cx
        .call_component("auth", Method::GET, &path, None::<&()>)
        .await?;
    Ok(!answer.json::<UserNames>()?.users.is_empty())
}

/// Counts a wrong address, up to the limit; what is over it writes nothing.
async fn missed(cx: &Ctx, db: &Db) -> Result<EventsError, EventsError> {
    let client = address(cx);
    if let Some(missed) = store::misses_of(db, &client, cx.now(), WINDOW_MS).await? {
        let standing = of_address(cx, missed.window_start_ms, missed.count)?;
        if standing.left == 0 {
            return Ok(EventsError::TooManyReads(standing));
        }
    }
    let counted = db
        .transaction(async |tx| store::miss_count(tx, &client, cx.now(), WINDOW_MS).await)
        .await?;
    let standing = of_address(cx, counted.window_start_ms, counted.count)?;
    Ok(EventsError::NoCalendar(standing))
}

fn entry(event: StoredEvent) -> CalendarEntry {
    CalendarEntry {
        id: event.id.uuid(),
        data: event.data,
        sequence: event.sequence,
        created_at: event.created_at,
        updated_at: event.updated_at,
    }
}
