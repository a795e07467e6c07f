//! What was done: in a project, by the caller, or anywhere.

use nokube_api::projects::{AuditEntry, AuditPage};
use nokube_domain::{Invalid, ProjectId, ProjectRole, Timestamp};
use nokube_guest::db::Db;
use nokube_guest::platform::{self, project_for};
use nokube_guest::{Caller, Ctx, Error, Response, TimeCursor};

use crate::error::ProjectsError;
use crate::store::audit::{AuditFilter, AuditRow, audit_before};

/// Longer than any action's name.
const MAX_ACTION_BYTES: usize = 64;

/// `GET /projects/{id}/activity?action=&from=&to=&cursor=`: for every member.
pub(crate) async fn list_project_activity(
    cx: Ctx,
    caller: Caller,
) -> Result<Response, ProjectsError> {
    let id = cx.parameter("id", "project", ProjectId::parse)?;
    let filter = AuditFilter {
        project: Some(id),
        ..filter(&cx)?
    };
    let place = Place::of(&cx)?;
    let db = platform::open(&cx).await?;
    project_for(&db, &caller, id, ProjectRole::Viewer).await?;
    page(&db, &filter, &place).await
}

/// `GET /audit?project_id=&action=&from=&to=&cursor=`: what the caller did, also in projects the caller has left; for
/// administrators what anyone did.
pub(crate) async fn list_audit(cx: Ctx, caller: Caller) -> Result<Response, ProjectsError> {
    let filter = AuditFilter {
        actor: (!caller.is_admin()).then_some(caller.id),
        project: cx.query_as("project_id", ProjectId::parse)?,
        ..filter(&cx)?
    };
    let place = Place::of(&cx)?;
    let db = platform::open(&cx).await?;
    page(&db, &filter, &place).await
}

/// What both lists filter by.
fn filter(cx: &Ctx) -> Result<AuditFilter, Error> {
    let action = cx.query_as("action", |text| {
        if text.len() <= MAX_ACTION_BYTES {
            Ok(text.to_owned())
        } else {
            Err(Invalid::new("is not the name of an action"))
        }
    })?;
    let from = cx.query_as("from", Timestamp::parse)?;
    let to = cx.query_as("to", Timestamp::parse)?;
    if let (Some(from), Some(to)) = (from, to)
        && to < from
    {
        return Err(Error::invalid_query("to", "must not be before from"));
    }
    Ok(AuditFilter {
        action,
        from,
        to,
        ..AuditFilter::default()
    })
}

/// Where to read on, and how far.
struct Place {
    cursor: Option<TimeCursor>,
    limit: u64,
}

impl Place {
    fn of(cx: &Ctx) -> Result<Self, Error> {
        Ok(Self {
            cursor: TimeCursor::from_query(cx)?,
            limit: cx.limit()?,
        })
    }
}

async fn page(db: &Db, filter: &AuditFilter, place: &Place) -> Result<Response, ProjectsError> {
    let (rows, cursor) = entries(db, filter, place.cursor, place.limit).await?;
    let data = rows.into_iter().map(entry_shown).collect();
    Ok(Response::ok(&AuditPage { data, cursor }))
}

/// At most `limit` entries, and where older ones go on.
pub(super) async fn entries(
    db: &Db,
    filter: &AuditFilter,
    before: Option<TimeCursor>,
    limit: u64,
) -> Result<(Vec<AuditRow>, Option<String>), ProjectsError> {
    // One more than is shown tells whether there is more.
    let mut rows = audit_before(db, filter, before, limit + 1).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > shown;
    rows.truncate(shown);
    let cursor = rows.last().filter(|_| has_more).map(|last| {
        let place = TimeCursor {
            at: last.at_ms,
            id: last.id,
        };
        place.to_string()
    });
    Ok((rows, cursor))
}

pub(super) fn entry_shown(row: AuditRow) -> AuditEntry {
    AuditEntry {
        id: row.id,
        time: row.at_ms.to_string(),
        actor: row.actor_name,
        action: row.action,
        target: row.target,
        project_id: row.project_id.map(|id| id.0),
        detail: serde_json::from_str(&row.detail).unwrap_or_default(),
        request_id: row.request_id,
    }
}
