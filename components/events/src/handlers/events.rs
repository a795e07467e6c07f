//! One event: creating, reading, changing and deleting it.

use nokube_domain::EventId;
use nokube_domain::event::EventData;
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{Audit, Caller, Ctx, Error, Response, once, platform};
use serde_json::json;

use super::request::{apply_change, read_change, read_event, read_replacement};
use super::view::event_shown;
use crate::error::EventsError;
use crate::store::events as store;
use crate::store::events::StoredEvent;

/// Events of one user, unless the variable `max_events_per_user` says otherwise.
const MAX_EVENTS_PER_USER: u64 = 10_000;

/// `POST /events`.
pub(crate) async fn create_event(mut cx: Ctx, caller: Caller) -> Result<Response, EventsError> {
    let data = read_event(cx.fields().await?)?;
    let limit = cx.number_variable("max_events_per_user", MAX_EVENTS_PER_USER)?;
    let id = EventId::new(cx.now(), cx.random());
    let db = platform::open(&cx).await?;
    once(&cx, &db, &caller, async |tx| {
        if store::events_of_owner_count(tx, &caller).await? > limit {
            return Err(EventsError::TooMany(limit));
        }
        let stored = store::event_insert(tx, &caller, id, &data, cx.now()).await?;
        let detail = json!({ "title": data.title.as_str(), "status": data.status.as_str() });
        write_audit(&cx, tx, &caller, "event.create", id, detail).await?;
        let event = event_shown(&stored, &caller);
        let location = format!("/api/v1/events/{id}");
        Ok(cx.resource(201, &event).location(location))
    })
    .await
}

/// `GET /events/{id}`.
pub(crate) async fn get_event(cx: Ctx, caller: Caller) -> Result<Response, EventsError> {
    let id = cx.parameter("id", "event", EventId::parse)?;
    let db = platform::open(&cx).await?;
    let event = found(&db, &caller, id).await?;
    Ok(cx.resource(200, &event_shown(&event, &caller)))
}

/// `PUT /events/{id}`: what is left out is unset.
pub(crate) async fn replace_event(mut cx: Ctx, caller: Caller) -> Result<Response, EventsError> {
    let id = cx.parameter("id", "event", EventId::parse)?;
    let data = read_replacement(cx.fields().await?)?;
    change_event(&cx, &caller, id, |_| Ok(data)).await
}

/// `PATCH /events/{id}`: what is left out stays.
pub(crate) async fn update_event(mut cx: Ctx, caller: Caller) -> Result<Response, EventsError> {
    let id = cx.parameter("id", "event", EventId::parse)?;
    let (change, all_day) = read_change(cx.fields().await?)?;
    change_event(&cx, &caller, id, |current| {
        apply_change(current, change, all_day)
    })
    .await
}

/// What changes nothing writes nothing.
async fn change_event(
    cx: &Ctx,
    caller: &Caller,
    id: EventId,
    change: impl FnOnce(&EventData) -> Result<EventData, Error>,
) -> Result<Response, EventsError> {
    let db = platform::open(cx).await?;
    let event = db
        .transaction(async |tx| {
            let current = found(tx, caller, id).await?;
            cx.check_if_match(&event_shown(&current, caller))?;
            let data = change(&current.data)?;
            let changed = data.differences(&current.data);
            if changed.is_empty() {
                return Ok(current);
            }
            store::event_update(tx, caller, current.number, &data, cx.now()).await?;
            let detail = json!({ "changed": changed, "status": data.status.as_str() });
            write_audit(cx, tx, caller, "event.update", id, detail).await?;
            found(tx, caller, id).await
        })
        .await?;
    Ok(cx.resource(200, &event_shown(&event, caller)))
}

/// `DELETE /events/{id}`.
pub(crate) async fn delete_event(cx: Ctx, caller: Caller) -> Result<Response, EventsError> {
    let id = cx.parameter("id", "event", EventId::parse)?;
    let db = platform::open(&cx).await?;
    db.transaction(async |tx| {
        let event = found(tx, &caller, id).await?;
        cx.check_if_match(&event_shown(&event, &caller))?;
        store::event_delete(tx, &caller, event.number).await?;
        let detail = json!({ "title": event.data.title.as_str() });
        write_audit(&cx, tx, &caller, "event.delete", id, detail).await?;
        Ok::<_, EventsError>(())
    })
    .await?;
    Ok(Response::no_content())
}

/// The caller's event of this id; another's looks like none.
async fn found(db: &Db, caller: &Caller, id: EventId) -> Result<StoredEvent, EventsError> {
    let event = store::event_by_id(db, caller, id).await?;
    Ok(event.ok_or(Error::NotFound("event"))?)
}

async fn write_audit(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    action: &'static str,
    id: EventId,
    detail: serde_json::Value,
) -> Result<(), DbError> {
    let audit = Audit {
        action,
        target: format!("event:{id}"),
        project_id: None,
        detail,
        actor: Some(caller),
    };
    audit.write(cx, tx).await
}
