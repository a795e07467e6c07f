//! Which service an image name belongs to.

use nokube_domain::{ProjectId, ServiceName};
use nokube_guest::db::{DbError, Tx};
use nokube_guest::params;

/// Claims a name for a service. False when it is another service's.
pub(crate) async fn image_name_claim(
    tx: &Tx,
    repository: &str,
    project: ProjectId,
    service: &ServiceName,
) -> Result<bool, DbError> {
    tx.execute(
        "INSERT INTO image_names (repository, project_id, service_name) VALUES (?1, ?2, ?3) \
         ON CONFLICT (repository) DO NOTHING",
        params![repository, project, service.as_str()],
    )
    .await?;
    let (owner, name): (ProjectId, String) = tx
        .query_one(
            "SELECT project_id, service_name FROM image_names WHERE repository = ?1",
            params![repository],
        )
        .await?;
    Ok(owner == project && name == service.as_str())
}
