//! Deployments whose project was deleted by force: the target is told until it confirms.

use nokube_domain::{DeploymentId, ProjectId, Timestamp};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::params;

use super::deployments::DeploymentRow;
use super::namespaces::namespace_forget_unused;

/// Removes a deployment that is to be deleted at once, and keeps in mind that the target must be told.
pub(crate) async fn leftover_make(
    tx: &Tx,
    row: &DeploymentRow,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO deployment_leftovers (deployment_id, since_ms, project_id, environment) \
         VALUES (?1, ?2, ?3, ?4)",
        params![row.id, now, row.project_id, row.environment.as_str()],
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

/// The target has confirmed. With the last one of an environment the name of its namespace goes.
pub(crate) async fn leftover_forget(tx: &Tx, id: DeploymentId) -> Result<(), DbError> {
    let place: Option<(ProjectId, String)> = tx
        .query_optional(
            "SELECT project_id, environment FROM deployment_leftovers \
             WHERE deployment_id = ?1 AND project_id IS NOT NULL AND environment IS NOT NULL",
            params![id],
        )
        .await?;
    tx.execute(
        "DELETE FROM deployment_leftovers WHERE deployment_id = ?1",
        params![id],
    )
    .await?;
    if let Some((project, environment)) = place {
        namespace_forget_unused(tx, project, &environment).await?;
    }
    Ok(())
}
