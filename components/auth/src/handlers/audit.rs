//! What was done with accounts: by the caller, or by anyone.

use nokube_api::auth::{AuthAuditEntry, AuthAuditPage};
use nokube_domain::{Timestamp, UserId, Username};
use nokube_guest::db::Db;
use nokube_guest::{Caller, Ctx, Error, Response, TimeCursor};

use super::live::is_admin_now;
use crate::error::AuthError;
use crate::store;
use crate::store::audit::{Actor, AuditFilter, AuditRow, audit_find};
use crate::store::users::user_by_name;

/// Actions have a dozen characters or two.
const ACTION_CHARS: usize = 64;

/// Who is asked about: a name, an id, or `system` for the platform itself.
enum Wanted {
    Actor(Actor),
    Named(Username),
}

/// `GET /auth/audit?action=&actor=&from=&to=&cursor=&limit=`: the caller's own entries, for administrators all.
pub(crate) async fn list_auth_audit(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let limit = cx.limit()?;
    let mut filter = AuditFilter {
        after: TimeCursor::from_query(&cx)?,
        action: cx.query_as("action", parse_action)?,
        from: cx.query_as("from", Timestamp::parse)?,
        to: cx.query_as("to", Timestamp::parse)?,
        ..AuditFilter::default()
    };
    let wanted = cx.query_as("actor", parse_actor)?;
    let db = store::open(&cx).await?;
    let sees_all = is_admin_now(&db, &caller).await?;
    filter.actor = match wanted {
        None if sees_all => None,
        None => Some(Actor::User(caller.id)),
        Some(wanted) => {
            let Some(actor) = find_actor(&db, wanted).await? else {
                return Ok(Response::ok(&AuthAuditPage {
                    data: Vec::new(),
                    cursor: None,
                }));
            };
            if !sees_all && actor != Actor::User(caller.id) {
                return Err(Error::Forbidden("Only administrators read what others did.").into());
            }
            Some(actor)
        }
    };
    Ok(Response::ok(&audit_page(&db, &filter, limit).await?))
}

/// One page of what a filter lets through.
pub(super) async fn audit_page(
    db: &Db,
    filter: &AuditFilter,
    limit: u64,
) -> Result<AuthAuditPage, AuthError> {
    // One more than is shown tells whether there is more.
    let mut rows = audit_find(db, filter, limit + 1).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > shown;
    rows.truncate(shown);
    let cursor = match rows.last() {
        Some(last) if has_more => {
            let (at, id) = (last.at_ms, last.id);
            Some(TimeCursor { at, id }.to_string())
        }
        _ => None,
    };
    Ok(AuthAuditPage {
        data: rows.into_iter().map(entry_shown).collect(),
        cursor,
    })
}

fn parse_action(text: &str) -> Result<String, &'static str> {
    let is_action = text.len() <= ACTION_CHARS
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'_'));
    if is_action {
        Ok(text.to_owned())
    } else {
        Err("must be an action such as session.create")
    }
}

fn parse_actor(text: &str) -> Result<Wanted, &'static str> {
    if text == "system" {
        return Ok(Wanted::Actor(Actor::System));
    }
    if let Some(id) = text.strip_prefix("user:") {
        return UserId::parse(id)
            .map(|id| Wanted::Actor(Actor::User(id)))
            .map_err(|_| "must be a user's name, user:<id> or system");
    }
    Username::parse(text)
        .map(Wanted::Named)
        .map_err(|_| "must be a user's name, user:<id> or system")
}

async fn find_actor(db: &Db, wanted: Wanted) -> Result<Option<Actor>, AuthError> {
    match wanted {
        Wanted::Actor(actor) => Ok(Some(actor)),
        Wanted::Named(name) => {
            let user = user_by_name(db, name.as_str()).await?;
            Ok(user.map(|user| Actor::User(user.id)))
        }
    }
}

fn entry_shown(row: AuditRow) -> AuthAuditEntry {
    AuthAuditEntry {
        id: row.id,
        time: row.at_ms.to_string(),
        actor_id: row.actor_id,
        actor: row.actor_name,
        action: row.action,
        target: row.target,
        detail: serde_json::from_str(&row.detail).unwrap_or_default(),
        request_id: row.request_id,
        address: row.address,
    }
}
