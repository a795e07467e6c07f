//! Users whose accounts were deleted a moment ago.
//!
//! Everyone verifies access tokens without asking `auth`, so one that is out outlives its account. `projects` writes down
//! whom it forgets, and what makes rows of a user's own asks here first. What is done to a project needs no look: nobody
//! who was forgotten is a member of one.

use nokube_domain::{Timestamp, UserId};

use crate::db::{Db, DbError, Tx};
use crate::{Caller, Error, params};

/// An hour: four times as long as an access token lives. After it whoever was forgotten and stayed all the same, because
/// `auth` failed, goes on.
const REMEMBERED_MS: i64 = 60 * 60 * 1_000;

/// Remembers that a user is gone, and drops those whose access tokens have ended.
///
/// # Errors
/// As the database says.
pub async fn remember_forgotten(tx: &Tx, user: UserId, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM forgotten_users WHERE forgotten_at_ms <= ?1",
        params![now.plus_millis(-REMEMBERED_MS)],
    )
    .await?;
    tx.execute(
        "INSERT INTO forgotten_users (user_id, forgotten_at_ms) VALUES (?1, ?2) \
         ON CONFLICT (user_id) DO UPDATE SET forgotten_at_ms = ?2",
        params![user, now],
    )
    .await
}

/// Refuses the access token of an account that is gone. In the transaction that makes something.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub async fn require_account(db: &Db, caller: &Caller, now: Timestamp) -> Result<(), Error> {
    let forgotten: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM forgotten_users WHERE user_id = ?1 AND forgotten_at_ms > ?2",
            params![caller.id, now.plus_millis(-REMEMBERED_MS)],
        )
        .await?;
    match forgotten {
        None => Ok(()),
        Some(_) => Err(Error::Unauthenticated { given: true }),
    }
}
