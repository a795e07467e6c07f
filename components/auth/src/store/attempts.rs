//! Counted attempts.

use nokube_domain::Timestamp;
use nokube_guest::db::{DbError, Tx};
use nokube_guest::{params, row};

row! {
    /// A count in its window.
    pub(crate) struct AttemptRow {
        pub(crate) window_start_ms: Timestamp,
        pub(crate) count: u64,
    }
}

/// Drops the windows that have ended: what is counted next in them begins anew.
pub(crate) async fn attempts_expire(
    tx: &Tx,
    now: Timestamp,
    window_ms: i64,
) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM attempts WHERE window_start_ms <= ?1",
        params![now.plus_millis(-window_ms)],
    )
    .await?;
    Ok(())
}

/// Counts one attempt and returns the count with it.
pub(crate) async fn attempt_count(
    tx: &Tx,
    bucket: &str,
    now: Timestamp,
) -> Result<AttemptRow, DbError> {
    tx.query_one(
        "INSERT INTO attempts (bucket, window_start_ms, count) VALUES (?1, ?2, 1) \
         ON CONFLICT (bucket) DO UPDATE SET count = attempts.count + 1 \
         RETURNING window_start_ms, count",
        params![bucket, now],
    )
    .await
}
