//! What whoever has the machine may do to any account.

use nokube_domain::{Timestamp, UserId, UserRole};
use nokube_guest::db::{DbError, Tx};
use nokube_guest::{params, row};

row! {
    /// An account, closed or not.
    pub(crate) struct AccountRow {
        pub(crate) id: UserId,
        pub(crate) username: String,
        pub(crate) email: Option<String>,
        pub(crate) role: String,
        pub(crate) disabled_at_ms: Option<i64>,
    }
}

/// The account with this name or address.
pub(crate) async fn account_find(tx: &Tx, account: &str) -> Result<Option<AccountRow>, DbError> {
    tx.query_optional(
        "SELECT id, username, email, role, disabled_at_ms FROM users \
         WHERE username = ?1 OR email = ?1",
        params![account],
    )
    .await
}

/// Sets a password.
pub(crate) async fn account_set_password(
    tx: &Tx,
    id: UserId,
    hash: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE users SET password_hash = ?2, updated_at_ms = ?3 WHERE id = ?1",
        params![id, hash, now],
    )
    .await?;
    Ok(())
}

/// Sets a role.
pub(crate) async fn account_set_role(
    tx: &Tx,
    id: UserId,
    role: UserRole,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE users SET role = ?2, updated_at_ms = ?3 WHERE id = ?1",
        params![id, role.as_str(), now],
    )
    .await?;
    Ok(())
}

/// Closes an account, or opens it again.
pub(crate) async fn account_set_closed(
    tx: &Tx,
    id: UserId,
    closed: bool,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE users SET disabled_at_ms = CASE WHEN ?2 = 1 THEN ?3 END, updated_at_ms = ?3 \
         WHERE id = ?1",
        params![id, i64::from(closed), now],
    )
    .await?;
    Ok(())
}
