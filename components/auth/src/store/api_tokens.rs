//! Personal API tokens.

use nokube_domain::{Timestamp, UserId};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{params, row};

/// How long one that has ended is still shown, so that its user sees why something stopped working.
const SHOWN_AFTER_END_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

row! {
    /// A token without its value.
    pub(crate) struct ApiTokenRow {
        pub(crate) id: String,
        pub(crate) name: String,
        pub(crate) scopes: String,
        pub(crate) created_at_ms: Timestamp,
        pub(crate) expires_at_ms: Timestamp,
        pub(crate) last_used_at_ms: Option<Timestamp>,
    }
}

row! {
    /// What an exchange needs.
    pub(crate) struct ExchangedRow {
        pub(crate) id: String,
        pub(crate) user_id: UserId,
        pub(crate) scopes: String,
        pub(crate) expires_at_ms: Timestamp,
    }
}

/// A new token.
pub(crate) struct NewApiToken<'a> {
    pub(crate) id: &'a str,
    pub(crate) user_id: UserId,
    /// The token that made it, and ends it.
    pub(crate) made_by: Option<&'a str>,
    pub(crate) hash: &'a [u8; 32],
    pub(crate) name: &'a str,
    pub(crate) scopes: &'a str,
    pub(crate) expires_at: Timestamp,
}

/// Adds a token.
pub(crate) async fn api_token_insert(
    tx: &Tx,
    token: &NewApiToken<'_>,
    now: Timestamp,
) -> Result<ApiTokenRow, DbError> {
    tx.query_one(
        "INSERT INTO api_tokens \
         (id, user_id, made_by, token_hash, name, scopes, created_at_ms, expires_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         RETURNING id, name, scopes, created_at_ms, expires_at_ms, last_used_at_ms",
        params![
            token.id,
            token.user_id,
            token.made_by,
            &token.hash[..],
            token.name,
            token.scopes,
            now,
            token.expires_at
        ],
    )
    .await
}

/// Drops those of all users that ended long ago.
pub(crate) async fn api_tokens_drop_old(tx: &Tx, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM api_tokens WHERE expires_at_ms <= ?1",
        params![now.plus_millis(-SHOWN_AFTER_END_MS)],
    )
    .await?;
    Ok(())
}

/// How many a user has, ended ones that are still shown included.
pub(crate) async fn api_tokens_count(db: &Db, user: UserId) -> Result<u64, DbError> {
    let (count,) = db
        .query_one(
            "SELECT count(*) FROM api_tokens WHERE user_id = ?1",
            params![user],
        )
        .await?;
    Ok(count)
}

/// How many of a user's are still good.
pub(crate) async fn api_tokens_live_count(
    db: &Db,
    user: UserId,
    now: Timestamp,
) -> Result<u64, DbError> {
    let (count,) = db
        .query_one(
            "SELECT count(*) FROM api_tokens WHERE user_id = ?1 AND expires_at_ms > ?2",
            params![user, now],
        )
        .await?;
    Ok(count)
}

/// A user's tokens, newest first.
pub(crate) async fn api_tokens_of_user(
    db: &Db,
    user: UserId,
    limit: u64,
    offset: u64,
) -> Result<Vec<ApiTokenRow>, DbError> {
    db.query(
        "SELECT id, name, scopes, created_at_ms, expires_at_ms, last_used_at_ms FROM api_tokens \
         WHERE user_id = ?1 ORDER BY id DESC LIMIT ?2 OFFSET ?3",
        params![user, limit, offset],
    )
    .await
}

/// One of a user's tokens.
pub(crate) async fn api_token_of_user(
    db: &Db,
    user: UserId,
    id: &str,
) -> Result<Option<ApiTokenRow>, DbError> {
    db.query_optional(
        "SELECT id, name, scopes, created_at_ms, expires_at_ms, last_used_at_ms FROM api_tokens \
         WHERE user_id = ?1 AND id = ?2",
        params![user, id],
    )
    .await
}

/// Drops one of a user's tokens, and those it made.
pub(crate) async fn api_token_delete(tx: &Tx, user: UserId, id: &str) -> Result<u64, DbError> {
    tx.execute_counted(
        "DELETE FROM api_tokens WHERE user_id = ?1 AND id = ?2",
        params![user, id],
    )
    .await
}

/// Drops all of a user's tokens.
pub(crate) async fn api_tokens_delete_all(tx: &Tx, user: UserId) -> Result<u64, DbError> {
    tx.execute_counted("DELETE FROM api_tokens WHERE user_id = ?1", params![user])
        .await
}

/// When a token was used last, if it was.
pub(crate) async fn api_token_last_used(
    db: &Db,
    hash: &[u8; 32],
) -> Result<Option<Timestamp>, DbError> {
    let row: Option<(Option<i64>,)> = db
        .query_optional(
            "SELECT last_used_at_ms FROM api_tokens WHERE token_hash = ?1",
            params![&hash[..]],
        )
        .await?;
    Ok(row.and_then(|(at,)| at).map(Timestamp::from_millis))
}

/// Uses a token that has not ended.
pub(crate) async fn api_token_use(
    tx: &Tx,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<Option<ExchangedRow>, DbError> {
    tx.query_optional(
        "UPDATE api_tokens SET last_used_at_ms = ?2 WHERE token_hash = ?1 AND expires_at_ms > ?2 \
         RETURNING id, user_id, scopes, expires_at_ms",
        params![&hash[..], now],
    )
    .await
}

/// Whether a token is still there and its user may act.
pub(crate) async fn api_token_is_live(db: &Db, id: &str, user: UserId) -> Result<bool, DbError> {
    let row: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM api_tokens t JOIN users u ON u.id = t.user_id \
             WHERE t.id = ?1 AND t.user_id = ?2 AND u.disabled_at_ms IS NULL",
            params![id, user],
        )
        .await?;
    Ok(row.is_some())
}
