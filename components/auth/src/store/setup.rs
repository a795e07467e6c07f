//! Whether the setup code is spent.

use nokube_domain::{Timestamp, UserId};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::params;

/// Whether it is.
pub(crate) async fn setup_is_done(db: &Db) -> Result<bool, DbError> {
    let row: Option<(i64,)> = db.query_optional("SELECT id FROM setup", &[]).await?;
    Ok(row.is_some())
}

/// Spends it; a second time violates the table's only key.
pub(crate) async fn setup_finish(tx: &Tx, user: UserId, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO setup (id, user_id, done_at_ms) VALUES (1, ?1, ?2)",
        params![user, now],
    )
    .await?;
    Ok(())
}
