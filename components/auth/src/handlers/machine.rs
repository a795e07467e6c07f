//! What whoever has the machine may do: `nokube admin`. None of it is served to anyone; see `MACHINE`.

use nokube_api::auth::{Account, PasswordReset};
use nokube_domain::{UserId, UserRole};
use nokube_guest::db::Tx;
use nokube_guest::{Ctx, Error, Fields, Response};
use serde_json::json;

use super::invitations::{invitation_insert_for, parse_invitation};
use super::users::{AccountChange, account_shown, apply, shown, write_audit};
use crate::error::AuthError;
use crate::password::Password;
use crate::store::accounts::{account_by_name, password_set};
use crate::store::api_tokens::{api_tokens_delete_all, api_tokens_live_count};
use crate::store::sessions::sessions_revoke_all;
use crate::store::totp::totp_delete;
use crate::throttle::forget_account;
use crate::{hashing, store};

/// `POST /machine/reset-password`: a new password; all sessions end. API tokens stay unless `revoke_tokens` says otherwise,
/// as at `POST /auth/password`; how many there are is told, since a thief's own would be among them.
pub(crate) async fn reset_password(mut cx: Ctx) -> Result<Response, AuthError> {
    let mut fields = cx.fields().await?;
    let account = account_field(&mut fields);
    let password = fields.text("password", Password::parse_new);
    let remove = fields.optional("remove_second_factor", Ok::<bool, String>);
    let revoke = fields.optional("revoke_tokens", Ok::<bool, String>);
    let (account, password) = fields.finish(|| Some((account?, password?)))?;
    let (remove, revoke) = (remove.unwrap_or(false), revoke.unwrap_or(false));
    let db = store::open(&cx).await?;
    let hash = hashing::hash(&cx, &db, &password).await?;
    let reset = change(&cx, &account, async |tx, before| {
        let (user, id) = (&before.user, UserId(before.user.id));
        if password.is_name_of_its_user(&user.username, user.email.as_deref()) {
            let reason = nokube_domain::Invalid::new("must not be the name or the address");
            return Err(Error::invalid("/password", &reason).into());
        }
        password_set(tx, id, &hash, cx.now()).await?;
        let ended = sessions_revoke_all(tx, id, cx.now()).await?;
        if remove {
            totp_delete(tx, id).await?;
        }
        let tokens_revoked = match revoke {
            true => api_tokens_delete_all(tx, id).await?,
            false => 0,
        };
        forget_account(tx, id).await?;
        let detail = json!({
            "second_factor_removed": remove, "sessions_ended": ended,
            "tokens_revoked": tokens_revoked,
        });
        write_audit(&cx, tx, None, "user.reset_password", id, detail).await?;
        Ok(PasswordReset {
            account: shown(tx, id).await?,
            tokens_left: api_tokens_live_count(tx, id, cx.now()).await?,
            tokens_revoked,
        })
    })
    .await?;
    Ok(Response::ok(&reset))
}

/// `POST /machine/make-admin`. It shows from the next access token on.
pub(crate) async fn make_admin(cx: Ctx) -> Result<Response, AuthError> {
    let change = AccountChange {
        role: Some(UserRole::Admin),
        disabled: None,
    };
    change_alone(cx, change).await
}

/// `POST /machine/close-account`: it signs in no more, and all its sessions end.
pub(crate) async fn close_account(cx: Ctx) -> Result<Response, AuthError> {
    let change = AccountChange {
        role: None,
        disabled: Some(true),
    };
    change_alone(cx, change).await
}

/// `POST /machine/open-account`.
pub(crate) async fn open_account(cx: Ctx) -> Result<Response, AuthError> {
    let change = AccountChange {
        role: None,
        disabled: Some(false),
    };
    change_alone(cx, change).await
}

/// `POST /machine/invitations`: as `POST /auth/invitations`, by nobody.
pub(crate) async fn invite(mut cx: Ctx) -> Result<Response, AuthError> {
    let request = parse_invitation(cx.fields().await?)?;
    let db = store::open(&cx).await?;
    let made = invitation_insert_for(&cx, &db, None, &request).await?;
    Ok(Response::json(201, &made))
}

fn account_field(fields: &mut Fields) -> Option<String> {
    fields.text("account", |text| {
        // As a sign-in reads it.
        Ok::<_, String>(text.trim().to_lowercase())
    })
}

/// As `PATCH /auth/users/{id}`, under the same rules, by nobody.
async fn change_alone(mut cx: Ctx, wanted: AccountChange) -> Result<Response, AuthError> {
    let mut fields = cx.fields().await?;
    let account = account_field(&mut fields);
    let account = fields.finish(|| account)?;
    let after = change(&cx, &account, async |tx, before| {
        apply(&cx, tx, None, before, &wanted).await
    })
    .await?;
    Ok(Response::ok(&after))
}

/// Finds the account and changes it.
async fn change<T>(
    cx: &Ctx,
    account: &str,
    work: impl AsyncFnOnce(&Tx, Account) -> Result<T, AuthError>,
) -> Result<T, AuthError> {
    let db = store::open(cx).await?;
    db.transaction(async |tx| {
        let row = account_by_name(tx, account).await?;
        let row = row.ok_or(Error::NotFound("account"))?;
        work(tx, account_shown(row)).await
    })
    .await
}
