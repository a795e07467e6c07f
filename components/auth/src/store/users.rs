//! Accounts.

use nokube_domain::{Email, Timestamp, UserId, UserRole, Username};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{params, row};

row! {
    /// An account without its credentials.
    #[derive(Debug, Clone)]
    pub(crate) struct UserRow {
        pub(crate) id: UserId,
        pub(crate) username: String,
        pub(crate) email: Option<String>,
        pub(crate) role: String,
        pub(crate) created_at_ms: Timestamp,
    }
}

row! {
    /// What a sign-in needs.
    pub(crate) struct CredentialRow {
        pub(crate) id: UserId,
        pub(crate) password_hash: String,
        pub(crate) disabled_at_ms: Option<i64>,
    }
}

/// A new account.
pub(crate) struct NewUser<'a> {
    pub(crate) username: &'a Username,
    pub(crate) email: Option<&'a Email>,
    pub(crate) password_hash: &'a str,
    pub(crate) role: UserRole,
}

/// Adds an account. [`DbError::NotUnique`] names the column that is taken.
pub(crate) async fn user_insert(
    tx: &Tx,
    user: &NewUser<'_>,
    now: Timestamp,
) -> Result<UserRow, DbError> {
    tx.query_one(
        "INSERT INTO users (username, email, password_hash, role, created_at_ms, updated_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?5) \
         RETURNING id, username, email, role, created_at_ms",
        params![
            user.username.as_str(),
            user.email.map(Email::as_str),
            user.password_hash,
            user.role.as_str(),
            now
        ],
    )
    .await
}

/// Whether a name is taken.
pub(crate) async fn username_is_taken(db: &Db, username: &Username) -> Result<bool, DbError> {
    let row: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM users WHERE username = ?1",
            params![username.as_str()],
        )
        .await?;
    Ok(row.is_some())
}

/// Whether an address is taken.
pub(crate) async fn email_is_taken(db: &Db, email: &Email) -> Result<bool, DbError> {
    let row: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM users WHERE email = ?1",
            params![email.as_str()],
        )
        .await?;
    Ok(row.is_some())
}

/// Whose name or address it is, disabled or not.
pub(crate) async fn user_id(db: &Db, account: &str) -> Result<Option<UserId>, DbError> {
    let row: Option<(UserId,)> = db
        .query_optional(
            "SELECT id FROM users WHERE username = ?1 OR email = ?1",
            params![account],
        )
        .await?;
    Ok(row.map(|(id,)| id))
}

/// The credentials of the account with this name or address.
pub(crate) async fn user_credentials(
    db: &Db,
    account: &str,
) -> Result<Option<CredentialRow>, DbError> {
    // User names have no @, addresses always do: the two never meet.
    db.query_optional(
        "SELECT id, password_hash, disabled_at_ms FROM users WHERE username = ?1 OR email = ?1",
        params![account],
    )
    .await
}

/// An account that is not disabled.
pub(crate) async fn user_by_id(db: &Db, id: UserId) -> Result<Option<UserRow>, DbError> {
    db.query_optional(
        "SELECT id, username, email, role, created_at_ms FROM users \
         WHERE id = ?1 AND disabled_at_ms IS NULL",
        params![id],
    )
    .await
}

/// An account that is not disabled, by name.
pub(crate) async fn user_by_name(db: &Db, username: &str) -> Result<Option<UserRow>, DbError> {
    db.query_optional(
        "SELECT id, username, email, role, created_at_ms FROM users \
         WHERE username = ?1 AND disabled_at_ms IS NULL",
        params![username],
    )
    .await
}

/// Changes an account's address.
pub(crate) async fn user_set_email(
    tx: &Tx,
    id: UserId,
    email: Option<&str>,
    now: Timestamp,
) -> Result<UserRow, DbError> {
    tx.query_one(
        "UPDATE users SET email = ?2, updated_at_ms = ?3 WHERE id = ?1 \
         RETURNING id, username, email, role, created_at_ms",
        params![id, email, now],
    )
    .await
}
