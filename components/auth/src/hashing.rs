//! Turns at hashing: how many passwords are hashed at once, over all instances.
//!
//! A hash computes for tens of milliseconds and takes 19 MiB, on purpose. Without a bound a crowd that
//! signs in takes every core, and every place the engine has for this component, from requests that
//! take a hundredth of it. So few hash at once, some wait in the order they came, and who finds the
//! queue full, or waits too long, is told to come back. The state is in the database, since instances
//! share nothing else. A turn, and a place in the queue, is a short lease: it ends by itself when its
//! instance does, as when a client leaves early, so leaving early on purpose keeps others out for a
//! second at most, or for longer as hashes cost more than the least.

use nokube_guest::Ctx;
use nokube_guest::db::Db;

use crate::error::AuthError;
use crate::password::{Cost, Password};
use crate::store::hash_turns::{
    hash_turn_begin, hash_turn_end, hash_turn_has_come, hash_turn_insert, hash_turn_renew,
    hash_turns_count,
};

/// How long a place in the queue is kept for an instance that does not renew it; it does at half that time.
const PLACE_MS: i64 = 1_000;
const RENEW_MS: i64 = PLACE_MS / 2;
/// How long a turn may take, for a hash of the least cost: about ten times what it does take. One that takes longer
/// goes on beside the next.
const TURN_MS: u64 = 1_000;
/// Sixteen turns of 130 ms are two seconds.
const MAX_WAIT_MS: i64 = 3_000;
/// Half the requests that the engine runs at once for a component (32): the rest stays for others.
const MAX_WAITING: u64 = 16;
/// A tenth of a hash.
const POLL_MS: u64 = 10;

/// Hashes a password that shall be kept, when it is its turn.
pub(crate) async fn hash(cx: &Ctx, db: &Db, password: &Password) -> Result<String, AuthError> {
    let cost = Cost::of_platform(cx)?;
    let salt = cx.random();
    in_turn(cx, db, cost, || password.hash(salt, cost)).await
}

/// Whether a password is the one that was hashed, when it is its turn. Without a hash: no, after the
/// same time.
pub(crate) async fn verify(
    cx: &Ctx,
    db: &Db,
    password: &Password,
    hash: Option<&str>,
) -> Result<bool, AuthError> {
    let cost = Cost::of_platform(cx)?;
    in_turn(cx, db, cost, || password.verify(hash, cost)).await
}

/// A new hash of a password that was right, when the platform asks for a dearer one than `hash` is.
/// Nobody is kept out for its sake: when it is not its turn soon, the next sign-in does it.
pub(crate) async fn renew(
    cx: &Ctx,
    db: &Db,
    password: &Password,
    hash: &str,
) -> Result<Option<String>, AuthError> {
    if !Cost::of_platform(cx)?.is_above(hash)? {
        return Ok(None);
    }
    match self::hash(cx, db, password).await {
        Err(AuthError::TooManyHashes) => Ok(None),
        renewed => renewed.map(Some),
    }
}

/// Runs `work`, which hashes a password at this cost, when it is its turn.
///
/// # Errors
/// [`AuthError::TooManyHashes`] when it does not come soon; what `work` says.
async fn in_turn<T>(
    cx: &Ctx,
    db: &Db,
    cost: Cost,
    work: impl FnOnce() -> Result<T, AuthError>,
) -> Result<T, AuthError> {
    // What two cost everybody else on two cores: docs/decisions/0014-what-guards-a-sign-in.md.
    let at_once = cx.number_variable("hashes_at_once", 2)?.max(1);
    let turn_ms = i64::try_from(cost.scaled(TURN_MS)).unwrap_or(i64::MAX);
    let (id, running) = db
        .transaction(async |tx| {
            let now = cx.clock();
            let (running, waiting) = hash_turns_count(tx, now).await?;
            if waiting >= MAX_WAITING {
                return Err(AuthError::TooManyHashes);
            }
            let begins = running < at_once && waiting == 0;
            let lease_ms = if begins { turn_ms } else { PLACE_MS };
            let id = hash_turn_insert(tx, begins, now.plus_millis(lease_ms)).await?;
            Ok((id, begins))
        })
        .await?;
    if !running && !wait(cx, db, id, at_once, turn_ms).await? {
        return Err(AuthError::TooManyHashes);
    }
    let outcome = work();
    db.transaction(async |tx| hash_turn_end(tx, id).await)
        .await?;
    outcome
}

/// Waits until it is `id`'s turn and begins it. False when it took too long.
async fn wait(cx: &Ctx, db: &Db, id: i64, at_once: u64, turn_ms: i64) -> Result<bool, AuthError> {
    let give_up_at = cx.clock().plus_millis(MAX_WAIT_MS);
    let mut renew_at = cx.clock().plus_millis(RENEW_MS);
    while cx.clock() < give_up_at {
        cx.sleep(POLL_MS).await;
        let now = cx.clock();
        if now >= renew_at {
            let until = now.plus_millis(PLACE_MS);
            db.transaction(async |tx| hash_turn_renew(tx, id, until).await)
                .await?;
            renew_at = now.plus_millis(RENEW_MS);
        }
        // Looks before it takes the only writer's place.
        if !hash_turn_has_come(db, id, at_once, cx.clock()).await? {
            continue;
        }
        let has_begun = db
            .transaction(async |tx| {
                let now = cx.clock();
                Ok::<_, AuthError>(
                    hash_turn_has_come(tx, id, at_once, now).await?
                        && hash_turn_begin(tx, id, now.plus_millis(turn_ms)).await?,
                )
            })
            .await?;
        if has_begun {
            return Ok(true);
        }
    }
    db.transaction(async |tx| hash_turn_end(tx, id).await)
        .await?;
    Ok(false)
}
