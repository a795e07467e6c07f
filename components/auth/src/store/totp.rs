//! Second factors and their recovery codes.

use nokube_domain::{Timestamp, UserId};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{params, row};

row! {
    /// A second factor.
    pub(crate) struct TotpRow {
        /// Sealed.
        pub(crate) secret: String,
        pub(crate) confirmed_at_ms: Option<i64>,
        pub(crate) last_step: u64,
    }
}

/// The second factor of a user, confirmed or not.
pub(crate) async fn totp_find(db: &Db, user: UserId) -> Result<Option<TotpRow>, DbError> {
    db.query_optional(
        "SELECT secret, confirmed_at_ms, last_step FROM totp WHERE user_id = ?1",
        params![user],
    )
    .await
}

/// Begins one anew; false when there is a confirmed one.
pub(crate) async fn totp_begin(
    tx: &Tx,
    user: UserId,
    sealed: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let begun = tx
        .execute_counted(
            "INSERT INTO totp (user_id, secret, created_at_ms, last_step) VALUES (?1, ?2, ?3, 0) \
             ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret, \
             created_at_ms = excluded.created_at_ms, last_step = 0 \
             WHERE totp.confirmed_at_ms IS NULL",
            params![user, sealed, now],
        )
        .await?;
    Ok(begun == 1)
}

/// Turns it on; false when it is on.
pub(crate) async fn totp_confirm(tx: &Tx, user: UserId, now: Timestamp) -> Result<bool, DbError> {
    let confirmed = tx
        .execute_counted(
            "UPDATE totp SET confirmed_at_ms = ?2 WHERE user_id = ?1 AND confirmed_at_ms IS NULL",
            params![user, now],
        )
        .await?;
    Ok(confirmed == 1)
}

/// Uses a step's code; false when it or a later one was used before.
pub(crate) async fn totp_use_step(tx: &Tx, user: UserId, step: u64) -> Result<bool, DbError> {
    let used = tx
        .execute_counted(
            "UPDATE totp SET last_step = ?2 WHERE user_id = ?1 AND last_step < ?2",
            params![user, step],
        )
        .await?;
    Ok(used == 1)
}

/// Takes a second factor away, with its recovery codes.
pub(crate) async fn totp_delete(tx: &Tx, user: UserId) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM recovery_codes WHERE user_id = ?1",
        params![user],
    )
    .await?;
    tx.execute("DELETE FROM totp WHERE user_id = ?1", params![user])
        .await?;
    Ok(())
}

/// Adds a recovery code.
pub(crate) async fn recovery_code_insert(
    tx: &Tx,
    user: UserId,
    hash: &[u8; 32],
) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO recovery_codes (code_hash, user_id) VALUES (?1, ?2)",
        params![&hash[..], user],
    )
    .await?;
    Ok(())
}

/// Uses a recovery code; false when it is unknown or was used.
pub(crate) async fn recovery_code_use(
    tx: &Tx,
    user: UserId,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<bool, DbError> {
    let used = tx
        .execute_counted(
            "UPDATE recovery_codes SET used_at_ms = ?3 \
             WHERE code_hash = ?2 AND user_id = ?1 AND used_at_ms IS NULL",
            params![user, &hash[..], now],
        )
        .await?;
    Ok(used == 1)
}

/// How many are left.
pub(crate) async fn recovery_codes_left(db: &Db, user: UserId) -> Result<u64, DbError> {
    let (left,): (u64,) = db
        .query_one(
            "SELECT count(*) FROM recovery_codes WHERE user_id = ?1 AND used_at_ms IS NULL",
            params![user],
        )
        .await?;
    Ok(left)
}
