//! What whoever has the machine may do: `nokube admin`. None of it is served to anyone; see `MACHINE`.

use nokube_domain::UserRole;
use nokube_guest::db::Tx;
use nokube_guest::{Audit, Ctx, Error, Fields, Response};
use serde_json::{Value, json};

use super::invitations::{invitation_insert_for, parse_invitation};
use crate::error::AuthError;
use crate::hashing;
use crate::password::Password;
use crate::store;
use crate::store::machine::{
    AccountRow, account_find, account_set_closed, account_set_password, account_set_role,
};
use crate::store::sessions::sessions_revoke_all;
use crate::store::totp::totp_delete;

/// `POST /machine/reset-password`: a new password; all sessions end.
pub(crate) async fn reset_password(mut cx: Ctx) -> Result<Response, AuthError> {
    let mut fields = cx.fields().await?;
    let account = account_field(&mut fields);
    let password = fields.text("password", Password::parse_new);
    let remove = fields.optional("remove_second_factor", Ok::<bool, String>);
    let (account, password) = fields.finish(|| Some((account?, password?)))?;
    let remove = remove.unwrap_or(false);
    let db = store::open(&cx).await?;
    let hash = hashing::hash(&cx, &db, &password).await?;
    change(&cx, &account, "user.reset_password", async |tx, row| {
        if password.is_name_of_its_user(&row.username, row.email.as_deref()) {
            let reason = nokube_domain::Invalid::new("must not be the name or the address");
            return Err(Error::invalid("/password", &reason).into());
        }
        account_set_password(tx, row.id, &hash, cx.now()).await?;
        sessions_revoke_all(tx, row.id, cx.now()).await?;
        if remove {
            totp_delete(tx, row.id).await?;
        }
        Ok(json!({ "second_factor_removed": remove }))
    })
    .await
}

/// `POST /machine/make-admin`. It shows from the next access token on.
pub(crate) async fn make_admin(mut cx: Ctx) -> Result<Response, AuthError> {
    let account = account_alone(cx.fields().await?)?;
    change(&cx, &account, "user.make_admin", async |tx, row| {
        account_set_role(tx, row.id, UserRole::Admin, cx.now()).await?;
        Ok(json!({ "role_before": row.role }))
    })
    .await
}

/// `POST /machine/close-account`: it signs in no more, and all its sessions end.
pub(crate) async fn close_account(mut cx: Ctx) -> Result<Response, AuthError> {
    let account = account_alone(cx.fields().await?)?;
    change(&cx, &account, "user.close", async |tx, row| {
        account_set_closed(tx, row.id, true, cx.now()).await?;
        sessions_revoke_all(tx, row.id, cx.now()).await?;
        Ok(json!({}))
    })
    .await
}

/// `POST /machine/open-account`.
pub(crate) async fn open_account(mut cx: Ctx) -> Result<Response, AuthError> {
    let account = account_alone(cx.fields().await?)?;
    change(&cx, &account, "user.open", async |tx, row| {
        account_set_closed(tx, row.id, false, cx.now()).await?;
        Ok(json!({}))
    })
    .await
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

fn account_alone(mut fields: Fields) -> Result<String, Error> {
    let account = account_field(&mut fields);
    fields.finish(|| account)
}

/// Finds the account, changes it, and writes down that it was done by hand.
async fn change(
    cx: &Ctx,
    account: &str,
    action: &'static str,
    work: impl AsyncFnOnce(&Tx, &AccountRow) -> Result<Value, AuthError>,
) -> Result<Response, AuthError> {
    let db = store::open(cx).await?;
    let answer = db
        .transaction(async |tx| {
            let row = account_find(tx, account).await?;
            let row = row.ok_or(Error::NotFound("account"))?;
            let mut detail = work(tx, &row).await?;
            detail["by"] = "nokube admin".into();
            let audit = Audit {
                action,
                target: format!("user:{}", row.id),
                project_id: None,
                detail,
                actor: None,
            };
            audit.write(cx, tx).await?;
            let after = account_find(tx, account).await?;
            let after = after.ok_or(Error::Contradiction("the account is gone"))?;
            Ok::<_, AuthError>(json!({
                "id": after.id.0,
                "username": after.username,
                "email": after.email,
                "role": after.role,
                "closed": after.disabled_at_ms.is_some(),
            }))
        })
        .await?;
    Ok(Response::ok(&answer))
}
