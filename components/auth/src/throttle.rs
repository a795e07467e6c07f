//! Failed attempts whose delays grow.
//!
//! Three things are counted at a sign-in, all in the database, so that every instance counts the same. An account is
//! counted under its id, so that its name and its address have one budget; what nobody has, under what was typed:
//!
//! 1. its address, over all accounts, in a fixed window (`limits`);
//! 2. the pair of account and address: a few mistakes are free, after that each costs twice the delay
//!    of the one before;
//! 3. the account over all addresses: many more are free, and the delay stays short. An address the
//!    account signed in from before neither counts here nor waits: a stranger who tries passwords can
//!    keep nobody out of where they usually are.
//!
//! An attempt is counted before the password is looked at, in the transaction that looks whether it
//! may be, so that attempts at the same time can't slip through together; success takes it back. What
//! is refused is not counted here: waiting is enough.

use nokube_domain::{Timestamp, UserId};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{Audit, Ctx};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::error::AuthError;
use crate::limits::{self, Limit, Standing};
use crate::store::throttles::{
    ThrottleRow, address_is_known, throttle_find, throttle_forget, throttle_give_back,
    throttle_put, throttles_expire, throttles_forget,
};
use crate::store::users::user_id;

/// Ids begin at 1.
const NOBODY: UserId = UserId(0);

/// Mistakes that cost nothing are forgotten 15 minutes after the last.
const FREE_MEMORY_MS: i64 = limits::WINDOW_MS;
/// Delays stop growing a day after the last attempt: then all begins anew.
const MEMORY_MS: i64 = 24 * 60 * 60 * 1_000;

/// How one kind of bucket is throttled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    name: &'static str,
    /// Attempts before the first delay.
    quota: u64,
    first_delay_ms: i64,
    max_delay_ms: i64,
}

/// A bucket under its rule.
#[derive(Debug, Clone)]
pub(crate) struct Throttle {
    rule: Rule,
    bucket: String,
    /// What is tried, as the audit trail has it.
    counts: &'static str,
    /// Of whom; nobody, of a name that nobody has.
    user: Option<UserId>,
}

/// A sign-in that may look at the password.
pub(crate) struct LoginAttempt {
    pair: Throttle,
    /// Nothing for a known address.
    everywhere: Option<Throttle>,
    /// What the answer says: the address, then the account.
    pub(crate) standings: Vec<Standing>,
}

impl Rule {
    /// 30 s, 1, 2, 4, 8, 15, 15 … minutes: about a hundred a day from one address.
    fn of_pair(cx: &Ctx) -> Result<Self, AuthError> {
        Ok(Self {
            name: "account",
            quota: cx.number_variable("login_limit_per_account", 10)?.max(1),
            first_delay_ms: 30_000,
            max_delay_ms: 15 * 60 * 1_000,
        })
    }

    /// 1 s doubling to a minute: 1440 a day from all strangers together.
    fn everywhere(cx: &Ctx) -> Result<Self, AuthError> {
        let quota = cx.number_variable("login_limit_everywhere", 100)?;
        Ok(Self {
            name: "everywhere",
            quota: quota.max(1),
            first_delay_ms: 1_000,
            max_delay_ms: 60_000,
        })
    }

    /// What somebody who has a session, or the password, must know besides. 30 s to an hour.
    const SECOND_SECRET: Self = Self {
        name: "account",
        quota: 5,
        first_delay_ms: 30_000,
        max_delay_ms: 60 * 60 * 1_000,
    };

    /// The bucket with one attempt more, or the time it opens again.
    fn count(&self, row: Option<ThrottleRow>, now: Timestamp) -> Result<ThrottleRow, Timestamp> {
        let row = row.filter(|row| row.forget_at_ms > now);
        if let Some(closed) = row.as_ref().filter(|row| row.open_at_ms > now) {
            return Err(closed.open_at_ms);
        }
        let failures = row.map_or(0, |row| row.failures).saturating_add(1);
        let (delay_ms, memory_ms) = match failures.checked_sub(self.quota) {
            None => (0, FREE_MEMORY_MS),
            Some(doublings) => (self.delay_ms(doublings), MEMORY_MS),
        };
        Ok(ThrottleRow {
            failures,
            open_at_ms: now.plus_millis(delay_ms),
            forget_at_ms: now.plus_millis(memory_ms),
        })
    }

    fn delay_ms(&self, doublings: u64) -> i64 {
        let factor = u32::try_from(doublings)
            .ok()
            .and_then(|doublings| 1_i64.checked_shl(doublings).filter(|factor| *factor > 0))
            .unwrap_or(i64::MAX);
        self.first_delay_ms
            .saturating_mul(factor)
            .min(self.max_delay_ms)
    }

    fn standing(&self, row: &ThrottleRow, now: Timestamp) -> Standing {
        let left = self.quota.saturating_sub(row.failures);
        let until = if left == 0 {
            row.open_at_ms
        } else {
            row.forget_at_ms
        };
        Standing::new(self.name, self.quota, left, now, until)
    }

    fn closed(&self, open_at: Timestamp, now: Timestamp) -> Standing {
        Standing::new(self.name, self.quota, 0, now, open_at)
    }
}

impl Throttle {
    /// The password once more, of who is signed in. Apart from [`Throttle::code`]: else whoever has a stolen session
    /// could keep its user from signing in with wrong passwords, and with the right one begin to guess codes anew.
    pub(crate) fn password(user: UserId) -> Self {
        Self {
            rule: Rule::SECOND_SECRET,
            bucket: format!("password:user:{user}"),
            counts: "password",
            user: Some(user),
        }
    }

    /// The second factor. Nothing but a right one forgets the wrong ones.
    pub(crate) fn code(user: UserId) -> Self {
        Self {
            rule: Rule::SECOND_SECRET,
            bucket: format!("code:user:{user}"),
            counts: "second factor",
            user: Some(user),
        }
    }

    /// Counts an attempt in a transaction of its own.
    pub(crate) async fn take(&self, cx: &Ctx, db: &Db) -> Result<Standing, AuthError> {
        db.transaction(async |tx| {
            // Of this moment: when this request began, others that began later may have been counted already, and what
            // they left would lie ahead.
            let now = cx.clock();
            throttles_expire(tx, now).await?;
            self.count(cx, tx, now).await
        })
        .await
    }

    /// Counts an attempt, or says that it is too many. The last free one is an entry in the audit trail, so that operators
    /// see that somebody guesses: one, however many follow, until the failures are forgotten. Names that nobody has get
    /// one, too: both take the same steps.
    async fn count(&self, cx: &Ctx, tx: &Tx, now: Timestamp) -> Result<Standing, AuthError> {
        let row = throttle_find(tx, &self.bucket).await?;
        let row = self
            .rule
            .count(row, now)
            .map_err(|open_at| AuthError::TooManyAttempts(self.rule.closed(open_at, now)))?;
        throttle_put(tx, &self.bucket, &row).await?;
        if row.failures == self.rule.quota {
            let user = self.user.unwrap_or(NOBODY);
            let audit = Audit {
                action: "throttle.close",
                target: format!("user:{user}"),
                project_id: None,
                detail: json!({ "counts": self.counts, "attempts": row.failures }),
                actor: None,
            };
            audit.write(cx, tx).await?;
        }
        Ok(self.rule.standing(&row, now))
    }

    /// Takes an attempt back: the secret was not looked at.
    pub(crate) async fn withdraw(&self, cx: &Ctx, db: &Db) -> Result<(), AuthError> {
        db.transaction(async |tx| {
            throttle_give_back(tx, &self.bucket, cx.clock()).await?;
            Ok(())
        })
        .await
    }

    /// Forgets its failures.
    pub(crate) async fn forget(&self, tx: &Tx) -> Result<(), DbError> {
        throttle_forget(tx, &self.bucket).await
    }
}

/// Strangers choose the text and its length.
fn hashed(account: &str) -> String {
    limits::hex(&Sha256::digest(account))
}

/// What an account is counted under: its id, or what was typed when there is none. No id looks like a hash.
fn counted_under(user: Option<UserId>, typed: &str) -> String {
    user.map_or_else(|| hashed(typed), |id| format!("user-{id}"))
}

/// Forgets all that is counted of an account.
pub(crate) async fn forget_account(tx: &Tx, user: UserId) -> Result<(), DbError> {
    Throttle::password(user).forget(tx).await?;
    Throttle::code(user).forget(tx).await?;
    let name = counted_under(Some(user), "");
    throttles_forget(tx, &format!("login:pair:{name}:")).await?;
    throttle_forget(tx, &format!("login:everywhere:{name}")).await
}

impl LoginAttempt {
    /// Counts a sign-in. `account` is what was typed, whether it exists or not.
    pub(crate) async fn begin(cx: &Ctx, db: &Db, account: &str) -> Result<Self, AuthError> {
        // An address over its limit is counted for that address only: it fills no other table.
        let mut standings = limits::take(cx, db, &[&Limit::login_from_address(cx)?]).await?;
        let address = limits::address(cx);
        let (of_pair, of_everywhere) = (Rule::of_pair(cx)?, Rule::everywhere(cx)?);
        let (attempt, standing) = db
            .transaction(async |tx| {
                // As in `Throttle::take`.
                let now = cx.clock();
                throttles_expire(tx, now).await?;
                let user = user_id(tx, account).await?;
                let name = counted_under(user, account);
                let pair = Throttle {
                    rule: of_pair,
                    bucket: format!("login:pair:{name}:{address}"),
                    counts: "sign-ins from an address",
                    user,
                };
                let everywhere = Throttle {
                    rule: of_everywhere,
                    bucket: format!("login:everywhere:{name}"),
                    counts: "sign-ins from unknown addresses",
                    user,
                };
                // Asked of nobody as well: both take the same steps.
                let user = user.unwrap_or(NOBODY);
                let is_known = address_is_known(tx, user, &address, now).await?;
                let standing = pair.count(cx, tx, now).await?;
                if !is_known {
                    everywhere.count(cx, tx, now).await?;
                }
                let everywhere = (!is_known).then_some(everywhere);
                Ok::<_, AuthError>(((pair, everywhere), standing))
            })
            .await?;
        standings.push(standing);
        let (pair, everywhere) = attempt;
        Ok(Self {
            pair,
            everywhere,
            standings,
        })
    }

    /// The password was not looked at.
    pub(crate) async fn withdraw(&self, cx: &Ctx, db: &Db) -> Result<(), AuthError> {
        db.transaction(async |tx| {
            let now = cx.clock();
            throttle_give_back(tx, &self.pair.bucket, now).await?;
            if let Some(everywhere) = &self.everywhere {
                throttle_give_back(tx, &everywhere.bucket, now).await?;
            }
            Ok(())
        })
        .await
    }

    /// The password was right: this pair's failures are forgotten. Those of other addresses stay, or
    /// whoever tries there would be as free as before.
    pub(crate) async fn succeed(&self, cx: &Ctx, tx: &Tx) -> Result<(), DbError> {
        self.pair.forget(tx).await?;
        match &self.everywhere {
            Some(everywhere) => throttle_give_back(tx, &everywhere.bucket, cx.now()).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        name: "account",
        quota: 3,
        first_delay_ms: 1_000,
        max_delay_ms: 5_000,
    };

    #[test]
    fn delays_begin_after_the_quota_double_and_stay_bounded() {
        let mut now = Timestamp::from_millis(1_800_000_000_000);
        let mut row = None;
        for delay_ms in [0, 0, 1_000, 2_000, 4_000, 5_000, 5_000] {
            let counted = RULE.count(row, now).unwrap();
            assert_eq!(counted.open_at_ms, now.plus_millis(delay_ms));
            if delay_ms > 0 {
                let early = RULE.count(Some(counted.clone()), now.plus_millis(delay_ms - 1));
                assert_eq!(early, Err(counted.open_at_ms));
            }
            now = now.plus_millis(delay_ms);
            row = Some(counted);
        }
    }

    #[test]
    fn an_old_row_is_as_good_as_none() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let old = ThrottleRow {
            failures: 1_000,
            open_at_ms: now.plus_millis(60_000),
            forget_at_ms: now,
        };
        assert_eq!(RULE.count(Some(old), now).unwrap().failures, 1);
    }

    #[test]
    fn no_number_of_failures_overflows() {
        for doublings in [62, 63, 64, 65, 1 << 40, u64::MAX] {
            assert_eq!(RULE.delay_ms(doublings), 5_000);
        }
    }
}
