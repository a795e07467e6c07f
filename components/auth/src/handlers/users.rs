//! Users, for administrators.

use nokube_api::auth::Account;
use nokube_domain::{UserId, UserRole};
use nokube_guest::db::{Db, Tx};
use nokube_guest::{Audit, Caller, Change, Ctx, Error, Fields, Response};
use serde_json::{Value, json};

use super::live::require_admin;
use super::user_shown;
use crate::error::AuthError;
use crate::store;
use crate::store::accounts::{
    AccountFilter, AccountRow, account_by_id, account_update, accounts_count, accounts_find,
    any_administrator,
};
use crate::store::sessions::sessions_revoke_all;
use crate::store::users::UserRow;

/// Longer searches find nothing that shorter ones don't.
const SEARCH_CHARS: usize = 100;

/// `GET /auth/users?q=&role=&disabled=&page=&limit=`.
pub(crate) async fn list_users(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let paging = cx.paging()?;
    let filter = AccountFilter {
        beginning: cx.query_as("q", |text| {
            if text.chars().count() > SEARCH_CHARS {
                Err("must have at most 100 characters")
            } else {
                Ok(text.to_lowercase())
            }
        })?,
        role: cx.query_as("role", UserRole::parse)?,
        disabled: cx.query_as("disabled", |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false"),
        })?,
    };
    let db = store::open(&cx).await?;
    require_admin(&db, &caller).await?;
    let total = accounts_count(&db, &filter).await?;
    let rows = accounts_find(&db, &filter, paging).await?;
    let accounts = rows.into_iter().map(account_shown).collect();
    Ok(paging.answer(&cx, accounts, total))
}

/// `GET /auth/users/{id}`.
pub(crate) async fn get_user(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let id = cx.parameter("id", "user", UserId::parse)?;
    let db = store::open(&cx).await?;
    require_admin(&db, &caller).await?;
    Ok(cx.resource(200, &shown(&db, id).await?))
}

/// What of an account shall change.
pub(super) struct AccountChange {
    pub(super) role: Option<UserRole>,
    pub(super) disabled: Option<bool>,
}

/// `PATCH /auth/users/{id}`: the role, and whether the account is disabled. Sessions of a disabled
/// account end; its API tokens stay, and are not exchanged until it is enabled again.
pub(crate) async fn update_user(mut cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let id = cx.parameter("id", "user", UserId::parse)?;
    let change = parse(cx.fields().await?)?;
    let db = store::open(&cx).await?;
    let account = db
        .transaction(async |tx| {
            require_admin(tx, &caller).await?;
            let before = shown(tx, id).await?;
            cx.check_if_match(&before)?;
            apply(&cx, tx, Some(&caller), before, &change).await
        })
        .await?;
    Ok(cx.resource(200, &account))
}

fn parse(mut fields: Fields) -> Result<AccountChange, Error> {
    let role = fields.changed_text("role", UserRole::parse);
    let disabled = fields.changed("disabled", Ok::<bool, String>);
    if role == Change::Unset {
        fields.fault("role", "must not be null");
    }
    if disabled == Change::Unset {
        fields.fault("disabled", "must not be null");
    }
    fields.finish(|| {
        Some(AccountChange {
            role: role.apply(None),
            disabled: disabled.apply(None),
        })
    })
}

/// Changes an account as an administrator does, or, without a caller, whoever has the machine.
pub(super) async fn apply(
    cx: &Ctx,
    tx: &Tx,
    caller: Option<&Caller>,
    before: Account,
    change: &AccountChange,
) -> Result<Account, AuthError> {
    let id = UserId(before.user.id);
    let old_role = UserRole::parse(&before.user.role)
        .map_err(|_| Error::Contradiction("a user has an unknown role"))?;
    let role = change.role.unwrap_or(old_role);
    let disabled = change.disabled.unwrap_or(before.disabled);
    if role == old_role && disabled == before.disabled {
        return Ok(before);
    }
    let after = account_update(tx, id, role, disabled, cx.now()).await?;
    let administered = old_role == UserRole::Admin && !before.disabled;
    if administered && !any_administrator(tx).await? {
        return Err(AuthError::LastAdministrator);
    }
    if role != old_role {
        let detail = json!({ "before": old_role.as_str(), "after": role.as_str() });
        write_audit(cx, tx, caller, "user.role", id, detail).await?;
    }
    if disabled && !before.disabled {
        let ended = sessions_revoke_all(tx, id, cx.now()).await?;
        let detail = json!({ "sessions_ended": ended });
        write_audit(cx, tx, caller, "user.disable", id, detail).await?;
    } else if before.disabled && !disabled {
        write_audit(cx, tx, caller, "user.enable", id, json!({})).await?;
    }
    Ok(account_shown(after))
}

/// The account with this id.
pub(super) async fn shown(db: &Db, id: UserId) -> Result<Account, AuthError> {
    let row = account_by_id(db, id).await?;
    Ok(account_shown(row.ok_or(Error::NotFound("user"))?))
}

/// An account as administrators see it.
pub(crate) fn account_shown(row: AccountRow) -> Account {
    Account {
        disabled: row.disabled_at_ms.is_some(),
        disabled_at: row.disabled_at_ms.map(|at| at.to_string()),
        updated_at: row.updated_at_ms.to_string(),
        user: user_shown(UserRow {
            id: row.id,
            username: row.username,
            email: row.email,
            role: row.role,
            created_at_ms: row.created_at_ms,
        }),
    }
}

/// Writes down who changed an account: somebody, or `nokube admin`.
pub(super) async fn write_audit(
    cx: &Ctx,
    tx: &Tx,
    caller: Option<&Caller>,
    action: &'static str,
    id: UserId,
    mut detail: Value,
) -> Result<(), AuthError> {
    if caller.is_none() {
        detail["by"] = "nokube admin".into();
    }
    let audit = Audit {
        action,
        target: format!("user:{id}"),
        project_id: None,
        detail,
        actor: caller,
    };
    Ok(audit.write(cx, tx).await?)
}
