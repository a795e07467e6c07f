//! The second factor at a sign-in: sealed at rest, each code good once, few wrong ones at a time; and whether everybody
//! needs one (docs/decisions/0023).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nokube_domain::{Capability, Reach, Scope, Scopes, UserId};
use nokube_guest::db::{Db, Tx};
use nokube_guest::{Audit, Caller, Ctx, Error};
use nokube_keys::{SealingKey, Secret};
use serde_json::json;
use zeroize::Zeroizing;

use crate::error::AuthError;
use crate::limits::Standing;
use crate::store::totp::{TotpRow, recovery_code_use, totp_find, totp_use_step};
use crate::throttle::Throttle;
use crate::totp;

/// What somebody shows beside the password.
pub(crate) enum Given {
    Totp(String),
    Recovery(String),
}

impl Given {
    /// The code of the device counts when both are there: a recovery code is spent last.
    pub(crate) fn of(totp: Option<String>, recovery: Option<String>) -> Option<Self> {
        totp.map(Self::Totp).or(recovery.map(Self::Recovery))
    }

    /// As the audit trail has it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Totp(_) => "totp",
            Self::Recovery(_) => "recovery_code",
        }
    }
}

/// Whether the variable `second_factor` demands one of everybody. What is not understood lets nobody in by mistake.
fn is_required(cx: &Ctx) -> Result<bool, Error> {
    match cx.variable("second_factor").as_deref().map(str::trim) {
        None | Some("optional") => Ok(false),
        Some("required") => Ok(true),
        Some(_) => Err(Error::Configuration("second_factor")),
    }
}

/// Whether a user has none where one is demanded.
pub(crate) async fn is_missing(cx: &Ctx, db: &Db, user: UserId) -> Result<bool, AuthError> {
    if !is_required(cx)? {
        return Ok(false);
    }
    let row = totp_find(db, user).await?;
    Ok(row.is_none_or(|row| row.confirmed_at_ms.is_none()))
}

/// What the sessions of a user are good for: for everything, or, while a second factor is missing, for the account
/// alone, where one is set up.
pub(crate) async fn scopes_of_session(
    cx: &Ctx,
    db: &Db,
    user: UserId,
) -> Result<Option<Scopes>, AuthError> {
    let of_account = [Reach::Read, Reach::Write].map(|reach| Scope::Of(Capability::Account, reach));
    let is_missing = is_missing(cx, db, user).await?;
    Ok(is_missing.then(|| of_account.into_iter().collect()))
}

/// A second factor that was counted, and is looked at later.
pub(crate) struct Counted<'a> {
    given: &'a Given,
    throttle: Throttle,
    standing: Standing,
}

/// Counts what a sign-in with the right password shows, or says what else it takes. Nothing for an account without one.
///
/// # Errors
/// [`AuthError::SecondFactorRequired`], [`AuthError::TooManyAttempts`].
pub(crate) async fn count<'a>(
    cx: &Ctx,
    db: &Db,
    user: UserId,
    given: Option<&'a Given>,
) -> Result<Option<Counted<'a>>, AuthError> {
    let row = totp_find(db, user).await?;
    if row.is_none_or(|row| row.confirmed_at_ms.is_none()) {
        return Ok(None);
    }
    let given = given.ok_or(AuthError::SecondFactorRequired)?;
    let throttle = Throttle::code(user);
    // Over all addresses: who is here has the password.
    let standing = throttle.take(cx, db).await?;
    Ok(Some(Counted {
        given,
        throttle,
        standing,
    }))
}

/// Uses what was counted, in the transaction that makes the session: what brings nobody in is not used up. Says what it
/// was; nothing where none is needed.
///
/// # Errors
/// [`AuthError::WrongSecondFactor`]; [`AuthError::SecondFactorRequired`] when it was turned on since.
pub(crate) async fn spend(
    cx: &Ctx,
    tx: &Tx,
    user: UserId,
    counted: Option<&Counted<'_>>,
) -> Result<Option<&'static str>, AuthError> {
    let row = totp_find(tx, user).await?;
    let Some(row) = row.filter(|row| row.confirmed_at_ms.is_some()) else {
        return Ok(None);
    };
    let counted = counted.ok_or(AuthError::SecondFactorRequired)?;
    if !uses(cx, tx, user, &row, counted.given).await? {
        return Err(AuthError::WrongSecondFactor(counted.standing.clone()));
    }
    counted.throttle.forget(tx).await?;
    Ok(Some(counted.given.kind()))
}

/// Writes down that the password was right and what was shown beside it was not: whoever did it knows the password. How
/// often that can be is bounded by the delays.
pub(crate) async fn write_refusal(
    cx: &Ctx,
    db: &Db,
    user: UserId,
    actor: Option<&Caller>,
) -> Result<(), AuthError> {
    db.transaction(async |tx| {
        let audit = Audit {
            action: "totp.refuse",
            target: format!("user:{user}"),
            project_id: None,
            detail: json!({}),
            actor,
        };
        Ok(audit.write(cx, tx).await?)
    })
    .await
}

/// Uses up what was given, if it is right and was not used before.
pub(crate) async fn uses(
    cx: &Ctx,
    tx: &Tx,
    user: UserId,
    row: &TotpRow,
    given: &Given,
) -> Result<bool, AuthError> {
    match given {
        Given::Recovery(code) => {
            let hash = totp::hash_recovery_code(code);
            Ok(recovery_code_use(tx, user, &hash, cx.now()).await?)
        }
        Given::Totp(code) => {
            let secret = open(cx, user, &row.secret)?;
            let seconds = u64::try_from(cx.now().seconds()).unwrap_or(0);
            match totp::matching_step(&secret, code, seconds) {
                None => Ok(false),
                Some(step) => Ok(totp_use_step(tx, user, step).await?),
            }
        }
    }
}

/// Seals a user's secret: it opens for nobody else.
pub(crate) fn seal(cx: &Ctx, user: UserId, secret: &[u8]) -> Result<String, AuthError> {
    let text = Secret::new(URL_SAFE_NO_PAD.encode(secret));
    Ok(key(cx)?.seal(&text, &place(user), cx.random()))
}

fn open(cx: &Ctx, user: UserId, sealed: &str) -> Result<Zeroizing<Vec<u8>>, AuthError> {
    let unusable = || AuthError::from(Error::Configuration("auth_sealing_key"));
    let text = key(cx)?
        .open(sealed, &place(user))
        .map_err(|_| unusable())?;
    let secret = URL_SAFE_NO_PAD.decode(text.expose());
    secret.map(Zeroizing::new).map_err(|_| unusable())
}

/// A key that only auth has.
fn key(cx: &Ctx) -> Result<SealingKey, Error> {
    let text = Zeroizing::new(cx.required_variable("auth_sealing_key")?);
    SealingKey::from_base64(&text).map_err(|_| Error::Configuration("auth_sealing_key"))
}

fn place(user: UserId) -> String {
    format!("totp/{user}")
}
