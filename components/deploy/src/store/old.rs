//! What housekeeping removes, and what it must leave: revisions by number, artifacts by need.

use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::params;

/// Revisions that are neither among the newest `?1` of their deployment, nor the one that is wanted,
/// nor the one that was last seen to run. At most `?2`.
const OLD: &str = "SELECT o.deployment_id, o.revision FROM (SELECT deployment_id, revision, \
     row_number() OVER (PARTITION BY deployment_id ORDER BY revision DESC) AS place \
     FROM deployment_revisions) o JOIN deployments d ON d.id = o.deployment_id \
     WHERE o.place > ?1 AND o.revision <> d.revision \
     AND (d.settled_revision IS NULL OR o.revision <> d.settled_revision) LIMIT ?2";

/// Whether there are any. Mostly there are none, and asking does not lock the database for writing.
pub(crate) async fn old_revisions_are_there(db: &Db, keep: u64) -> Result<bool, DbError> {
    let found: Option<(String, u32)> = db.query_optional(OLD, params![keep, 1]).await?;
    Ok(found.is_some())
}

/// Removes up to `limit` of them.
pub(crate) async fn old_revisions_delete(tx: &Tx, keep: u64, limit: u64) -> Result<u64, DbError> {
    tx.execute_counted(
        &format!("DELETE FROM deployment_revisions WHERE (deployment_id, revision) IN ({OLD})"),
        params![keep, limit],
    )
    .await
}

/// Digests after `after` that a revision or a build names: what runs, what can be rolled back to,
/// what can be deployed. Container images are their registry's to keep.
pub(crate) async fn artifact_list(
    db: &Db,
    after: &str,
    limit: u64,
) -> Result<Vec<(String,)>, DbError> {
    db.query(
        "SELECT n.digest FROM (SELECT digest FROM deployment_revisions WHERE digest > ?1 \
         AND artifact = 'spin' UNION SELECT digest FROM builds WHERE digest > ?1) n ORDER BY n.digest LIMIT ?2",
        params![after, limit],
    )
    .await
}
