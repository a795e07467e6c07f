//! Builds that the tick has to move on.

use nokube_domain::Timestamp;
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::params;

use super::builds::BuildRow;

/// Builds of one tick: the next one comes within a second or two.
const PER_TICK: u64 = 50;

/// The times before which something is too old.
pub(crate) struct Deadlines {
    /// A lease that ends before.
    pub(crate) lease: Timestamp,
    /// An attempt that began before.
    pub(crate) attempt: Timestamp,
    /// An upload that was announced before.
    pub(crate) source: Timestamp,
    /// A build that waits since before.
    pub(crate) queue: Timestamp,
}

/// Builds that missed a deadline.
pub(crate) async fn overdue_list(db: &Db, before: &Deadlines) -> Result<Vec<BuildRow>, DbError> {
    db.query(
        "SELECT * FROM builds WHERE (status = 'building' AND (lease_expires_at_ms <= ?1 OR \
         started_at_ms <= ?2)) OR (status = 'pending' AND ((source_ready = 0 AND created_at_ms <= ?3) \
         OR (source_ready = 1 AND queued_at_ms <= ?4))) LIMIT ?5",
        params![
            before.lease,
            before.attempt,
            before.source,
            before.queue,
            PER_TICK
        ],
    )
    .await
}

/// Whether a lease that looked expired still is: a heartbeat may have come in between.
pub(crate) async fn overdue_is_lost(
    tx: &Tx,
    build: &BuildRow,
    before: &Deadlines,
) -> Result<bool, DbError> {
    let found: Option<(i64,)> = tx
        .query_optional(
            "SELECT 1 FROM builds WHERE id = ?1 AND lease_id = ?2 AND status = 'building' \
             AND (lease_expires_at_ms <= ?3 OR started_at_ms <= ?4)",
            params![
                build.id,
                build.lease_id.as_deref(),
                before.lease,
                before.attempt
            ],
        )
        .await?;
    Ok(found.is_some())
}

/// Gives a build up that waits for too long. False when it no longer waits.
pub(crate) async fn overdue_fail_pending(
    tx: &Tx,
    build: &BuildRow,
    error_message: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let failed = tx
        .execute_counted(
            "UPDATE builds SET status = 'failed', error_message = ?3, lease_id = NULL, \
             lease_expires_at_ms = NULL, completed_at_ms = ?4 \
             WHERE id = ?1 AND status = 'pending' AND source_ready = ?2",
            params![build.id, build.source_ready, error_message, now],
        )
        .await?;
    Ok(failed == 1)
}
