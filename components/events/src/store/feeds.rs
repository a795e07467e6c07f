//! Private addresses of calendars, and how often they are read.

use nokube_domain::{Timestamp, UserId};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{Caller, params, row};

row! {
    /// Whether an owner has an address.
    pub(crate) struct FeedRow {
        pub(crate) created_at_ms: Timestamp,
        pub(crate) last_read_at_ms: Option<Timestamp>,
    }
}

row! {
    /// Whose address it is, and how often it was read in its window, this time included.
    pub(crate) struct FeedRead {
        pub(crate) owner_id: UserId,
        pub(crate) owner_name: String,
        pub(crate) window_start_ms: Timestamp,
        pub(crate) window_count: u64,
    }
}

row! {
    /// Wrong addresses of one client, or readings of one address, in its window.
    pub(crate) struct WindowRow {
        pub(crate) window_start_ms: Timestamp,
        pub(crate) count: u64,
    }
}

/// Gives the owner an address; the one before ends.
pub(crate) async fn feed_put(
    tx: &Tx,
    owner: &Caller,
    token_hash: &[u8; 32],
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO event_feeds (owner_id, owner_name, token_hash, created_at_ms, \
         window_start_ms, window_count) VALUES (?1, ?2, ?3, ?4, ?4, 0) \
         ON CONFLICT (owner_id) DO UPDATE SET token_hash = ?3, created_at_ms = ?4, \
         last_read_at_ms = NULL, window_start_ms = ?4, window_count = 0",
        params![
            owner.id,
            owner.username.as_str(),
            token_hash.as_slice(),
            now
        ],
    )
    .await?;
    Ok(())
}

/// The owner's address.
pub(crate) async fn feed_of_owner(db: &Db, owner: &Caller) -> Result<Option<FeedRow>, DbError> {
    db.query_optional(
        "SELECT created_at_ms, last_read_at_ms FROM event_feeds WHERE owner_id = ?1",
        params![owner.id],
    )
    .await
}

/// Ends the owner's address; how many there were.
pub(crate) async fn feed_delete(tx: &Tx, owner: &Caller) -> Result<u64, DbError> {
    tx.execute_counted(
        "DELETE FROM event_feeds WHERE owner_id = ?1",
        params![owner.id],
    )
    .await
}

/// How often the address with this token was read so far; nothing when nobody has it.
pub(crate) async fn reads_of(
    db: &Db,
    token_hash: &[u8; 32],
    now: Timestamp,
    window_ms: i64,
) -> Result<Option<WindowRow>, DbError> {
    db.query_optional(
        "SELECT window_start_ms, CASE WHEN window_start_ms <= ?2 THEN 0 ELSE window_count END AS count \
         FROM event_feeds WHERE token_hash = ?1",
        params![token_hash.as_slice(), now.plus_millis(-window_ms)],
    )
    .await
}

/// Counts one reading of an address, in its present window or a new one.
pub(crate) async fn feed_read(
    tx: &Tx,
    token_hash: &[u8; 32],
    now: Timestamp,
    window_ms: i64,
) -> Result<Option<FeedRead>, DbError> {
    tx.query_optional(
        "UPDATE event_feeds SET last_read_at_ms = ?2, \
         window_count = CASE WHEN window_start_ms <= ?3 THEN 1 ELSE window_count + 1 END, \
         window_start_ms = CASE WHEN window_start_ms <= ?3 THEN ?2 ELSE window_start_ms END \
         WHERE token_hash = ?1 \
         RETURNING owner_id, owner_name, window_start_ms, window_count",
        params![token_hash.as_slice(), now, now.plus_millis(-window_ms)],
    )
    .await
}

/// A client's wrong addresses so far.
pub(crate) async fn misses_of(
    db: &Db,
    bucket: &str,
    now: Timestamp,
    window_ms: i64,
) -> Result<Option<WindowRow>, DbError> {
    db.query_optional(
        "SELECT window_start_ms, count FROM event_feed_misses \
         WHERE bucket = ?1 AND window_start_ms > ?2",
        params![bucket, now.plus_millis(-window_ms)],
    )
    .await
}

/// Counts a wrong address, and drops the windows that have ended. The count is with this one.
pub(crate) async fn miss_count(
    tx: &Tx,
    bucket: &str,
    now: Timestamp,
    window_ms: i64,
) -> Result<WindowRow, DbError> {
    tx.execute(
        "DELETE FROM event_feed_misses WHERE window_start_ms <= ?1",
        params![now.plus_millis(-window_ms)],
    )
    .await?;
    tx.query_one(
        "INSERT INTO event_feed_misses (bucket, window_start_ms, count) VALUES (?1, ?2, 1) \
         ON CONFLICT (bucket) DO UPDATE SET count = event_feed_misses.count + 1 \
         RETURNING window_start_ms, count",
        params![bucket, now],
    )
    .await
}
