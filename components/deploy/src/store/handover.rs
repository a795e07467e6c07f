//! What the target was told and what it said. Every change names the generation it is about, so that
//! an answer that comes late changes nothing.

use nokube_api::sidecar::AppStatus;
use nokube_domain::deploy::DeploymentStatus;
use nokube_domain::{DeploymentId, Timestamp};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{params, row};

use super::deployments::{DeploymentRow, ROWS};
use super::namespaces::namespace_forget_unused;

/// Hand-overs of one tick; the next one comes within a second or two.
const PER_TICK: u64 = 20;

row! {
    /// What was last said of a deployment: without configuration and secrets, which may be large, since
    /// all deployments are looked at together.
    #[derive(Debug)]
    pub(crate) struct StandingRow {
        pub(crate) id: DeploymentId,
        pub(crate) generation: u64,
        pub(crate) acknowledged_generation: u64,
        pub(crate) status: String,
        pub(crate) error_message: Option<String>,
        pub(crate) replicas_ready: u32,
        pub(crate) replicas_total: u32,
        pub(crate) access_url: Option<String>,
        pub(crate) objects: String,
    }
}

impl DeploymentRow {
    /// What was last said of it.
    pub(crate) fn standing(&self) -> StandingRow {
        StandingRow {
            id: self.id,
            generation: self.generation,
            acknowledged_generation: self.acknowledged_generation,
            status: self.status.clone(),
            error_message: self.error_message.clone(),
            replicas_ready: self.replicas_ready,
            replicas_total: self.replicas_total,
            access_url: self.access_url.clone(),
            objects: self.objects.clone(),
        }
    }
}

row! {
    /// Whose a deployment is, as its host name says.
    #[derive(Debug)]
    pub(crate) struct OwnerRow {
        pub(crate) owner_name: String,
        pub(crate) slug: String,
    }
}

/// The deployment, for the platform itself.
pub(crate) async fn handover_find(
    db: &Db,
    id: DeploymentId,
) -> Result<Option<DeploymentRow>, DbError> {
    db.query_optional(&format!("{ROWS} WHERE d.id = ?1"), params![id])
        .await
}

/// The owner and the project of a deployment.
pub(crate) async fn handover_owner(db: &Db, row: &DeploymentRow) -> Result<OwnerRow, DbError> {
    db.query_one(
        "SELECT owner_name, slug FROM projects WHERE id = ?1",
        params![row.project_id],
    )
    .await
}

/// Deployments the target is to be told of, now.
pub(crate) async fn handover_due(db: &Db, now: Timestamp) -> Result<Vec<(DeploymentId,)>, DbError> {
    db.query(
        "SELECT id FROM deployments WHERE (acknowledged_generation < generation OR \
         desired = 'deleted') AND handover_after_ms <= ?1 ORDER BY handover_after_ms, id LIMIT ?2",
        params![now, PER_TICK],
    )
    .await
}

/// Deployments after `after` whose wish the target knows; at most `limit`.
pub(crate) async fn handover_acknowledged(
    db: &Db,
    after: &str,
    limit: u64,
) -> Result<Vec<StandingRow>, DbError> {
    db.query(
        "SELECT id, generation, acknowledged_generation, status, error_message, replicas_ready, \
         replicas_total, access_url, objects FROM deployments \
         WHERE id > ?1 AND acknowledged_generation = generation AND desired <> 'deleted' \
         ORDER BY id LIMIT ?2",
        params![after, limit],
    )
    .await
}

/// How many deployments the target knows, and how many of those are on their way.
pub(crate) async fn handover_counts(db: &Db) -> Result<(u32, u32), DbError> {
    db.query_one(
        "SELECT count(*), coalesce(sum(CASE WHEN status IN ('pending', 'deploying') THEN 1 ELSE 0 END), 0) \
         FROM deployments WHERE acknowledged_generation = generation AND desired <> 'deleted'",
        &[],
    )
    .await
}

/// What the target says of a deployment.
pub(crate) struct Reported<'a> {
    pub(crate) status: DeploymentStatus,
    pub(crate) error_message: Option<&'a str>,
    pub(crate) replicas_ready: u32,
    pub(crate) replicas_total: u32,
    pub(crate) access_url: Option<&'a str>,
    pub(crate) objects: String,
}

impl<'a> Reported<'a> {
    /// What an answer of the target says.
    pub(crate) fn of(app: &'a AppStatus) -> Self {
        use nokube_api::sidecar::AppPhase;
        Self {
            status: match app.phase {
                AppPhase::Pending | AppPhase::Deploying => DeploymentStatus::Deploying,
                AppPhase::Running => DeploymentStatus::Running,
                AppPhase::Failed => DeploymentStatus::Failed,
                AppPhase::Stopped => DeploymentStatus::Stopped,
            },
            error_message: app.message.as_deref(),
            replicas_ready: app.replicas_ready,
            replicas_total: app.replicas_total,
            access_url: app.access_url.as_deref(),
            objects: serde_json::to_string(&app.objects).expect("a list of strings"),
        }
    }

    /// Whether the row says so already.
    pub(crate) fn is_known(&self, row: &StandingRow) -> bool {
        row.acknowledged_generation == row.generation
            && row.status == self.status.as_str()
            && row.error_message.as_deref() == self.error_message
            && row.replicas_ready == self.replicas_ready
            && row.replicas_total == self.replicas_total
            && row.access_url.as_deref() == self.access_url
            && row.objects == self.objects
    }
}

/// Records that the target knows this generation, and what it says of it.
pub(crate) async fn handover_acknowledge(
    tx: &Tx,
    row: &StandingRow,
    reported: &Reported<'_>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = tx
        .execute_counted(
            "UPDATE deployments SET acknowledged_generation = generation, handover_failures = 0, \
             handover_after_ms = 0, status = ?3, error_message = ?4, replicas_ready = ?5, \
             replicas_total = ?6, access_url = ?7, objects = ?8, updated_at_ms = ?9, \
             settled_revision = CASE WHEN ?3 = 'running' THEN revision ELSE settled_revision END \
             WHERE id = ?1 AND generation = ?2 AND desired <> 'deleted'",
            params![
                row.id,
                row.generation,
                reported.status.as_str(),
                reported.error_message,
                reported.replicas_ready,
                reported.replicas_total,
                reported.access_url,
                reported.objects.as_str(),
                now,
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Records that the target could not be told, and when to try again.
pub(crate) async fn handover_fail(
    tx: &Tx,
    row: &DeploymentRow,
    error_message: &str,
    again_at: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE deployments SET handover_failures = handover_failures + 1, handover_after_ms = ?3, \
         error_message = ?4 WHERE id = ?1 AND generation = ?2",
        params![row.id, row.generation, again_at, error_message],
    )
    .await?;
    Ok(())
}

/// Looks again at `again_at`: the target has begun, and is not done.
pub(crate) async fn handover_wait(
    tx: &Tx,
    row: &DeploymentRow,
    again_at: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE deployments SET handover_failures = 0, handover_after_ms = ?3, error_message = NULL \
         WHERE id = ?1 AND generation = ?2",
        params![row.id, row.generation, again_at],
    )
    .await?;
    Ok(())
}

/// The target has forgotten the deployment, or has an older wish: tell it again.
pub(crate) async fn handover_repeat(tx: &Tx, row: &StandingRow) -> Result<(), DbError> {
    tx.execute(
        "UPDATE deployments SET acknowledged_generation = 0, handover_after_ms = 0, status = 'pending' \
         WHERE id = ?1 AND generation = ?2 AND desired <> 'deleted'",
        params![row.id, row.generation],
    )
    .await?;
    Ok(())
}

/// The target has a newer generation than we know (this database is older than its): go beyond it.
pub(crate) async fn handover_overtake(
    tx: &Tx,
    row: &StandingRow,
    theirs: u64,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE deployments SET generation = ?3, handover_after_ms = 0 \
         WHERE id = ?1 AND generation = ?2",
        params![row.id, row.generation, theirs + 1],
    )
    .await?;
    Ok(())
}

/// Removes a deployment that the target has confirmed to be gone, its revisions, and with the last one of an environment
/// the name of its namespace.
pub(crate) async fn handover_forget(tx: &Tx, row: &DeploymentRow) -> Result<bool, DbError> {
    let gone = tx
        .execute_counted(
            "DELETE FROM deployments WHERE id = ?1 AND generation = ?2 AND desired = 'deleted'",
            params![row.id, row.generation],
        )
        .await?;
    namespace_forget_unused(tx, row.project_id, &row.environment).await?;
    Ok(gone == 1)
}
