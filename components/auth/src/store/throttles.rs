//! Throttles, and the addresses accounts are known at.

use nokube_domain::{Timestamp, UserId};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{params, row};

/// 90 days: as long as an address is believed to be its user's.
const KNOWN_MS: i64 = 90 * 24 * 60 * 60 * 1_000;
/// Of one user, the newest. A home, an office, a telephone's and what builds run on.
const KNOWN_ADDRESSES: u64 = 20;

row! {
    /// What is kept of a bucket.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct ThrottleRow {
        pub(crate) failures: u64,
        pub(crate) open_at_ms: Timestamp,
        pub(crate) forget_at_ms: Timestamp,
    }
}

row! {
    /// An address that an account signed in from.
    pub(crate) struct KnownAddressRow {
        pub(crate) address: String,
        pub(crate) last_used_at_ms: Timestamp,
    }
}

/// Drops what is to be forgotten.
pub(crate) async fn throttles_expire(tx: &Tx, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM throttles WHERE forget_at_ms <= ?1",
        params![now],
    )
    .await?;
    Ok(())
}

/// A bucket, if anything is kept of it.
pub(crate) async fn throttle_find(tx: &Tx, bucket: &str) -> Result<Option<ThrottleRow>, DbError> {
    tx.query_optional(
        "SELECT failures, open_at_ms, forget_at_ms FROM throttles WHERE bucket = ?1",
        params![bucket],
    )
    .await
}

/// Keeps a bucket.
pub(crate) async fn throttle_put(tx: &Tx, bucket: &str, row: &ThrottleRow) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO throttles (bucket, failures, open_at_ms, forget_at_ms) \
         VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (bucket) DO UPDATE SET failures = excluded.failures, \
         open_at_ms = excluded.open_at_ms, forget_at_ms = excluded.forget_at_ms",
        params![bucket, row.failures, row.open_at_ms, row.forget_at_ms],
    )
    .await?;
    Ok(())
}

/// Takes one attempt back: it was none of those that fail.
pub(crate) async fn throttle_give_back(
    tx: &Tx,
    bucket: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE throttles SET failures = failures - 1, open_at_ms = ?2 \
         WHERE bucket = ?1 AND failures > 0",
        params![bucket, now],
    )
    .await?;
    Ok(())
}

/// Forgets every bucket whose name begins so: from there to what begins with the last letter there is.
pub(crate) async fn throttles_forget(tx: &Tx, beginning: &str) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM throttles WHERE bucket >= ?1 AND bucket < ?2",
        params![beginning, format!("{beginning}{}", char::MAX)],
    )
    .await?;
    Ok(())
}

/// Forgets a bucket.
pub(crate) async fn throttle_forget(tx: &Tx, bucket: &str) -> Result<(), DbError> {
    tx.execute("DELETE FROM throttles WHERE bucket = ?1", params![bucket])
        .await?;
    Ok(())
}

/// Whether a user signed in from there before.
pub(crate) async fn address_is_known(
    tx: &Tx,
    user: UserId,
    address: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let row: Option<(i64,)> = tx
        .query_optional(
            "SELECT 1 FROM known_addresses \
             WHERE user_id = ?1 AND address = ?2 AND last_used_at_ms > ?3",
            params![user, address, now.plus_millis(-KNOWN_MS)],
        )
        .await?;
    Ok(row.is_some())
}

/// The addresses a user is known at, the last used first.
pub(crate) async fn addresses_of_user(
    db: &Db,
    user: UserId,
) -> Result<Vec<KnownAddressRow>, DbError> {
    db.query(
        "SELECT address, last_used_at_ms FROM known_addresses WHERE user_id = ?1 \
         ORDER BY last_used_at_ms DESC, address LIMIT ?2",
        params![user, KNOWN_ADDRESSES],
    )
    .await
}

/// Remembers that an account signed in from there.
pub(crate) async fn address_remember(
    tx: &Tx,
    user: UserId,
    address: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO known_addresses (user_id, address, last_used_at_ms) VALUES (?1, ?2, ?3) \
         ON CONFLICT (user_id, address) DO UPDATE SET last_used_at_ms = excluded.last_used_at_ms",
        params![user, address, now],
    )
    .await?;
    tx.execute(
        "DELETE FROM known_addresses WHERE user_id = ?1 AND address NOT IN \
         (SELECT address FROM known_addresses WHERE user_id = ?1 AND last_used_at_ms > ?2 \
         ORDER BY last_used_at_ms DESC, address LIMIT ?3)",
        params![user, now.plus_millis(-KNOWN_MS), KNOWN_ADDRESSES],
    )
    .await?;
    Ok(())
}
