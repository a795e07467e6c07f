//! The caller's second factor.

use nokube_api::auth::{RecoveryCodes, TotpBegun, TotpState};
use nokube_domain::UserId;
use nokube_guest::db::{Db, Tx};
use nokube_guest::{Audit, Caller, Ctx, Error, Response};
use serde_json::json;

use super::live::require_live;
use super::password::{Proven, prove_password};
use crate::error::AuthError;
use crate::password::Password;
use crate::second_factor::{self, Given};
use crate::store::totp::{self as rows, TotpRow};
use crate::throttle::Throttle;
use crate::tokens::api_token_of;
use crate::{store, totp};

/// `GET /auth/totp`.
pub(crate) async fn get_totp(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let db = open(&cx, &caller).await?;
    Ok(cx.resource(200, &totp_state(&db, caller.id).await?))
}

/// What a user's second factor is like.
pub(super) async fn totp_state(db: &Db, user: UserId) -> Result<TotpState, AuthError> {
    let row = rows::totp_find(db, user).await?;
    Ok(TotpState {
        enabled: row.is_some_and(|row| row.confirmed_at_ms.is_some()),
        recovery_codes_left: rows::recovery_codes_left(db, user).await?,
    })
}

/// `POST /auth/totp`: begins, or begins anew. It takes the password: else whoever has a stolen session could lock its
/// user out with a device of their own. Nothing changes for a sign-in before it is confirmed.
pub(crate) async fn begin_totp(mut cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let mut fields = cx.fields().await?;
    let password = fields.text("password", Password::parse_given);
    let password = fields.finish(|| password)?;
    let db = open(&cx, &caller).await?;
    let Proven { standing, .. } = prove_password(&cx, &db, &caller, &password).await?;
    let secret = cx.random::<{ totp::SECRET_BYTES }>();
    let sealed = second_factor::seal(&cx, caller.id, &secret)?;
    db.transaction(async |tx| {
        if !rows::totp_begin(tx, caller.id, &sealed, cx.now()).await? {
            return Err(AuthError::SecondFactorIsOn);
        }
        write_audit(&cx, tx, &caller, "totp.begin").await
    })
    .await?;
    let begun = TotpBegun {
        secret: totp::base32(&secret),
        uri: totp::key_uri(&caller.username, &secret),
    };
    Ok(standing.on_response(Response::json(201, &begun)))
}

/// `POST /auth/totp/confirm`: a code shows that the device has the secret. The only answer with the
/// recovery codes.
pub(crate) async fn confirm_totp(mut cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let mut fields = cx.fields().await?;
    let code = fields.text("code", |text| Ok::<_, String>(text.to_owned()));
    let code = fields.finish(|| code)?;
    let db = open(&cx, &caller).await?;
    // Before anything is counted: what is counted here keeps from signing in once it is on.
    require_begun(rows::totp_find(&db, caller.id).await?)?;
    let throttle = Throttle::code(caller.id);
    let standing = throttle.take(&cx, &db).await?;
    let codes: Vec<String> = (0..totp::RECOVERY_CODES)
        .map(|_| totp::recovery_code(cx.random()))
        .collect();
    let confirmed = db
        .transaction(async |tx| {
            let row = require_begun(rows::totp_find(tx, caller.id).await?)?;
            if !second_factor::uses(&cx, tx, caller.id, &row, &Given::Totp(code)).await? {
                return Ok::<_, AuthError>(false);
            }
            rows::totp_confirm(tx, caller.id, cx.now()).await?;
            for code in &codes {
                let hash = totp::hash_recovery_code(code);
                rows::recovery_code_insert(tx, caller.id, &hash).await?;
            }
            throttle.forget(tx).await?;
            write_audit(&cx, tx, &caller, "totp.enable").await?;
            Ok(true)
        })
        .await?;
    if !confirmed {
        return Err(AuthError::WrongSecondFactor(standing));
    }
    let answer = Response::ok(&RecoveryCodes {
        recovery_codes: codes,
    });
    Ok(standing.on_response(answer))
}

/// One that is begun and not on.
fn require_begun(row: Option<TotpRow>) -> Result<TotpRow, AuthError> {
    match row {
        None => Err(AuthError::SecondFactorNotBegun),
        Some(row) if row.confirmed_at_ms.is_some() => Err(AuthError::SecondFactorIsOn),
        Some(row) => Ok(row),
    }
}

/// `DELETE /auth/totp`: takes the password and a code, so that a stolen session is not enough.
pub(crate) async fn delete_totp(mut cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let mut fields = cx.fields().await?;
    let password = fields.text("password", Password::parse_given);
    let code = fields.optional_text("code", |text| Ok::<_, String>(text.to_owned()));
    let recovery = fields.optional_text("recovery_code", |text| Ok::<_, String>(text.to_owned()));
    if code.is_none() && recovery.is_none() {
        fields.fault("code", "is required, or a recovery_code");
    }
    let given = Given::of(code, recovery);
    let (password, given) = fields.finish(|| Some((password?, given?)))?;
    let db = open(&cx, &caller).await?;
    let Proven { standing, .. } = prove_password(&cx, &db, &caller, &password).await?;
    require_on(rows::totp_find(&db, caller.id).await?)?;
    let throttle = Throttle::code(caller.id);
    let of_codes = throttle.take(&cx, &db).await?;
    let removed = db
        .transaction(async |tx| {
            let row = require_on(rows::totp_find(tx, caller.id).await?)?;
            cx.check_if_match(&totp_state(tx, caller.id).await?)?;
            if !second_factor::uses(&cx, tx, caller.id, &row, &given).await? {
                return Ok::<_, AuthError>(false);
            }
            rows::totp_delete(tx, caller.id).await?;
            throttle.forget(tx).await?;
            write_audit(&cx, tx, &caller, "totp.disable").await?;
            Ok(true)
        })
        .await;
    if matches!(removed, Err(AuthError::Guest(Error::StaleVersion))) {
        throttle.withdraw(&cx, &db).await?;
    }
    match removed? {
        true => Ok(standing.on_response(Response::no_content())),
        false => {
            second_factor::write_refusal(&cx, &db, caller.id, Some(&caller)).await?;
            Err(AuthError::WrongSecondFactor(of_codes))
        }
    }
}

/// One that is on.
fn require_on(row: Option<TotpRow>) -> Result<TotpRow, AuthError> {
    let row = row.filter(|row| row.confirmed_at_ms.is_some());
    row.ok_or(AuthError::SecondFactorNotBegun)
}

/// The database, for a session of a person: a token made for a program has no business here.
async fn open(cx: &Ctx, caller: &Caller) -> Result<Db, AuthError> {
    if api_token_of(&caller.session_id).is_some() {
        return Err(Error::Forbidden("This needs a session, not an API token.").into());
    }
    let db = store::open(cx).await?;
    require_live(&db, caller).await?;
    Ok(db)
}

async fn write_audit(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    action: &'static str,
) -> Result<(), AuthError> {
    let audit = Audit {
        action,
        target: format!("user:{}", caller.id),
        project_id: None,
        detail: json!({}),
        actor: Some(caller),
    };
    Ok(audit.write(cx, tx).await?)
}
