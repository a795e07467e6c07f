//! How many event streams a component holds open.
//!
//! In WASI 0.2 a stream keeps its instance for as long as it lasts, and a host bounds the instances of
//! a component: without a bound of our own, one user who follows many logs would keep everyone else
//! out. Above it a stream ends at once with what is there, and the client comes back (`retry:`).

use crate::db::{Db, DbError};
use crate::{Caller, Ctx, params};

/// How long an event stream lasts at most: it ends by itself and clients come back.
pub const STREAM_MS: i64 = 25_000;

/// Streams of one component, half of the requests our engine lets in at once (32).
const PER_COMPONENT: i64 = 16;
/// Streams of one user in one component.
const PER_USER: i64 = 4;

/// Until when (Unix milliseconds) a stream that begins now may last: now, when there are too many.
///
/// # Errors
/// As the database says.
pub async fn follow_until(cx: &Ctx, db: &Db, caller: &Caller) -> Result<i64, DbError> {
    let now = cx.now().millis();
    let until = now + STREAM_MS;
    db.transaction(async |tx| {
        tx.execute("DELETE FROM followers WHERE until_ms <= ?1", params![now])
            .await?;
        let (all, own): (i64, i64) = tx
            .query_one(
                "SELECT count(*), coalesce(sum(CASE WHEN user_id = ?2 THEN 1 ELSE 0 END), 0) \
                 FROM followers WHERE component = ?1",
                params![cx.service, caller.id],
            )
            .await?;
        if all >= PER_COMPONENT || own >= PER_USER {
            return Ok(now);
        }
        tx.execute(
            "INSERT INTO followers (component, user_id, until_ms) VALUES (?1, ?2, ?3)",
            params![cx.service, caller.id, until],
        )
        .await?;
        Ok(until)
    })
    .await
}
