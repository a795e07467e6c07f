//! Taking one's data along, and leaving (docs/decisions/0013).

use nokube_api::auth::{AccountExport, KnownAddress, UserForgotten};
use nokube_api::export::OwnerData;
use nokube_domain::{Capability, Reach, Scope, UserId, UserRole};
use nokube_guest::db::Db;
use nokube_guest::{Audit, Caller, Ctx, Error, Method, Response};
use serde_json::json;

use super::api_tokens::token_shown;
use super::audit::audit_page;
use super::live::{live_user, require_live};
use super::password::prove_password;
use super::session_list::session_shown;
use super::totp::totp_state;
use super::user_shown;
use super::users::account_shown;
use crate::error::AuthError;
use crate::limits::{self, Limit};
use crate::password::Password;
use crate::store;
use crate::store::accounts::{
    account_by_id, account_close, account_delete, account_reopen, other_administrator,
};
use crate::store::api_tokens::api_tokens_of_user;
use crate::store::audit::{Actor, AuditFilter, audit_anonymise};
use crate::store::invitations::invitations_forget_user;
use crate::store::sessions::sessions_of_user;
use crate::store::throttles::addresses_of_user;
use crate::throttle::forget_account;

/// 10,000 × about 400 bytes: an answer of 4 MB at most. What is older is read from where its cursor points.
const EXPORTED_ENTRIES: u64 = 10_000;
/// Far more sessions than anyone has.
const EXPORTED_SESSIONS: u64 = 10_000;
/// Of events, read in pieces: an instance has 128 MiB, and holds them as text, as rows and as the answer.
const EXPORTED_BYTES: usize = 16 << 20;

/// `GET /auth/me/export`: what is kept about the caller and goes with the account, but for what is secret.
pub(crate) async fn export_me(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    require_all_of_it(&caller)?;
    let db = store::open(&cx).await?;
    require_live(&db, &caller).await?;
    let limit = Limit::export_of_account(caller.id);
    let standing = db
        .transaction(async |tx| limits::take_within(&cx, tx, &limit).await)
        .await?;
    let account = account_by_id(&db, caller.id).await?;
    let account = account.ok_or(Error::Unauthenticated { given: true })?;
    let sessions = sessions_of_user(&db, caller.id, cx.now(), EXPORTED_SESSIONS, 0).await?;
    let tokens = api_tokens_of_user(&db, caller.id, EXPORTED_ENTRIES, 0).await?;
    let addresses = addresses_of_user(&db, caller.id).await?.into_iter();
    let own = AuditFilter {
        actor: Some(Actor::User(caller.id)),
        ..AuditFilter::default()
    };
    let audit = audit_page(&db, &own, EXPORTED_ENTRIES).await?;
    let platform = data_in_projects(&cx, caller.id).await?;
    let export = AccountExport {
        exported_at: cx.now().to_string(),
        account: account_shown(account),
        sessions: sessions
            .into_iter()
            .map(|row| session_shown(row, &caller))
            .collect(),
        tokens: tokens.into_iter().map(token_shown).collect(),
        second_factor: totp_state(&db, caller.id).await?,
        known_addresses: addresses
            .map(|row| KnownAddress {
                address: row.address,
                last_used_at: row.last_used_at_ms.to_string(),
            })
            .collect(),
        audit: audit.data,
        audit_cursor: audit.cursor,
        memberships: platform.memberships,
        calendar_feed: platform.calendar_feed,
        events: platform.events,
        events_complete: platform.next.is_none(),
        activity: platform.activity,
        activity_cursor: platform.activity_cursor,
    };
    let answer = Response::ok(&export).header(
        "content-disposition",
        r#"attachment; filename="nokube-account.json""#,
    );
    Ok(standing.on_response(answer))
}

/// It has what other components show, so it is for whoever may read it there.
fn require_all_of_it(caller: &Caller) -> Result<(), AuthError> {
    let reads = |capability| Scope::Of(capability, Reach::Read);
    let needed = [Capability::Projects, Capability::Events].map(reads);
    match &caller.scopes {
        Some(scopes) if !needed.iter().all(|scope| scopes.include(*scope)) => Err(
            Error::Forbidden("This needs a token that may read projects and events as well.")
                .into(),
        ),
        _ => Ok(()),
    }
}

/// What the platform's database has of a user, with as many events as fit. Not all of it is not an answer.
async fn data_in_projects(cx: &Ctx, user: UserId) -> Result<OwnerData, AuthError> {
    let path = format!("/internal/owners/{user}");
    let (mut data, mut bytes) = owner_data(cx, &path).await?;
    while let Some(after) = data.next.clone().filter(|_| bytes < EXPORTED_BYTES) {
        let (more, more_bytes) = owner_data(cx, &format!("{path}?after={after}")).await?;
        bytes += more_bytes;
        data.events.extend(more.events);
        data.next = more.next;
    }
    Ok(data)
}

/// One piece, and how large it was.
async fn owner_data(cx: &Ctx, path: &str) -> Result<(OwnerData, usize), AuthError> {
    let answer = cx
        .call_component("projects", Method::GET, path, None::<&()>)
        .await?;
    Ok((answer.json()?, answer.body.len()))
}

/// `DELETE /auth/me`: the account and all that lets somebody in with it. Refused while it owns projects, and to the
/// last administrator.
///
/// It is disabled before anything is forgotten, so that of two administrators who leave at once the second is the last.
/// Should something fail after that, it is as before, and can be repeated.
pub(crate) async fn delete_me(mut cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let mut fields = cx.fields().await?;
    let password = fields.text("current_password", Password::parse_given);
    let password = fields.finish(|| password)?;
    let db = store::open(&cx).await?;
    let proven = prove_password(&cx, &db, &caller, &password).await?;
    db.transaction(async |tx| {
        // Once more: hashing took its time.
        let user = live_user(tx, &caller).await?;
        let is_admin = user.role == UserRole::Admin.as_str();
        cx.check_if_match(&user_shown(user))?;
        if is_admin && !other_administrator(tx, caller.id).await? {
            return Err(AuthError::LastAdministrator);
        }
        Ok(account_close(tx, caller.id, cx.now()).await?)
    })
    .await?;
    let deleted = match forget_in_projects(&cx, &caller).await {
        Ok(()) => delete_account(&cx, &db, &caller).await,
        Err(error) => Err(error),
    };
    if deleted.is_err() {
        db.transaction(async |tx| account_reopen(tx, caller.id, cx.now()).await)
            .await?;
    }
    deleted?;
    Ok(proven.standing.on_response(Response::no_content()))
}

async fn delete_account(cx: &Ctx, db: &Db, caller: &Caller) -> Result<(), AuthError> {
    db.transaction(async |tx| {
        forget_account(tx, caller.id).await?;
        invitations_forget_user(tx, caller.id).await?;
        let audit = Audit {
            action: "user.delete",
            target: format!("user:{}", caller.id),
            project_id: None,
            detail: json!({}),
            actor: Some(caller),
        };
        audit.write(cx, tx).await?;
        audit_anonymise(tx, caller.id).await?;
        account_delete(tx, caller.id).await?;
        Ok(())
    })
    .await
}

/// Only `projects` knows who owns what.
async fn forget_in_projects(cx: &Ctx, caller: &Caller) -> Result<(), AuthError> {
    let path = format!("/internal/owners/{}", caller.id);
    let answer = cx
        .call_component("projects", Method::DELETE, &path, None::<&()>)
        .await?;
    match answer.json::<UserForgotten>()?.owned_projects {
        0 => Ok(()),
        count => Err(AuthError::OwnsProjects(count)),
    }
}
