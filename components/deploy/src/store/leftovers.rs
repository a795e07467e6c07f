//! Deployments whose project was deleted by force: the target is told until it confirms.

use nokube_domain::{DeploymentId, Timestamp};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::params;

use super::deployments::DeploymentRow;

/// Removes a deployment that is to be deleted at once, and keeps in mind that the target must be told.
pub(crate) async fn leftover_make(
    tx: &Tx,
    row: &DeploymentRow,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO deployment_leftovers (deployment_id, since_ms) VALUES (?1, ?2)",
        params![row.id, now],
    )
    .await?;
    tx.execute(
        "DELETE FROM deployments WHERE id = ?1 AND project_id = ?2",
        params![row.id, row.project_id],
    )
    .await?;
    Ok(())
}

/// The oldest of them.
pub(crate) async fn leftover_list(db: &Db) -> Result<Vec<(DeploymentId,)>, DbError> {
    db.query(
        "SELECT deployment_id FROM deployment_leftovers ORDER BY since_ms LIMIT 20",
        &[],
    )
    .await
}

/// The target has confirmed.
pub(crate) async fn leftover_forget(tx: &Tx, id: DeploymentId) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM deployment_leftovers WHERE deployment_id = ?1",
        params![id],
    )
    .await?;
    Ok(())
}
