//! Sessions and their refresh tokens.

use nokube_domain::{Timestamp, UserId};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{params, row};

/// 30 days after it was last used a session ends.
const IDLE_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

row! {
    /// What a refresh token leads to.
    pub(crate) struct RefreshRow {
        pub(crate) session_id: String,
        pub(crate) user_id: UserId,
        pub(crate) expires_at_ms: Timestamp,
        pub(crate) revoked_at_ms: Option<i64>,
    }
}

row! {
    /// A session that goes on.
    pub(crate) struct SessionRow {
        pub(crate) id: String,
        pub(crate) address: Option<String>,
        pub(crate) user_agent: Option<String>,
        pub(crate) created_at_ms: Timestamp,
        pub(crate) last_used_at_ms: Timestamp,
        pub(crate) expires_at_ms: Timestamp,
    }
}

/// A new session.
pub(crate) struct NewSession<'a> {
    pub(crate) id: &'a str,
    pub(crate) user_id: UserId,
    pub(crate) address: Option<String>,
    pub(crate) user_agent: Option<&'a str>,
}

/// Begins a session; those that ended are dropped on the way.
pub(crate) async fn session_insert(
    tx: &Tx,
    session: &NewSession<'_>,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM sessions WHERE expires_at_ms <= ?1",
        params![now],
    )
    .await?;
    tx.execute(
        "INSERT INTO sessions \
         (id, user_id, address, user_agent, created_at_ms, last_used_at_ms, expires_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)",
        params![
            session.id,
            session.user_id,
            session.address.clone(),
            session.user_agent,
            now,
            now.plus_millis(IDLE_MS)
        ],
    )
    .await?;
    Ok(())
}

/// Adds a refresh token to a session. Those used longer ago than a session may rest are dropped: a
/// session that never rests would keep them for ever.
pub(crate) async fn refresh_token_insert(
    tx: &Tx,
    session_id: &str,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM refresh_tokens WHERE session_id = ?1 AND used_at_ms <= ?2",
        params![session_id, now.plus_millis(-IDLE_MS)],
    )
    .await?;
    tx.execute(
        "INSERT INTO refresh_tokens (token_hash, session_id, created_at_ms) VALUES (?1, ?2, ?3)",
        params![&hash[..], session_id, now],
    )
    .await?;
    tx.execute(
        "UPDATE sessions SET last_used_at_ms = ?2, expires_at_ms = ?3 WHERE id = ?1",
        params![session_id, now, now.plus_millis(IDLE_MS)],
    )
    .await?;
    Ok(())
}

/// Where a refresh token belongs, used or not.
pub(crate) async fn refresh_token_find(
    db: &Db,
    hash: &[u8; 32],
) -> Result<Option<RefreshRow>, DbError> {
    db.query_optional(
        "SELECT t.session_id, s.user_id, s.expires_at_ms, s.revoked_at_ms \
         FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id \
         WHERE t.token_hash = ?1",
        params![&hash[..]],
    )
    .await
}

/// Uses a refresh token; false when it was used before.
pub(crate) async fn refresh_token_use(
    tx: &Tx,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<bool, DbError> {
    let used = tx
        .execute_counted(
            "UPDATE refresh_tokens SET used_at_ms = ?2 WHERE token_hash = ?1 AND used_at_ms IS NULL",
            params![&hash[..], now],
        )
        .await?;
    Ok(used == 1)
}

/// Ends a session.
pub(crate) async fn session_revoke(
    tx: &Tx,
    session_id: &str,
    now: Timestamp,
) -> Result<u64, DbError> {
    tx.execute_counted(
        "UPDATE sessions SET revoked_at_ms = ?2 WHERE id = ?1 AND revoked_at_ms IS NULL",
        params![session_id, now],
    )
    .await
}

/// Ends every session of a user.
pub(crate) async fn sessions_revoke_all(
    tx: &Tx,
    user: UserId,
    now: Timestamp,
) -> Result<u64, DbError> {
    tx.execute_counted(
        "UPDATE sessions SET revoked_at_ms = ?2 WHERE user_id = ?1 AND revoked_at_ms IS NULL",
        params![user, now],
    )
    .await
}

/// Whether a session goes on.
pub(crate) async fn session_is_live(
    db: &Db,
    session_id: &str,
    user: UserId,
) -> Result<bool, DbError> {
    let row: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM sessions s JOIN users u ON u.id = s.user_id \
             WHERE s.id = ?1 AND s.user_id = ?2 AND s.revoked_at_ms IS NULL \
             AND u.disabled_at_ms IS NULL",
            params![session_id, user],
        )
        .await?;
    Ok(row.is_some())
}

/// A user's sessions that go on, the last used first.
pub(crate) async fn sessions_of_user(
    db: &Db,
    user: UserId,
    now: Timestamp,
    limit: u64,
    offset: u64,
) -> Result<Vec<SessionRow>, DbError> {
    db.query(
        "SELECT id, address, user_agent, created_at_ms, last_used_at_ms, expires_at_ms FROM sessions \
         WHERE user_id = ?1 AND revoked_at_ms IS NULL AND expires_at_ms > ?2 \
         ORDER BY last_used_at_ms DESC, id DESC LIMIT ?3 OFFSET ?4",
        params![user, now, limit, offset],
    )
    .await
}

/// How many there are of those.
pub(crate) async fn sessions_of_user_count(
    db: &Db,
    user: UserId,
    now: Timestamp,
) -> Result<u64, DbError> {
    let (count,) = db
        .query_one(
            "SELECT count(*) FROM sessions \
             WHERE user_id = ?1 AND revoked_at_ms IS NULL AND expires_at_ms > ?2",
            params![user, now],
        )
        .await?;
    Ok(count)
}

/// One of a user's sessions, if it goes on.
pub(crate) async fn session_of_user(
    db: &Db,
    user: UserId,
    id: &str,
    now: Timestamp,
) -> Result<Option<SessionRow>, DbError> {
    db.query_optional(
        "SELECT id, address, user_agent, created_at_ms, last_used_at_ms, expires_at_ms FROM sessions \
         WHERE user_id = ?1 AND id = ?2 AND revoked_at_ms IS NULL AND expires_at_ms > ?3",
        params![user, id, now],
    )
    .await
}

/// Ends every session of a user but one.
pub(crate) async fn sessions_revoke_others(
    tx: &Tx,
    user: UserId,
    kept: &str,
    now: Timestamp,
) -> Result<u64, DbError> {
    tx.execute_counted(
        "UPDATE sessions SET revoked_at_ms = ?3 \
         WHERE user_id = ?1 AND id <> ?2 AND revoked_at_ms IS NULL",
        params![user, kept, now],
    )
    .await
}
