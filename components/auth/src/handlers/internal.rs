//! What other parts of the platform may ask.

use nokube_api::auth::{SetupState, UserName, UserNames};
use nokube_domain::UserId;
use nokube_guest::{Ctx, Response};

use crate::error::AuthError;
use crate::store::{self, setup, users};

/// More than anyone needs at once; keeps one request from reading the whole table.
const MAX_IDS: usize = 100;

/// `GET /internal/setup`.
pub(crate) async fn get_setup_state(cx: Ctx) -> Result<Response, AuthError> {
    let db = store::open(&cx).await?;
    let setup_done = setup::setup_is_done(&db).await?;
    Ok(Response::ok(&SetupState { setup_done }))
}

/// `GET /internal/users?ids=1,2` or `?username=alice`.
pub(crate) async fn list_user_names(cx: Ctx) -> Result<Response, AuthError> {
    let db = store::open(&cx).await?;
    let mut rows = Vec::new();
    if let Some(username) = cx.query("username") {
        rows.extend(users::user_by_name(&db, &username).await?);
    }
    let ids = cx.query("ids").unwrap_or_default();
    for id in ids.split(',').take(MAX_IDS) {
        if let Ok(id) = UserId::parse(id.trim()) {
            rows.extend(users::user_by_id(&db, id).await?);
        }
    }
    let users = rows
        .into_iter()
        .map(|row| UserName {
            id: row.id.0,
            username: row.username,
        })
        .collect();
    Ok(Response::ok(&UserNames { users }))
}
