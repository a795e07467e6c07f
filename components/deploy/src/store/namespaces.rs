//! Rows of namespaces: one for each environment of a project that has deployments.

use nokube_domain::{Namespace, ProjectId, Timestamp};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::params;

/// The name that was recorded for an environment of a project that was checked.
pub(crate) async fn namespace_find(
    db: &Db,
    project: ProjectId,
    environment: &str,
) -> Result<Option<String>, DbError> {
    let found: Option<(String,)> = db
        .query_optional(
            "SELECT name FROM namespaces WHERE project_id = ?1 AND environment = ?2",
            params![project, environment],
        )
        .await?;
    Ok(found.map(|(name,)| name))
}

/// Whether some environment of some project has this name.
pub(crate) async fn namespace_is_taken(db: &Db, name: &Namespace) -> Result<bool, DbError> {
    let found: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM namespaces WHERE name = ?1",
            params![name.as_str()],
        )
        .await?;
    Ok(found.is_some())
}

/// Records the name of an environment, which has none yet.
pub(crate) async fn namespace_insert(
    tx: &Tx,
    project: ProjectId,
    environment: &str,
    name: &Namespace,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO namespaces (project_id, environment, name, created_at_ms) VALUES (?1, ?2, ?3, ?4)",
        params![project, environment, name.as_str(), now],
    )
    .await?;
    Ok(())
}

/// Forgets the name of an environment that has no deployment any more, nor anything left of one at the target.
pub(crate) async fn namespace_forget_unused(
    tx: &Tx,
    project: ProjectId,
    environment: &str,
) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM namespaces WHERE project_id = ?1 AND environment = ?2 \
         AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.project_id = ?1 AND d.environment = ?2) \
         AND NOT EXISTS (SELECT 1 FROM deployment_leftovers l \
         WHERE l.project_id = ?1 AND l.environment = ?2)",
        params![project, environment],
    )
    .await?;
    Ok(())
}
