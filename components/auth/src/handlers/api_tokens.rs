//! Personal API tokens: making, listing, revoking, and exchanging one for an access token.

use nokube_api::auth::{AccessToken, ApiToken, NewApiToken};
use nokube_domain::{DisplayName, Scope, Scopes, Timestamp, UserRole, Uuid7};
use nokube_guest::db::{Db, Tx};
use nokube_guest::{Audit, Caller, Ctx, Error, Fields, Response};
use serde_json::{Value, json};

use super::live::{live_user, require_live};
use super::register::acting;
use super::user_shown;
use crate::api_token::ApiTokenValue;
use crate::error::AuthError;
use crate::limits::{self, Limit};
use crate::store::api_tokens::{
    self, ApiTokenRow, api_token_delete, api_token_insert, api_token_last_used, api_token_of_user,
    api_token_use, api_tokens_count, api_tokens_drop_old, api_tokens_of_user,
};
use crate::store::users::{UserRow, user_by_id};
use crate::tokens::{self, ACCESS_SECONDS, API_TOKEN_SESSION, api_token_of};
use crate::{second_factor, store};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// A token that nobody thought about ends within a quarter.
const DEFAULT_LIFE_MS: i64 = 90 * DAY_MS;
/// A year, so that "next year today" is accepted in every year.
const MOST_LIFE_MS: i64 = 366 * DAY_MS;
/// Of one user, unless the variable `max_api_tokens_per_user` says otherwise.
const MAX_TOKENS: u64 = 50;
/// There are 17 different ones.
const MAX_SCOPES: usize = 17;

struct Wanted {
    name: DisplayName,
    scopes: Scopes,
    expires_at: Option<Timestamp>,
}

/// `POST /auth/tokens`: the only answer that has the value. A token that is made with a token has no
/// scope that its maker lacks, does not outlive it, and is revoked with it.
pub(crate) async fn create_api_token(mut cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let now = cx.now();
    let wanted = parse(cx.fields().await?, now)?;
    let limit = cx.number_variable("max_api_tokens_per_user", MAX_TOKENS)?;
    let db = store::open(&cx).await?;
    let value = ApiTokenValue::generate(&cx);
    let row = db
        .transaction(async |tx| {
            let user = live_user(tx, &caller).await?;
            require_second_factor(&cx, tx, &user).await?;
            require_grantable(&caller, &user, &wanted.scopes)?;
            let expires_at = end_of(tx, &caller, wanted.expires_at, now).await?;
            api_tokens_drop_old(tx, now).await?;
            if api_tokens_count(tx, caller.id).await? >= limit {
                return Err(AuthError::TooManyTokens(limit));
            }
            let row = insert(&cx, tx, &caller, &wanted, &value, expires_at).await?;
            let detail = json!({ "name": row.name, "scopes": wanted.scopes.to_strings() });
            write_audit(&cx, tx, &caller, "token.create", &row.id, detail).await?;
            Ok(row)
        })
        .await?;
    let location = format!("/api/v1/auth/tokens/{}", row.id);
    let answer = NewApiToken {
        about: token_shown(row),
        token: value.reveal().to_owned(),
    };
    Ok(Response::json(201, &answer).location(location))
}

fn parse(mut fields: Fields, now: Timestamp) -> Result<Wanted, AuthError> {
    let name = fields.text("name", DisplayName::parse);
    let scopes = fields.required("scopes", |list: Value| parse_scopes(&list));
    let expires_at = fields.optional_text("expires_at", |text| {
        let at = Timestamp::parse(text).map_err(|invalid| invalid.to_string())?;
        if at <= now {
            Err("must be in the future".to_owned())
        } else if at > now.plus_millis(MOST_LIFE_MS) {
            Err("must be at most 366 days ahead".to_owned())
        } else {
            Ok(at)
        }
    });
    Ok(fields.finish(|| {
        Some(Wanted {
            name: name?,
            scopes: scopes?,
            expires_at,
        })
    })?)
}

fn parse_scopes(list: &Value) -> Result<Scopes, String> {
    let entries = list.as_array().ok_or("must be a list of strings")?;
    if !(1..=MAX_SCOPES).contains(&entries.len()) {
        return Err(format!("must name 1 to {MAX_SCOPES} scopes"));
    }
    let scope = |(at, entry): (usize, &Value)| {
        let text = entry.as_str().ok_or("must be a list of strings")?;
        Scope::parse(text).map_err(|invalid| format!("entry {} {invalid}", at + 1))
    };
    entries.iter().enumerate().map(scope).collect()
}

/// Where everybody needs a second factor, a program does for nobody what they could not do themselves.
async fn require_second_factor(cx: &Ctx, db: &Db, user: &UserRow) -> Result<(), AuthError> {
    match second_factor::is_missing(cx, db, user.id).await? {
        true => Err(AuthError::NoSecondFactor),
        false => Ok(()),
    }
}

/// Nobody grants what they do not have.
fn require_grantable(caller: &Caller, user: &UserRow, wanted: &Scopes) -> Result<(), AuthError> {
    if let Some(missing) = caller.scopes.as_ref().and_then(|own| wanted.beyond(own)) {
        return Err(Error::ScopeMissing(missing).into());
    }
    // A token that waits for its user to become administrator would surprise whoever makes them one.
    if wanted.include(Scope::Admin) && user.role != UserRole::Admin.as_str() {
        let reason = nokube_domain::Invalid::new("admin is for administrators");
        return Err(Error::invalid("/scopes", &reason).into());
    }
    Ok(())
}

/// When a new token ends: as wanted, but not after the token that makes it.
async fn end_of(
    db: &Db,
    caller: &Caller,
    wanted: Option<Timestamp>,
    now: Timestamp,
) -> Result<Timestamp, AuthError> {
    let usual = now.plus_millis(DEFAULT_LIFE_MS);
    let Some(maker) = api_token_of(&caller.session_id) else {
        return Ok(wanted.unwrap_or(usual));
    };
    let maker = api_token_of_user(db, caller.id, maker).await?;
    let last = maker
        .ok_or(Error::Unauthenticated { given: true })?
        .expires_at_ms;
    if wanted.is_some_and(|wanted| wanted > last) {
        let reason =
            nokube_domain::Invalid::new("must not be after the end of the token that makes it");
        return Err(Error::invalid("/expires_at", &reason).into());
    }
    Ok(wanted.unwrap_or(usual.min(last)))
}

async fn insert(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    wanted: &Wanted,
    value: &ApiTokenValue,
    expires_at: Timestamp,
) -> Result<ApiTokenRow, AuthError> {
    let token = api_tokens::NewApiToken {
        id: &Uuid7::new(cx.now(), cx.random()).to_string(),
        user_id: caller.id,
        made_by: api_token_of(&caller.session_id),
        hash: &value.hash(),
        name: wanted.name.as_str(),
        scopes: &wanted.scopes.to_string(),
        expires_at,
    };
    Ok(api_token_insert(tx, &token, cx.now()).await?)
}

/// `GET /auth/tokens`, newest first; those that ended within 30 days as well.
pub(crate) async fn list_api_tokens(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let paging = cx.paging()?;
    let db = store::open(&cx).await?;
    require_live(&db, &caller).await?;
    let total = api_tokens_count(&db, caller.id).await?;
    let rows = api_tokens_of_user(&db, caller.id, paging.limit(), paging.offset()).await?;
    let tokens = rows.into_iter().map(token_shown).collect();
    Ok(paging.answer(&cx, tokens, total))
}

/// `GET /auth/tokens/{id}`.
pub(crate) async fn get_api_token(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let id = cx.parameter("id", "API token", Uuid7::parse)?.to_string();
    let db = store::open(&cx).await?;
    require_live(&db, &caller).await?;
    let token = shown(&db, &caller, &id).await?;
    Ok(cx.resource_in_use(&token, &lasting(&token)))
}

/// Its use does not change it.
fn lasting(token: &ApiToken) -> ApiToken {
    ApiToken {
        last_used_at: None,
        ..token.clone()
    }
}

/// `DELETE /auth/tokens/{id}`: no exchange any more; access tokens it was exchanged for end with their 15 minutes.
pub(crate) async fn revoke_api_token(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let id = cx.parameter("id", "API token", Uuid7::parse)?.to_string();
    let db = store::open(&cx).await?;
    db.transaction(async |tx| {
        require_live(tx, &caller).await?;
        let token = shown(tx, &caller, &id).await?;
        cx.check_if_match(&lasting(&token))?;
        api_token_delete(tx, caller.id, &id).await?;
        let detail = json!({ "name": token.name });
        write_audit(&cx, tx, &caller, "token.revoke", &id, detail).await
    })
    .await?;
    Ok(Response::no_content())
}

/// `POST /auth/token`.
pub(crate) async fn exchange_api_token(mut cx: Ctx) -> Result<Response, AuthError> {
    let mut fields = cx.fields().await?;
    fields.text("grant_type", |text| match text {
        "api_token" => Ok(()),
        _ => Err("must be api_token"),
    });
    let given = fields.required("token", |text: String| {
        Ok::<_, String>(ApiTokenValue::parse(text.trim()))
    });
    // What can't be one is not looked for, nor counted.
    let value = fields.finish(|| given)?;
    let value = value.ok_or(AuthError::TokenRefused(Vec::new()))?;
    let db = store::open(&cx).await?;
    let limit = Limit::exchange_from_address(&cx)?;
    let standings = limits::take(&cx, &db, &[&limit]).await?;
    let refused = || AuthError::TokenRefused(standings.clone());
    let (used, user) = db
        .transaction(async |tx| {
            let before = api_token_last_used(tx, &value.hash()).await?;
            let used = api_token_use(tx, &value.hash(), cx.now()).await?;
            let used = used.ok_or_else(refused)?;
            // Nothing for an account that is disabled.
            let user = user_by_id(tx, used.user_id).await?;
            let user = user.ok_or_else(refused)?;
            require_second_factor(&cx, tx, &user).await?;
            // A program does this every quarter of an hour: one entry for each day it is used is enough.
            if before.is_none_or(|before| before <= cx.now().plus_millis(-DAY_MS)) {
                let role = UserRole::parse(&user.role).unwrap_or(UserRole::User);
                let actor = acting(&user, role);
                write_audit(&cx, tx, &actor, "token.exchange", &used.id, json!({})).await?;
            }
            Ok::<_, AuthError>((used, user))
        })
        .await?;
    let left_ms = used
        .expires_at_ms
        .millis()
        .saturating_sub(cx.now().millis());
    let expires_in = u64::try_from(left_ms / 1_000)
        .unwrap_or(0)
        .clamp(1, ACCESS_SECONDS);
    let scopes = Scopes::of_token(&used.scopes);
    let session = format!("{API_TOKEN_SESSION}{}", used.id);
    let answer = AccessToken {
        access_token: tokens::issue_access(&cx, &user, &session, Some(&scopes), expires_in)?,
        token_type: "Bearer".to_owned(),
        expires_in,
        scope: scopes.to_string(),
        user: user_shown(user),
    };
    Ok(standings
        .iter()
        .fold(Response::ok(&answer), |answer, standing| {
            standing.on_response(answer)
        }))
}

async fn shown(db: &Db, caller: &Caller, id: &str) -> Result<ApiToken, AuthError> {
    let row = api_token_of_user(db, caller.id, id).await?;
    Ok(token_shown(row.ok_or(Error::NotFound("API token"))?))
}

/// A token as its user sees it.
pub(crate) fn token_shown(row: ApiTokenRow) -> ApiToken {
    ApiToken {
        id: row.id,
        name: row.name,
        scopes: Scopes::of_token(&row.scopes).to_strings(),
        created_at: row.created_at_ms.to_string(),
        expires_at: row.expires_at_ms.to_string(),
        last_used_at: row.last_used_at_ms.map(|at| at.to_string()),
    }
}

async fn write_audit(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    action: &'static str,
    id: &str,
    detail: Value,
) -> Result<(), AuthError> {
    let audit = Audit {
        action,
        target: format!("token:{id}"),
        project_id: None,
        detail,
        actor: Some(caller),
    };
    Ok(audit.write(cx, tx).await?)
}
