//! What housekeeping removes, and what it must leave: builds by age, sources by need.

use nokube_domain::{BuildId, Timestamp};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::params;

/// Whether some revision was made of this build: deploying it again, or rolling back, needs its row.
const UNUSED: &str = "NOT EXISTS (SELECT 1 FROM deployment_revisions r WHERE r.build_id = b.id)";

/// Builds that have ended, are not among the newest `keep` of their service, and made no revision
/// that is still there. At most `limit`.
pub(crate) async fn old_builds(db: &Db, keep: u64, limit: u64) -> Result<Vec<(BuildId,)>, DbError> {
    db.query(
        &format!(
            "SELECT b.id FROM (SELECT id, row_number() OVER (PARTITION BY project_id, service_name \
             ORDER BY id DESC) AS place FROM builds WHERE completed_at_ms IS NOT NULL) b \
             WHERE b.place > ?1 AND {UNUSED} LIMIT ?2"
        ),
        params![keep, limit],
    )
    .await
}

/// Removes the first `limit` lines of a build's log that are left, and says how many that were.
pub(crate) async fn old_build_shorten_log(
    tx: &Tx,
    id: BuildId,
    limit: u64,
) -> Result<u64, DbError> {
    tx.execute_counted(
        "DELETE FROM build_logs WHERE build_id = ?1 AND n < ?2 + \
         (SELECT min(n) FROM build_logs WHERE build_id = ?1)",
        params![id, limit],
    )
    .await
}

/// Removes a build that has ended, unless it made a revision meanwhile.
pub(crate) async fn old_build_delete(tx: &Tx, id: BuildId) -> Result<bool, DbError> {
    let gone = tx
        .execute_counted(
            "DELETE FROM builds WHERE id = ?1 AND completed_at_ms IS NOT NULL AND \
             NOT EXISTS (SELECT 1 FROM deployment_revisions r WHERE r.build_id = ?1)",
            params![id],
        )
        .await?;
    Ok(gone == 1)
}

/// Builds after `after` whose uploaded source is needed: by one that has not ended, or by one that
/// ended after `ended_after` and may be repeated.
pub(crate) async fn source_list(
    db: &Db,
    after: &str,
    ended_after: Timestamp,
    limit: u64,
) -> Result<Vec<(String,)>, DbError> {
    db.query(
        "SELECT DISTINCT source_build_id FROM builds WHERE source_build_id > ?1 \
         AND (completed_at_ms IS NULL OR completed_at_ms > ?2) ORDER BY source_build_id LIMIT ?3",
        params![after, ended_after, limit],
    )
    .await
}

/// Whether the source that was uploaded for `build_id` is needed, as in [`source_list`].
pub(crate) async fn source_is_kept(
    db: &Db,
    build_id: &str,
    ended_after: Timestamp,
) -> Result<bool, DbError> {
    let found: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM builds WHERE source_build_id = ?1 \
             AND (completed_at_ms IS NULL OR completed_at_ms > ?2) LIMIT 1",
            params![build_id, ended_after],
        )
        .await?;
    Ok(found.is_some())
}
