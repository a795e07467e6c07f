//! Signing in, going on, signing out.

use nokube_api::auth::{SignedIn, Verified};
use nokube_domain::{Timestamp, UserId, UserRole, Uuid7};
use nokube_guest::db::{Db, Tx};
use nokube_guest::{Audit, Caller, Ctx, Error, Fields, Response};
use serde_json::json;

use super::live::require_live;
use super::register::acting;
use super::user_shown;
use crate::error::AuthError;
use crate::hashing;
use crate::limits::{self, Limit};
use crate::password::Password;
use crate::second_factor::{self, Given};
use crate::store;
use crate::store::accounts::{password_hash, password_rehash};
use crate::store::sessions::{
    NewSession, RefreshRow, refresh_token_find, refresh_token_insert, refresh_token_use,
    session_insert, session_revoke, sessions_revoke_all,
};
use crate::store::throttles::address_remember;
use crate::store::users::{CredentialRow, UserRow, user_by_id, user_credentials};
use crate::throttle::LoginAttempt;
use crate::tokens::{self, RefreshToken};

/// Longer ones are cut: they are for people to recognise a session by.
const USER_AGENT_CHARS: usize = 200;

struct Login {
    account: String,
    password: Password,
    second: Option<Given>,
}

/// `POST /auth/login`.
pub(crate) async fn login(mut cx: Ctx) -> Result<Response, AuthError> {
    let login = parse_login(cx.fields().await?)?;
    let db = store::open(&cx).await?;
    let attempt = LoginAttempt::begin(&cx, &db, &login.account).await?;
    let checked = check_password(&cx, &db, &login).await;
    if matches!(checked, Err(AuthError::TooManyHashes)) {
        attempt.withdraw(&cx, &db).await?;
    }
    let Some(found) = checked? else {
        return Err(AuthError::WrongCredentials(attempt.standings));
    };
    let id = found.id;
    // The password was right: failures before it are forgotten, whatever comes of the second factor.
    db.transaction(async |tx| attempt.succeed(&cx, tx).await)
        .await?;
    let second = second_factor::count(&cx, &db, id, login.second.as_ref()).await?;
    let renewed = hashing::renew(&cx, &db, &login.password, &found.password_hash).await?;
    let refresh = RefreshToken::generate(&cx);
    let begun = db
        .transaction(async |tx| {
            let user = user_by_id(tx, id).await?;
            let user = user.ok_or(AuthError::WrongCredentials(Vec::new()))?;
            // Changed since it was looked at, or hashed anew by another sign-in: the next attempt tells which.
            if password_hash(tx, id).await? != Some(found.password_hash.clone()) {
                return Err(AuthError::TooManyHashes);
            }
            let second = second_factor::spend(&cx, tx, id, second.as_ref()).await?;
            let session_id = begin_session(&cx, tx, id, &refresh).await?;
            if let Some(hash) = &renewed {
                password_rehash(tx, id, &found.password_hash, hash).await?;
            }
            write_login(&cx, tx, &user, &session_id, second).await?;
            Ok::<_, AuthError>((user, session_id))
        })
        .await;
    if matches!(begun, Err(AuthError::WrongSecondFactor(_))) {
        second_factor::write_refusal(&cx, &db, id, None).await?;
    }
    let (user, session_id) = begun?;
    let tokens = tokens::issue(&cx, &db, &user, &session_id, refresh).await?;
    let user = user_shown(user);
    // The account's attempts are forgotten; the address's stay.
    let answer = Response::ok(&SignedIn { user, tokens });
    Ok(attempt
        .standings
        .iter()
        .take(1)
        .fold(answer, |answer, standing| standing.on_response(answer)))
}

/// The account, if there is one, it may sign in and this is its password. Takes the same time if not.
async fn check_password(
    cx: &Ctx,
    db: &Db,
    login: &Login,
) -> Result<Option<CredentialRow>, AuthError> {
    let credentials = user_credentials(db, &login.account)
        .await?
        .filter(|credentials| credentials.disabled_at_ms.is_none());
    let hash = credentials.as_ref().map(|row| row.password_hash.as_str());
    let is_right = hashing::verify(cx, db, &login.password, hash).await?;
    Ok(credentials.filter(|_| is_right))
}

fn parse_login(mut fields: Fields) -> Result<Login, AuthError> {
    let nothing_given = !fields.has("username") && !fields.has("email");
    // No rules here: a name that can't exist is as wrong as one that does not.
    let as_typed = |text: &str| Ok::<_, String>(text.trim().to_lowercase());
    let email = fields.optional_text("email", as_typed);
    let username = fields.optional_text("username", as_typed);
    let password = fields.text("password", Password::parse_given);
    let as_given = |text: &str| Ok::<_, String>(text.to_owned());
    let totp_code = fields.optional_text("totp_code", as_given);
    let recovery_code = fields.optional_text("recovery_code", as_given);
    if nothing_given {
        fields.fault("username", "is required, or an email");
    }
    // Whose password it is must not depend on which of them is looked at.
    if email.is_some() && username.is_some() {
        fields.fault("username", "must not be given with an email");
    }
    let account = email.or(username);
    Ok(fields.finish(|| {
        Some(Login {
            account: account.unwrap_or_default(),
            password: password?,
            second: Given::of(totp_code, recovery_code),
        })
    })?)
}

/// Begins a session with its first refresh token and returns its id.
pub(crate) async fn begin_session(
    cx: &Ctx,
    tx: &Tx,
    user_id: UserId,
    refresh: &RefreshToken,
) -> Result<String, AuthError> {
    let id = Uuid7::new(cx.now(), cx.random()).to_string();
    let user_agent: Option<String> = cx
        .headers()
        .get("user-agent")
        .map(|agent| agent.chars().take(USER_AGENT_CHARS).collect());
    let session = NewSession {
        id: &id,
        user_id,
        address: cx.client_address().map(|address| address.to_string()),
        user_agent: user_agent.as_deref(),
    };
    session_insert(tx, &session, cx.now()).await?;
    refresh_token_insert(tx, &id, &refresh.hash, cx.now()).await?;
    if cx.client_address().is_some() {
        address_remember(tx, user_id, &limits::address(cx), cx.now()).await?;
    }
    Ok(id)
}

async fn write_login(
    cx: &Ctx,
    tx: &Tx,
    user: &UserRow,
    session_id: &str,
    second_factor: Option<&'static str>,
) -> Result<(), AuthError> {
    let role = UserRole::parse(&user.role).unwrap_or(UserRole::User);
    let audit = Audit {
        action: "session.create",
        target: format!("session:{session_id}"),
        project_id: None,
        detail: json!({ "second_factor": second_factor }),
        actor: Some(&acting(user, role)),
    };
    Ok(audit.write(cx, tx).await?)
}

/// How a refresh token was taken.
enum Refreshed {
    Yes(UserRow, String),
    No,
}

/// `POST /auth/refresh`.
pub(crate) async fn refresh_tokens(mut cx: Ctx) -> Result<Response, AuthError> {
    let mut fields = cx.fields().await?;
    let given = fields.required("refresh_token", Ok::<String, String>);
    let given = fields.finish(|| given)?;
    let db = store::open(&cx).await?;
    let next = RefreshToken::generate(&cx);
    let hash = tokens::hash_refresh_token(&given);
    let limit = Limit::refresh_from_address(&cx)?;
    let (standing, outcome) = db
        .transaction(async |tx| {
            let standing = limits::take_within(&cx, tx, &limit).await?;
            let outcome = rotate(&cx, tx, &hash, &next).await?;
            Ok::<_, AuthError>((standing, outcome))
        })
        .await?;
    match outcome {
        Refreshed::Yes(user, session_id) => {
            let tokens = tokens::issue(&cx, &db, &user, &session_id, next).await?;
            Ok(standing.on_response(Response::ok(&tokens)))
        }
        Refreshed::No => Err(AuthError::RefreshRefused(standing)),
    }
}

/// Uses a token and adds the next. A token that was used before was stolen, from us or by us: its
/// whole session ends, and that must be committed, so it is not an error here.
async fn rotate(
    cx: &Ctx,
    tx: &Tx,
    hash: &[u8; 32],
    next: &RefreshToken,
) -> Result<Refreshed, AuthError> {
    let now = cx.now();
    let Some(found) = refresh_token_find(tx, hash).await? else {
        return Ok(Refreshed::No);
    };
    if found.revoked_at_ms.is_some() || found.expires_at_ms <= now {
        return Ok(Refreshed::No);
    }
    if !refresh_token_use(tx, hash, now).await? {
        revoke_stolen(cx, tx, &found).await?;
        return Ok(Refreshed::No);
    }
    let Some(user) = user_by_id(tx, found.user_id).await? else {
        return Ok(Refreshed::No);
    };
    refresh_token_insert(tx, &found.session_id, &next.hash, now).await?;
    Ok(Refreshed::Yes(user, found.session_id))
}

async fn revoke_stolen(cx: &Ctx, tx: &Tx, found: &RefreshRow) -> Result<(), AuthError> {
    session_revoke(tx, &found.session_id, cx.now()).await?;
    let audit = Audit {
        action: "session.revoke",
        target: format!("session:{}", found.session_id),
        project_id: None,
        detail: json!({ "reason": "a refresh token was used twice", "user_id": found.user_id.0 }),
        actor: None,
    };
    Ok(audit.write(cx, tx).await?)
}

/// `POST /auth/logout`, `?all=true`. An API token has no session of its own.
pub(crate) async fn logout(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let all = cx.flag("all")?;
    if !all && tokens::api_token_of(&caller.session_id).is_some() {
        return Err(
            Error::Forbidden("An API token has no session to end. Revoke the token.").into(),
        );
    }
    let db = store::open(&cx).await?;
    db.transaction(async |tx| {
        let ended = if all {
            sessions_revoke_all(tx, caller.id, cx.now()).await?
        } else {
            session_revoke(tx, &caller.session_id, cx.now()).await?
        };
        // Nothing to tell. And an access token whose account is gone must not bring its name back.
        if ended == 0 {
            return Ok(());
        }
        let audit = Audit {
            action: "session.end",
            target: format!("session:{}", caller.session_id),
            project_id: None,
            detail: json!({ "all": all }),
            actor: Some(&caller),
        };
        audit.write(&cx, tx).await?;
        Ok::<_, AuthError>(())
    })
    .await?;
    Ok(Response::no_content())
}

/// `GET /auth/verify`: the token is ours and current, and its session goes on.
pub(crate) async fn verify_token(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let db = store::open(&cx).await?;
    require_live(&db, &caller).await?;
    Ok(Response::ok(&Verified {
        valid: true,
        sub: caller.id.to_string(),
        username: caller.username,
        role: caller.role.as_str().to_owned(),
        expires_at: Timestamp::from_millis(caller.expires_at_seconds * 1_000).to_string(),
    }))
}
