//! Changing the password, and proving that one knows it.

use nokube_guest::db::Db;
use nokube_guest::{Audit, Caller, Ctx, Error, Response};
use serde_json::json;

use super::live::live_user;
use crate::error::AuthError;
use crate::limits::{self, Limit, Standing};
use crate::password::Password;
use crate::store::accounts::{password_change, password_hash};
use crate::store::api_tokens::api_tokens_delete_all;
use crate::store::sessions::sessions_revoke_others;
use crate::store::users::UserRow;
use crate::throttle::Throttle;
use crate::{hashing, store};

/// Somebody who knows the account's password.
pub(super) struct Proven {
    pub(super) user: UserRow,
    pub(super) hash: String,
    /// What is left for the address.
    pub(super) standing: Standing,
}

/// `POST /auth/password`: every other session ends. API tokens stay unless `revoke_tokens` says otherwise:
/// they are credentials of their own, and what runs with them shall not stop for it.
pub(crate) async fn change_password(mut cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let mut fields = cx.fields().await?;
    let current = fields.text("current_password", Password::parse_given);
    let new = fields.text("new_password", Password::parse_new);
    let revoke_tokens = fields.optional("revoke_tokens", Ok::<bool, String>);
    if let (Some(current), Some(new)) = (&current, &new)
        && current.is_same(new)
    {
        fields.fault("new_password", "must be another than the present one");
    }
    let (current, new) = fields.finish(|| current.zip(new))?;
    let revoke_tokens = revoke_tokens.unwrap_or(false);
    let db = store::open(&cx).await?;
    let proven = prove_password(&cx, &db, &caller, &current).await?;
    if new.is_name_of_its_user(&proven.user.username, proven.user.email.as_deref()) {
        let reason = nokube_domain::Invalid::new("must not be the name or the address");
        return Err(Error::invalid("/new_password", &reason).into());
    }
    let hash = hashing::hash(&cx, &db, &new).await?;
    db.transaction(async |tx| {
        if !password_change(tx, caller.id, &proven.hash, &hash, cx.now()).await? {
            return Err(AuthError::WrongPassword(Vec::new()));
        }
        let ended = sessions_revoke_others(tx, caller.id, &caller.session_id, cx.now()).await?;
        let revoked = if revoke_tokens {
            api_tokens_delete_all(tx, caller.id).await?
        } else {
            0
        };
        let audit = Audit {
            action: "user.password",
            target: format!("user:{}", caller.id),
            project_id: None,
            detail: json!({ "sessions_ended": ended, "tokens_revoked": revoked }),
            actor: Some(&caller),
        };
        Ok(audit.write(&cx, tx).await?)
    })
    .await?;
    Ok(proven.standing.on_response(Response::no_content()))
}

/// Checks the caller's own password. Few wrong ones at a time: a stolen access token is not a way to try passwords.
/// The right one forgets them, whatever comes of the request.
pub(super) async fn prove_password(
    cx: &Ctx,
    db: &Db,
    caller: &Caller,
    password: &Password,
) -> Result<Proven, AuthError> {
    let user = live_user(db, caller).await?;
    let limit = Limit::password_from_address(cx)?;
    let of_address = db
        .transaction(async |tx| limits::take_within(cx, tx, &limit).await)
        .await?;
    let throttle = Throttle::password(caller.id);
    let of_account = throttle.take(cx, db).await?;
    let hash = password_hash(db, caller.id)
        .await?
        .ok_or(Error::Unauthenticated { given: true })?;
    let checked = hashing::verify(cx, db, password, Some(&hash)).await;
    if matches!(checked, Err(AuthError::TooManyHashes)) {
        throttle.withdraw(cx, db).await?;
    }
    if !checked? {
        return Err(AuthError::WrongPassword(vec![of_address, of_account]));
    }
    db.transaction(async |tx| throttle.forget(tx).await).await?;
    Ok(Proven {
        user,
        hash,
        standing: of_address,
    })
}
