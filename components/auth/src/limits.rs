//! What one address may do in a fixed window, and the headers that say how much is left.
//!
//! What an address over its limit sends is counted for that address only, so that it can neither
//! slow accounts down (`throttle`) nor fill the database.

use nokube_domain::UserId;
use nokube_guest::Ctx;
use nokube_guest::db::{Db, Tx};
pub(crate) use nokube_guest::limits::{Standing, WINDOW_MS, address};

use crate::error::AuthError;
use crate::store::attempts::{self, AttemptRow};

/// One thing that is counted.
pub(crate) struct Limit {
    name: &'static str,
    bucket: String,
    quota: u64,
}

impl Limit {
    /// Sign-ins from one address.
    pub(crate) fn login_from_address(cx: &Ctx) -> Result<Self, AuthError> {
        Ok(Self {
            name: "address",
            bucket: format!("login:address:{}", address(cx)),
            quota: cx.number_variable("login_limit_per_address", 100)?,
        })
    }

    /// Passwords that callers who are signed in give once more, from one address. Right ones count: each is hashed, and
    /// whoever signs in waits in the same queue. As many as sign-ins.
    pub(crate) fn password_from_address(cx: &Ctx) -> Result<Self, AuthError> {
        Ok(Self {
            name: "address",
            bucket: format!("password:address:{}", address(cx)),
            quota: cx.number_variable("login_limit_per_address", 100)?,
        })
    }

    /// Exports of one account: each may be some ten thousand rows of two databases.
    pub(crate) fn export_of_account(user: UserId) -> Self {
        Self {
            name: "account",
            bucket: format!("export:user:{user}"),
            quota: 10,
        }
    }

    /// Changes of one account's address, refused ones among them: that an address is taken tells that it has an account.
    pub(crate) fn change_of_account(user: UserId) -> Self {
        Self {
            name: "account",
            bucket: format!("change:user:{user}"),
            quota: 20,
        }
    }

    /// Registrations from one address.
    pub(crate) fn register_from_address(cx: &Ctx) -> Result<Self, AuthError> {
        Ok(Self {
            name: "address",
            bucket: format!("register:address:{}", address(cx)),
            quota: cx.number_variable("register_limit_per_address", 600)?,
        })
    }

    /// Exchanges of API tokens from one address. Their values can't be guessed; this bounds the work.
    pub(crate) fn exchange_from_address(cx: &Ctx) -> Result<Self, AuthError> {
        Ok(Self {
            name: "address",
            bucket: format!("token:address:{}", address(cx)),
            quota: cx.number_variable("token_limit_per_address", 600)?,
        })
    }

    /// Refreshes from one address, an office with a thousand sessions among them. Refresh tokens can't be guessed,
    /// either; this bounds the work.
    pub(crate) fn refresh_from_address(cx: &Ctx) -> Result<Self, AuthError> {
        Ok(Self {
            name: "address",
            bucket: format!("refresh:address:{}", address(cx)),
            quota: cx.number_variable("refresh_limit_per_address", 3_000)?,
        })
    }

    /// Wrong setup codes from one address. The code is long; this keeps the log short.
    pub(crate) fn setup_from_address(cx: &Ctx) -> Self {
        Self {
            name: "setup",
            bucket: format!("setup:address:{}", address(cx)),
            quota: 10,
        }
    }

    /// Wrong invitation codes from one address, likewise.
    pub(crate) fn invitation_from_address(cx: &Ctx) -> Self {
        Self {
            name: "invitation",
            bucket: format!("invitation:address:{}", address(cx)),
            quota: 20,
        }
    }
}

/// Counts an attempt against each limit in turn, in one transaction, up to the first that refuses it.
pub(crate) async fn take(cx: &Ctx, db: &Db, limits: &[&Limit]) -> Result<Vec<Standing>, AuthError> {
    let counts = db
        .transaction(async |tx| {
            attempts::attempts_expire(tx, cx.now(), WINDOW_MS).await?;
            let mut counts = Vec::new();
            for limit in limits {
                let count = attempts::attempt_count(tx, &limit.bucket, cx.now()).await?;
                let is_over = count.count > limit.quota;
                counts.push(count);
                if is_over {
                    break;
                }
            }
            Ok::<_, AuthError>(counts)
        })
        .await?;
    let judged = limits.iter().zip(counts);
    judged
        .map(|(limit, count)| limit.judge(cx, &count))
        .collect()
}

/// Counts an attempt against one limit, in the transaction of what is attempted. What is over the limit is not counted
/// further, since the transaction ends with the error.
pub(crate) async fn take_within(cx: &Ctx, tx: &Tx, limit: &Limit) -> Result<Standing, AuthError> {
    attempts::attempts_expire(tx, cx.now(), WINDOW_MS).await?;
    let count = attempts::attempt_count(tx, &limit.bucket, cx.now()).await?;
    limit.judge(cx, &count)
}

impl Limit {
    fn judge(&self, cx: &Ctx, count: &AttemptRow) -> Result<Standing, AuthError> {
        let ends = count.window_start_ms.plus_millis(WINDOW_MS);
        let left = self.quota.saturating_sub(count.count);
        let standing = Standing::new(self.name, self.quota, left, cx.now(), ends);
        match count.count > self.quota {
            true => Err(AuthError::TooManyAttempts(standing)),
            false => Ok(standing),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
