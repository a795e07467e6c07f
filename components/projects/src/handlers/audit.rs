//! What was done: in a project, by the caller, or anywhere.

use nokube_api::projects::{AuditEntry, AuditPage};
use nokube_domain::{ProjectId, ProjectRole};
use nokube_guest::db::Db;
use nokube_guest::platform::{self, project_for};
use nokube_guest::{Caller, Ctx, Cursor, Response};

use crate::error::ProjectsError;
use crate::store::audit::{AuditRow, Scope, audit_before};

/// `GET /projects/{id}/activity`: for every member.
pub(crate) async fn list_project_activity(
    cx: Ctx,
    caller: Caller,
) -> Result<Response, ProjectsError> {
    let id = cx.parameter("id", "project", ProjectId::parse)?;
    let db = platform::open(&cx).await?;
    project_for(&db, &caller, id, ProjectRole::Viewer).await?;
    page(&cx, &db, &Scope::Project(id)).await
}

/// `GET /audit`: the caller's own entries; for administrators all, or with `?project_id=` one project's.
pub(crate) async fn list_audit(cx: Ctx, caller: Caller) -> Result<Response, ProjectsError> {
    let project = cx.query_as("project_id", ProjectId::parse)?;
    let db = platform::open(&cx).await?;
    let scope = match project {
        Some(id) => {
            project_for(&db, &caller, id, ProjectRole::Viewer).await?;
            Scope::Project(id)
        }
        None if caller.is_admin() => Scope::All,
        None => Scope::Actor(caller.id),
    };
    page(&cx, &db, &scope).await
}

async fn page(cx: &Ctx, db: &Db, scope: &Scope) -> Result<Response, ProjectsError> {
    let limit = cx.paging()?.limit();
    let before = match Cursor::from_query(cx)? {
        Cursor(0) => i64::MAX,
        Cursor(position) => position,
    };
    // One more than is shown tells whether there is more.
    let mut rows = audit_before(db, scope, before, limit + 1).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > shown;
    rows.truncate(shown);
    let cursor = match rows.last() {
        Some(last) if has_more => Some(Cursor(last.id).to_string()),
        _ => None,
    };
    let data = rows.into_iter().map(entry_shown).collect();
    Ok(Response::ok(&AuditPage { data, cursor }))
}

fn entry_shown(row: AuditRow) -> AuditEntry {
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
