//! Accounts as administrators see and change them, and their end.

use nokube_domain::{Timestamp, UserId, UserRole};
use nokube_guest::db::{Conditions, Db, DbError, Tx};
use nokube_guest::{Paging, params, row};

row! {
    /// An account, disabled or not, without its credentials.
    pub(crate) struct AccountRow {
        pub(crate) id: UserId,
        pub(crate) username: String,
        pub(crate) email: Option<String>,
        pub(crate) role: String,
        pub(crate) disabled_at_ms: Option<Timestamp>,
        pub(crate) created_at_ms: Timestamp,
        pub(crate) updated_at_ms: Timestamp,
    }
}

/// Which accounts are listed.
#[derive(Debug, Default)]
pub(crate) struct AccountFilter {
    /// What the name or the address begins with, in lower case.
    pub(crate) beginning: Option<String>,
    pub(crate) role: Option<UserRole>,
    pub(crate) disabled: Option<bool>,
}

impl AccountFilter {
    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::new();
        if let Some(beginning) = &self.beginning {
            // A range of each of two indexes; with OR in its place the whole table might be read.
            let end = format!("{beginning}{}", char::MAX);
            conditions.and(
                "id IN (SELECT id FROM users WHERE username >= ? AND username < ? \
                 UNION SELECT id FROM users WHERE email >= ? AND email < ?)",
                params![beginning, &end, beginning, &end],
            );
        }
        if let Some(role) = self.role {
            conditions.and("role = ?", params![role.as_str()]);
        }
        match self.disabled {
            None => {}
            // The few of an index first: in the table's own order they would be looked for among all.
            Some(true) => {
                conditions.and("id IN (SELECT id FROM users WHERE disabled_at_ms > 0)", &[])
            }
            Some(false) => conditions.and("disabled_at_ms IS NULL", &[]),
        }
        conditions
    }
}

/// Accounts in the order they were made.
pub(crate) async fn accounts_find(
    db: &Db,
    filter: &AccountFilter,
    paging: Paging,
) -> Result<Vec<AccountRow>, DbError> {
    let mut conditions = filter.conditions();
    let limit = conditions.parameter(paging.limit());
    let offset = conditions.parameter(paging.offset());
    let statement = format!(
        "SELECT id, username, email, role, disabled_at_ms, created_at_ms, updated_at_ms FROM users \
         {} ORDER BY id LIMIT {limit} OFFSET {offset}",
        conditions.text()
    );
    db.query(&statement, conditions.parameters()).await
}

/// How many there are of those.
pub(crate) async fn accounts_count(db: &Db, filter: &AccountFilter) -> Result<u64, DbError> {
    let conditions = filter.conditions();
    let statement = format!("SELECT count(*) FROM users {}", conditions.text());
    let (count,) = db.query_one(&statement, conditions.parameters()).await?;
    Ok(count)
}

/// One account.
pub(crate) async fn account_by_id(db: &Db, id: UserId) -> Result<Option<AccountRow>, DbError> {
    db.query_optional(
        "SELECT id, username, email, role, disabled_at_ms, created_at_ms, updated_at_ms \
         FROM users WHERE id = ?1",
        params![id],
    )
    .await
}

/// The account with this name or address.
pub(crate) async fn account_by_name(db: &Db, account: &str) -> Result<Option<AccountRow>, DbError> {
    db.query_optional(
        "SELECT id, username, email, role, disabled_at_ms, created_at_ms, updated_at_ms \
         FROM users WHERE username = ?1 OR email = ?1",
        params![account],
    )
    .await
}

/// Sets an account's role and whether it is disabled; one that is stays so since when it was.
pub(crate) async fn account_update(
    tx: &Tx,
    id: UserId,
    role: UserRole,
    disabled: bool,
    now: Timestamp,
) -> Result<AccountRow, DbError> {
    tx.query_one(
        "UPDATE users SET role = ?2, updated_at_ms = ?4, \
         disabled_at_ms = CASE WHEN ?3 = 1 THEN coalesce(disabled_at_ms, ?4) END \
         WHERE id = ?1 \
         RETURNING id, username, email, role, disabled_at_ms, created_at_ms, updated_at_ms",
        params![id, role.as_str(), disabled, now],
    )
    .await
}

/// Disables an account while it is deleted.
pub(crate) async fn account_close(tx: &Tx, id: UserId, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "UPDATE users SET disabled_at_ms = ?2 WHERE id = ?1",
        params![id, now],
    )
    .await
}

/// Takes that back, unless it was enabled meanwhile.
pub(crate) async fn account_reopen(
    tx: &Tx,
    id: UserId,
    closed_at: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE users SET disabled_at_ms = NULL WHERE id = ?1 AND disabled_at_ms = ?2",
        params![id, closed_at],
    )
    .await
}

/// Whether anyone is left who may administer.
pub(crate) async fn any_administrator(db: &Db) -> Result<bool, DbError> {
    let row: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM users WHERE role = 'admin' AND disabled_at_ms IS NULL LIMIT 1",
            &[],
        )
        .await?;
    Ok(row.is_some())
}

/// Whether anyone but this user may administer.
pub(crate) async fn other_administrator(db: &Db, id: UserId) -> Result<bool, DbError> {
    let row: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM users WHERE role = 'admin' AND disabled_at_ms IS NULL AND id <> ?1 LIMIT 1",
            params![id],
        )
        .await?;
    Ok(row.is_some())
}

/// Deletes an account with its sessions, its tokens, its second factor and its known addresses.
pub(crate) async fn account_delete(tx: &Tx, id: UserId) -> Result<u64, DbError> {
    tx.execute_counted("DELETE FROM users WHERE id = ?1", params![id])
        .await
}

/// The hash of the password of an account that is not disabled.
pub(crate) async fn password_hash(db: &Db, id: UserId) -> Result<Option<String>, DbError> {
    let row: Option<(String,)> = db
        .query_optional(
            "SELECT password_hash FROM users WHERE id = ?1 AND disabled_at_ms IS NULL",
            params![id],
        )
        .await?;
    Ok(row.map(|(hash,)| hash))
}

/// Sets a password, whatever it was.
pub(crate) async fn password_set(
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

/// Sets another password, unless it was changed since `before` was read.
pub(crate) async fn password_change(
    tx: &Tx,
    id: UserId,
    before: &str,
    after: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = tx
        .execute_counted(
            "UPDATE users SET password_hash = ?3, updated_at_ms = ?4 \
             WHERE id = ?1 AND password_hash = ?2",
            params![id, before, after, now],
        )
        .await?;
    Ok(changed == 1)
}

/// Keeps the same password by another hash, unless it was changed meanwhile.
pub(crate) async fn password_rehash(
    tx: &Tx,
    id: UserId,
    before: &str,
    after: &str,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE users SET password_hash = ?3 WHERE id = ?1 AND password_hash = ?2",
        params![id, before, after],
    )
    .await?;
    Ok(())
}
