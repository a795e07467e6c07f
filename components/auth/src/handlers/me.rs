//! The caller's own account.

use nokube_api::auth::User;
use nokube_domain::Email;
use nokube_guest::db::{DbError, Tx};
use nokube_guest::{Audit, Caller, Change, Ctx, Response};
use serde_json::json;

use super::live::{live_user, require_live};
use super::user_shown;
use crate::error::AuthError;
use crate::limits::{self, Limit};
use crate::store;
use crate::store::users::user_set_email;

/// `GET /auth/me`.
pub(crate) async fn get_me(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let db = store::open(&cx).await?;
    let user = user_shown(live_user(&db, &caller).await?);
    Ok(cx.resource(200, &user))
}

/// `PATCH /auth/me`: the address. The name is part of host and image names and stays.
pub(crate) async fn update_me(mut cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let mut fields = cx.fields().await?;
    let email = fields.changed_text("email", Email::parse);
    let email = fields.finish(|| Some(email))?;
    let db = store::open(&cx).await?;
    let limit = Limit::change_of_account(caller.id);
    // In a transaction of its own: one that is refused because the address is taken counts.
    let standing = db
        .transaction(async |tx| {
            require_live(tx, &caller).await?;
            limits::take_within(&cx, tx, &limit).await
        })
        .await?;
    let user = db
        .transaction(async |tx| change_email(&cx, tx, &caller, email).await)
        .await?;
    Ok(standing.on_response(cx.resource(200, &user)))
}

async fn change_email(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    email: Change<Email>,
) -> Result<User, AuthError> {
    let user = user_shown(live_user(tx, caller).await?);
    cx.check_if_match(&user)?;
    let email = match email {
        Change::Keep => return Ok(user),
        Change::Unset => None,
        Change::Set(email) => Some(email.into_string()),
    };
    let row = user_set_email(tx, caller.id, email.as_deref(), cx.now())
        .await
        .map_err(|error| match error {
            DbError::NotUnique(_) => AuthError::Taken("email"),
            other => other.into(),
        })?;
    let audit = Audit {
        action: "user.update",
        target: format!("user:{}", caller.id),
        project_id: None,
        detail: json!({ "changed": ["email"] }),
        actor: Some(caller),
    };
    audit.write(cx, tx).await?;
    Ok(user_shown(row))
}
