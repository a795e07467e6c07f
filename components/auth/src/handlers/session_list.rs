//! The caller's sessions: which there are, and ending one.

use nokube_api::auth::Session;
use nokube_domain::Uuid7;
use nokube_guest::db::Db;
use nokube_guest::{Audit, Caller, Ctx, Error, Response};
use serde_json::json;

use super::live::require_live;
use crate::error::AuthError;
use crate::store;
use crate::store::sessions::{
    SessionRow, session_of_user, session_revoke, sessions_of_user, sessions_of_user_count,
};

/// `GET /auth/sessions`: those that go on, the last used first.
pub(crate) async fn list_sessions(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let paging = cx.paging()?;
    let db = store::open(&cx).await?;
    require_live(&db, &caller).await?;
    let total = sessions_of_user_count(&db, caller.id, cx.now()).await?;
    let rows = sessions_of_user(&db, caller.id, cx.now(), paging.limit(), paging.offset()).await?;
    let sessions = rows.into_iter().map(|row| session_shown(row, &caller));
    Ok(paging.answer(&cx, sessions.collect(), total))
}

/// `GET /auth/sessions/{id}`.
pub(crate) async fn get_session(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let id = cx.parameter("id", "session", Uuid7::parse)?.to_string();
    let db = store::open(&cx).await?;
    require_live(&db, &caller).await?;
    let session = shown(&cx, &db, &caller, &id).await?;
    Ok(cx.resource_in_use(&session, &lasting(&session)))
}

/// Going on does not change it.
fn lasting(session: &Session) -> Session {
    Session {
        last_used_at: String::new(),
        expires_at: String::new(),
        ..session.clone()
    }
}

/// `DELETE /auth/sessions/{id}`: its refresh token works no more, and its access tokens end with their 15 minutes.
pub(crate) async fn end_session(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let id = cx.parameter("id", "session", Uuid7::parse)?.to_string();
    let db = store::open(&cx).await?;
    db.transaction(async |tx| {
        require_live(tx, &caller).await?;
        cx.check_if_match(&lasting(&shown(&cx, tx, &caller, &id).await?))?;
        session_revoke(tx, &id, cx.now()).await?;
        let audit = Audit {
            action: "session.end",
            target: format!("session:{id}"),
            project_id: None,
            detail: json!({ "all": false }),
            actor: Some(&caller),
        };
        audit.write(&cx, tx).await?;
        Ok::<_, AuthError>(())
    })
    .await?;
    Ok(Response::no_content())
}

async fn shown(cx: &Ctx, db: &Db, caller: &Caller, id: &str) -> Result<Session, AuthError> {
    let row = session_of_user(db, caller.id, id, cx.now()).await?;
    Ok(session_shown(
        row.ok_or(Error::NotFound("session"))?,
        caller,
    ))
}

/// A session as its user sees it.
pub(crate) fn session_shown(row: SessionRow, caller: &Caller) -> Session {
    Session {
        current: row.id == caller.session_id,
        id: row.id,
        address: row.address,
        user_agent: row.user_agent,
        created_at: row.created_at_ms.to_string(),
        last_used_at: row.last_used_at_ms.to_string(),
        expires_at: row.expires_at_ms.to_string(),
    }
}
