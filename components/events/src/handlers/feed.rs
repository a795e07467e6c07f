//! The private address of the caller's calendar: shown once, kept as a hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nokube_api::events::{EventFeed, NewEventFeed};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{Audit, Caller, Ctx, Error, Response, platform};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::error::EventsError;
use crate::store::feeds as store;

/// 256 bits: nobody guesses it.
const TOKEN_BYTES: usize = 32;

/// `POST /events/feed`: a new address; the one before ends.
pub(crate) async fn create_event_feed(cx: Ctx, caller: Caller) -> Result<Response, EventsError> {
    let base = cx.required_variable("platform_url")?;
    let token = URL_SAFE_NO_PAD.encode(cx.random::<TOKEN_BYTES>());
    let db = platform::open(&cx).await?;
    db.transaction(async |tx| {
        platform::require_account(tx, &caller, cx.now()).await?;
        store::feed_put(tx, &caller, &token_hash(&token), cx.now()).await?;
        write_audit(&cx, tx, &caller, "event_feed.create").await?;
        Ok::<_, EventsError>(())
    })
    .await?;
    let base = base.trim_end_matches('/');
    let feed = NewEventFeed {
        url: format!("{base}/api/v1/events/calendar.ics?token={token}"),
        created_at: cx.now().to_string(),
    };
    Ok(Response::json(201, &feed).location("/api/v1/events/feed"))
}

/// `GET /events/feed`: whether there is an address, and whether it is used.
pub(crate) async fn get_event_feed(cx: Ctx, caller: Caller) -> Result<Response, EventsError> {
    let db = platform::open(&cx).await?;
    let feed = shown(&db, &caller).await?;
    Ok(cx.resource_in_use(&feed, &lasting(&feed)))
}

/// Whether it is read does not change it.
fn lasting(feed: &EventFeed) -> EventFeed {
    EventFeed {
        last_read_at: None,
        ..feed.clone()
    }
}

async fn shown(db: &Db, caller: &Caller) -> Result<EventFeed, EventsError> {
    let feed = store::feed_of_owner(db, caller).await?;
    let feed = feed.ok_or(Error::NotFound("private address"))?;
    Ok(EventFeed {
        created_at: feed.created_at_ms.to_string(),
        last_read_at: feed.last_read_at_ms.map(|time| time.to_string()),
    })
}

/// `DELETE /events/feed`: the address ends.
pub(crate) async fn delete_event_feed(cx: Ctx, caller: Caller) -> Result<Response, EventsError> {
    let db = platform::open(&cx).await?;
    db.transaction(async |tx| {
        cx.check_if_match(&lasting(&shown(tx, &caller).await?))?;
        store::feed_delete(tx, &caller).await?;
        write_audit(&cx, tx, &caller, "event_feed.delete").await?;
        Ok::<_, EventsError>(())
    })
    .await?;
    Ok(Response::no_content())
}

/// What is kept of a token. It is random, so that a plain hash is enough.
pub(super) fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

async fn write_audit(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    action: &'static str,
) -> Result<(), DbError> {
    let audit = Audit {
        action,
        target: format!("event_feed:{}", caller.id),
        project_id: None,
        detail: json!({}),
        actor: Some(caller),
    };
    audit.write(cx, tx).await
}
