//! Invitations.

use nokube_domain::{Timestamp, UserId, Uuid7};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{Paging, params, row};

/// Ended ones stay 30 days, so that an administrator sees what became of them.
const KEEP_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

row! {
    /// An invitation without its code.
    pub(crate) struct InvitationRow {
        pub(crate) id: String,
        pub(crate) email: Option<String>,
        pub(crate) created_by: Option<i64>,
        pub(crate) created_at_ms: Timestamp,
        pub(crate) expires_at_ms: Timestamp,
        pub(crate) used_by: Option<i64>,
        pub(crate) used_at_ms: Option<i64>,
    }
}

/// A new one.
pub(crate) struct NewInvitation<'a> {
    pub(crate) id: Uuid7,
    pub(crate) code_hash: &'a [u8; 32],
    pub(crate) email: Option<&'a str>,
    pub(crate) created_by: Option<UserId>,
    pub(crate) expires_at: Timestamp,
}

/// Adds one; those that ended long ago are dropped on the way.
pub(crate) async fn invitation_insert(
    tx: &Tx,
    new: &NewInvitation<'_>,
    now: Timestamp,
) -> Result<InvitationRow, DbError> {
    tx.execute(
        "DELETE FROM invitations WHERE expires_at_ms <= ?1",
        params![now.plus_millis(-KEEP_MS)],
    )
    .await?;
    tx.query_one(
        "INSERT INTO invitations (id, code_hash, email, created_by, created_at_ms, expires_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         RETURNING id, email, created_by, created_at_ms, expires_at_ms, used_by, used_at_ms",
        params![
            new.id.to_string(),
            &new.code_hash[..],
            new.email,
            new.created_by,
            now,
            new.expires_at
        ],
    )
    .await
}

/// How many could still be used.
pub(crate) async fn invitations_open_count(db: &Db, now: Timestamp) -> Result<u64, DbError> {
    let (count,): (u64,) = db
        .query_one(
            "SELECT count(*) FROM invitations WHERE used_at_ms IS NULL AND expires_at_ms > ?1",
            params![now],
        )
        .await?;
    Ok(count)
}

/// How many there are.
pub(crate) async fn invitations_count(db: &Db) -> Result<u64, DbError> {
    let (count,): (u64,) = db
        .query_one("SELECT count(*) FROM invitations", &[])
        .await?;
    Ok(count)
}

/// A page of them, the newest first.
pub(crate) async fn invitations_page(
    db: &Db,
    paging: Paging,
) -> Result<Vec<InvitationRow>, DbError> {
    db.query(
        "SELECT id, email, created_by, created_at_ms, expires_at_ms, used_by, used_at_ms \
         FROM invitations ORDER BY id DESC LIMIT ?1 OFFSET ?2",
        params![paging.limit(), paging.offset()],
    )
    .await
}

/// One.
pub(crate) async fn invitation_by_id(db: &Db, id: &str) -> Result<Option<InvitationRow>, DbError> {
    db.query_optional(
        "SELECT id, email, created_by, created_at_ms, expires_at_ms, used_by, used_at_ms \
         FROM invitations WHERE id = ?1",
        params![id],
    )
    .await
}

/// The one a code stands for, if it can be used.
pub(crate) async fn invitation_by_code(
    db: &Db,
    code_hash: &[u8; 32],
    now: Timestamp,
) -> Result<Option<InvitationRow>, DbError> {
    db.query_optional(
        "SELECT id, email, created_by, created_at_ms, expires_at_ms, used_by, used_at_ms \
         FROM invitations WHERE code_hash = ?1 AND used_at_ms IS NULL AND expires_at_ms > ?2",
        params![&code_hash[..], now],
    )
    .await
}

/// Uses one; false when another registration was faster, or it was withdrawn.
pub(crate) async fn invitation_use(
    tx: &Tx,
    id: &str,
    user: UserId,
    now: Timestamp,
) -> Result<bool, DbError> {
    let used = tx
        .execute_counted(
            "UPDATE invitations SET used_by = ?2, used_at_ms = ?3 \
             WHERE id = ?1 AND used_at_ms IS NULL AND expires_at_ms > ?3",
            params![id, user, now],
        )
        .await?;
    Ok(used == 1)
}

/// Withdraws those of a user who is about to go that nobody used, and takes the user's address out of
/// the one that let the user in.
pub(crate) async fn invitations_forget_user(tx: &Tx, user: UserId) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM invitations WHERE created_by = ?1 AND used_at_ms IS NULL",
        params![user],
    )
    .await?;
    tx.execute(
        "UPDATE invitations SET email = NULL WHERE used_by = ?1",
        params![user],
    )
    .await?;
    Ok(())
}

/// Removes one.
pub(crate) async fn invitation_delete(tx: &Tx, id: &str) -> Result<(), DbError> {
    tx.execute("DELETE FROM invitations WHERE id = ?1", params![id])
        .await?;
    Ok(())
}
