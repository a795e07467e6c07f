//! Rows of deployments.

use nokube_domain::deploy::{DeploymentStatus, Desired};
use nokube_domain::{DeploymentId, Environment, HostLabel, ProjectId, ServiceName, Timestamp};
use nokube_guest::db::{Conditions, Db, DbError, Tx};
use nokube_guest::platform::only_visible;
use nokube_guest::{Caller, Paging, params, row};

row! {
    /// A deployment as it is stored, with what its wanted revision says of the image.
    #[derive(Debug, Clone)]
    pub(crate) struct DeploymentRow {
        pub(crate) id: DeploymentId,
        pub(crate) project_id: ProjectId,
        pub(crate) service_name: String,
        pub(crate) environment: String,
        pub(crate) revision: u32,
        pub(crate) replicas: u32,
        pub(crate) desired: String,
        pub(crate) generation: u64,
        pub(crate) acknowledged_generation: u64,
        pub(crate) handover_failures: u32,
        pub(crate) status: String,
        pub(crate) replicas_ready: u32,
        pub(crate) replicas_total: u32,
        pub(crate) access_url: Option<String>,
        pub(crate) objects: String,
        pub(crate) error_message: Option<String>,
        pub(crate) created_at_ms: Timestamp,
        pub(crate) updated_at_ms: Timestamp,
        pub(crate) build_id: Option<String>,
        pub(crate) image_name: String,
        pub(crate) digest: String,
        pub(crate) artifact: String,
        pub(crate) spec: String,
        pub(crate) secrets: String,
        pub(crate) namespace: Option<String>,
    }
}

impl DeploymentRow {
    /// What is wanted of it.
    pub(crate) fn desired(&self) -> Desired {
        Desired::parse(&self.desired).expect("the table's CHECK allows only these")
    }

    /// How far it is.
    pub(crate) fn status(&self) -> DeploymentStatus {
        DeploymentStatus::parse(&self.status).unwrap_or(DeploymentStatus::Pending)
    }
}

/// Every column of [`DeploymentRow`].
pub(super) const ROWS: &str = "SELECT d.*, r.build_id, r.image_name, r.digest, r.artifact, r.spec, r.secrets, \
     (SELECT n.name FROM namespaces n \
     WHERE n.project_id = d.project_id AND n.environment = d.environment) AS namespace \
     FROM deployments d JOIN deployment_revisions r \
     ON r.deployment_id = d.id AND r.revision = d.revision";

/// The deployment of this id, if the caller may see it.
fn visible(caller: &Caller, id: DeploymentId) -> Conditions {
    let mut conditions = Conditions::new();
    conditions.and("d.id = ?", params![id]);
    only_visible(&mut conditions, "d.project_id", caller, true);
    conditions
}

/// The deployment, if the caller may see its project.
pub(crate) async fn deployment_find(
    db: &Db,
    caller: &Caller,
    id: DeploymentId,
) -> Result<Option<DeploymentRow>, DbError> {
    let conditions = visible(caller, id);
    let statement = format!("{ROWS} {}", conditions.text());
    db.query_optional(&statement, conditions.parameters()).await
}

/// Whether it is there and the caller may see its project.
pub(crate) async fn deployment_is_visible(
    db: &Db,
    caller: &Caller,
    id: DeploymentId,
) -> Result<bool, DbError> {
    let conditions = visible(caller, id);
    let statement = format!("SELECT 1 FROM deployments d {}", conditions.text());
    let found: Option<(i64,)> = db
        .query_optional(&statement, conditions.parameters())
        .await?;
    Ok(found.is_some())
}

/// The deployment of a service in an environment of a project that was checked.
pub(crate) async fn deployment_find_by_name(
    db: &Db,
    project: ProjectId,
    service: &ServiceName,
    environment: &Environment,
) -> Result<Option<DeploymentRow>, DbError> {
    db.query_optional(
        &format!("{ROWS} WHERE d.project_id = ?1 AND d.service_name = ?2 AND d.environment = ?3"),
        params![project, service.as_str(), environment.as_str()],
    )
    .await
}

/// Whether another deployment of the project answers under this label.
pub(crate) async fn deployment_label_is_taken(
    db: &Db,
    project: ProjectId,
    label: &HostLabel,
) -> Result<bool, DbError> {
    let found: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM deployments WHERE project_id = ?1 AND host_label = ?2",
            params![project, label.as_str()],
        )
        .await?;
    Ok(found.is_some())
}

/// Whether another deployment than `id` has this custom domain.
pub(crate) async fn deployment_domain_is_taken(
    db: &Db,
    domain: &str,
    id: DeploymentId,
) -> Result<bool, DbError> {
    let found: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM deployments WHERE custom_domain = ?1 AND id <> ?2",
            params![domain, id],
        )
        .await?;
    Ok(found.is_some())
}

/// How many deployments a project has, those on their way out included.
pub(crate) async fn deployment_count_of_project(
    db: &Db,
    project: ProjectId,
) -> Result<u64, DbError> {
    let (count,) = db
        .query_one(
            "SELECT count(*) FROM deployments WHERE project_id = ?1",
            params![project],
        )
        .await?;
    Ok(count)
}

/// Which deployments are asked for.
#[derive(Debug, Default)]
pub(crate) struct DeploymentFilter {
    pub(crate) project_id: Option<ProjectId>,
    pub(crate) service_name: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) status: Option<DeploymentStatus>,
    /// Of every project, for administrators who ask for that.
    pub(crate) everywhere: bool,
}

/// What a filter says of deployments the caller may see.
fn listed(caller: &Caller, filter: &DeploymentFilter) -> Conditions {
    let mut conditions = Conditions::new();
    if let Some(project) = filter.project_id {
        conditions.and("d.project_id = ?", params![project]);
    }
    only_visible(&mut conditions, "d.project_id", caller, filter.everywhere);
    if let Some(service) = &filter.service_name {
        conditions.and("d.service_name = ?", params![service]);
    }
    if let Some(environment) = &filter.environment {
        conditions.and("d.environment = ?", params![environment]);
    }
    if let Some(status) = filter.status {
        conditions.and("d.status = ?", params![status.as_str()]);
    }
    conditions
}

/// One page of the deployments the caller may see, newest first, and how many there are.
pub(crate) async fn deployment_list(
    db: &Db,
    caller: &Caller,
    filter: &DeploymentFilter,
    paging: Paging,
) -> Result<(Vec<DeploymentRow>, u64), DbError> {
    listed(caller, filter)
        .page(
            db,
            ROWS,
            "SELECT count(*) FROM deployments d",
            "d.created_at_ms DESC, d.id DESC",
            paging,
        )
        .await
}

/// A deployment that is about to be.
pub(crate) struct NewDeployment<'a> {
    pub(crate) id: DeploymentId,
    pub(crate) project_id: ProjectId,
    pub(crate) service: &'a ServiceName,
    pub(crate) environment: &'a Environment,
    pub(crate) host_label: &'a HostLabel,
    pub(crate) wanted: Wanted<'a>,
    pub(crate) now: Timestamp,
}

/// What a revision wants of the deployment's own row.
pub(crate) struct Wanted<'a> {
    pub(crate) custom_domain: Option<&'a str>,
    pub(crate) replicas: u32,
}

/// Stores a deployment whose first revision is wanted, at generation 1.
pub(crate) async fn deployment_insert(tx: &Tx, new: &NewDeployment<'_>) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO deployments (id, project_id, service_name, environment, host_label, \
         custom_domain, revision, replicas, desired, generation, acknowledged_generation, \
         handover_failures, handover_after_ms, status, replicas_ready, replicas_total, objects, \
         created_at_ms, updated_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, 'running', 1, 0, 0, 0, 'pending', 0, ?7, '[]', ?8, ?8)",
        params![
            new.id,
            new.project_id,
            new.service.as_str(),
            new.environment.as_str(),
            new.host_label.as_str(),
            new.wanted.custom_domain,
            new.wanted.replicas,
            new.now,
        ],
    )
    .await?;
    Ok(())
}

/// A change of what is wanted: the next generation, which the target is yet to be told. Nothing when
/// the deployment is no longer at `generation`.
const NEXT: &str = "generation = generation + 1, handover_failures = 0, handover_after_ms = 0, \
     error_message = NULL, updated_at_ms = ?4";
const UNCHANGED: &str = "id = ?1 AND project_id = ?2 AND generation = ?3 AND desired <> 'deleted'";

/// Makes `revision` the wanted one. `desired` is left as it was when it is nothing.
pub(crate) async fn deployment_want_revision(
    tx: &Tx,
    row: &DeploymentRow,
    revision: u32,
    wanted: &Wanted<'_>,
    desired: Option<Desired>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = tx
        .execute_counted(
            &format!(
                "UPDATE deployments SET {NEXT}, revision = ?5, custom_domain = ?6, replicas = ?7, \
                 replicas_total = ?7, desired = coalesce(?8, desired), status = 'pending' \
                 WHERE {UNCHANGED}"
            ),
            params![
                row.id,
                row.project_id,
                row.generation,
                now,
                revision,
                wanted.custom_domain,
                wanted.replicas,
                desired.map(Desired::as_str),
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Changes whether it shall run and in how many copies, without a revision. The same again is a
/// restart.
pub(crate) async fn deployment_want(
    tx: &Tx,
    row: &DeploymentRow,
    desired: Desired,
    replicas: u32,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = tx
        .execute_counted(
            &format!(
                "UPDATE deployments SET {NEXT}, desired = ?5, replicas = ?6, replicas_total = ?6, \
                 status = 'pending' WHERE {UNCHANGED}"
            ),
            params![
                row.id,
                row.project_id,
                row.generation,
                now,
                desired.as_str(),
                replicas,
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Wants it gone. It stays until the target has confirmed.
pub(crate) async fn deployment_want_deleted(
    tx: &Tx,
    row: &DeploymentRow,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = tx
        .execute_counted(
            &format!(
                "UPDATE deployments SET {NEXT}, desired = 'deleted', status = 'deleting' \
                 WHERE {UNCHANGED}"
            ),
            params![row.id, row.project_id, row.generation, now],
        )
        .await?;
    Ok(changed == 1)
}

/// All deployments of a project, for the platform itself.
pub(crate) async fn deployment_list_of_project(
    db: &Db,
    project: ProjectId,
) -> Result<Vec<DeploymentRow>, DbError> {
    db.query(&format!("{ROWS} WHERE d.project_id = ?1"), params![project])
        .await
}
