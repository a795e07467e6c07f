//! Leases: who builds what, and how it ended. Each change of state is one statement that names the
//! state it leaves.

use nokube_domain::build::{BuildStatus, Builder};
use nokube_domain::{BuildId, Timestamp, Uuid7};
use nokube_guest::db::{Db, DbError, Tx, Value};
use nokube_guest::{params, row};

use super::builds::BuildRow;

/// What may be leased: its source is there, and nobody has it (or never acknowledged that).
const LEASABLE: &str = "status = 'pending' AND source_ready = 1 \
     AND (lease_id IS NULL OR lease_expires_at_ms <= ?1) \
     AND ((builder = 'runner' AND ?2 = 1) OR (builder = 'simulated' AND ?3 = 1))";

fn leasable(now: Timestamp, builders: &[Builder]) -> Vec<Value> {
    params![
        now,
        builders.contains(&Builder::Runner),
        builders.contains(&Builder::Simulated),
    ]
    .to_vec()
}

/// Whether there is anything to lease. Runners ask all the time: without this each question would
/// lock the database for writing.
pub(crate) async fn lease_is_possible(
    db: &Db,
    now: Timestamp,
    builders: &[Builder],
) -> Result<bool, DbError> {
    let found: Option<(i64,)> = db
        .query_optional(
            &format!("SELECT 1 FROM builds WHERE {LEASABLE} LIMIT 1"),
            &leasable(now, builders),
        )
        .await?;
    Ok(found.is_some())
}

/// Gives the next build to a runner: of the project that builds least, the one that waits longest.
pub(crate) async fn lease_take(
    tx: &Tx,
    now: Timestamp,
    builders: &[Builder],
    lease_id: &str,
    expires_at: Timestamp,
) -> Result<Option<BuildRow>, DbError> {
    let mut parameters = leasable(now, builders);
    parameters.extend_from_slice(params![lease_id, expires_at]);
    tx.query_optional(
        &format!(
            "UPDATE builds SET lease_id = ?4, lease_expires_at_ms = ?5 WHERE id = (\
             SELECT w.id FROM builds w WHERE {LEASABLE} ORDER BY (SELECT count(*) FROM builds r WHERE \
             r.project_id = w.project_id AND r.status = 'building'), w.queued_at_ms, w.id LIMIT 1) \
             AND status = 'pending' RETURNING *"
        ),
        &parameters,
    )
    .await
}

row! {
    /// What a runner is told of the project.
    pub(crate) struct JobProject {
        pub(crate) owner_name: String,
        pub(crate) slug: String,
    }
}

/// The project of a leased build.
pub(crate) async fn lease_project(db: &Db, build: &BuildRow) -> Result<JobProject, DbError> {
    db.query_one(
        "SELECT owner_name, slug FROM projects WHERE id = ?1",
        params![build.project_id],
    )
    .await
}

/// The builds that a runner holds, acknowledged or not: its id is the end of its leases' ids.
pub(crate) async fn lease_list_of_runner(
    db: &Db,
    runner_id: Uuid7,
) -> Result<Vec<BuildRow>, DbError> {
    db.query(
        "SELECT * FROM builds WHERE status IN ('pending', 'building') AND lease_id LIKE ?1",
        params![format!("%.{runner_id}")],
    )
    .await
}

/// Takes a lease back that was never acknowledged. False when it is another one's by now.
pub(crate) async fn lease_release(tx: &Tx, build: &BuildRow) -> Result<bool, DbError> {
    let released = tx
        .execute_counted(
            "UPDATE builds SET lease_id = NULL, lease_expires_at_ms = NULL \
             WHERE id = ?1 AND lease_id = ?2 AND status = 'pending'",
            params![build.id, build.lease_id.as_deref()],
        )
        .await?;
    Ok(released == 1)
}

/// Acknowledges a lease: the build runs. False when the lease is lost. Told again, true again.
pub(crate) async fn lease_start(
    tx: &Tx,
    id: BuildId,
    lease_id: &str,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<bool, DbError> {
    let started = tx
        .execute_counted(
            "UPDATE builds SET status = 'building', attempts = attempts + 1, started_at_ms = ?3, \
             lease_expires_at_ms = ?4, log_base = log_lines \
             WHERE id = ?1 AND lease_id = ?2 AND status = 'pending'",
            params![id, lease_id, now, expires_at],
        )
        .await?;
    Ok(started == 1 || lease_extend(tx, id, lease_id, expires_at).await?)
}

/// Extends a lease of a build that runs. False when it is lost.
pub(crate) async fn lease_extend(
    tx: &Tx,
    id: BuildId,
    lease_id: &str,
    expires_at: Timestamp,
) -> Result<bool, DbError> {
    let extended = tx
        .execute_counted(
            "UPDATE builds SET lease_expires_at_ms = ?3 \
             WHERE id = ?1 AND lease_id = ?2 AND status = 'building'",
            params![id, lease_id, expires_at],
        )
        .await?;
    Ok(extended == 1)
}

/// How a leased build ended.
pub(crate) struct Ending<'a> {
    pub(crate) status: BuildStatus,
    pub(crate) digest: Option<&'a str>,
    pub(crate) error_message: Option<&'a str>,
    pub(crate) commit: Option<&'a str>,
}

/// Ends a build that runs under this lease. The lease's id stays: a result told twice is known by it.
pub(crate) async fn lease_finish(
    tx: &Tx,
    build: &BuildRow,
    ending: &Ending<'_>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let finished = tx
        .execute_counted(
            "UPDATE builds SET status = ?3, digest = ?4, error_message = ?5, \
             built_commit = coalesce(?6, built_commit), lease_expires_at_ms = NULL, completed_at_ms = ?7 \
             WHERE id = ?1 AND lease_id = ?2 AND status = 'building'",
            params![
                build.id,
                build.lease_id.as_deref(),
                ending.status.as_str(),
                ending.digest,
                ending.error_message,
                ending.commit,
                now,
            ],
        )
        .await?;
    Ok(finished == 1)
}

/// Puts a build that runs under this lease back in the queue, pinned to the commit that the lost
/// attempt fetched, if it told one.
pub(crate) async fn lease_requeue(
    tx: &Tx,
    build: &BuildRow,
    commit: Option<&str>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let requeued = tx
        .execute_counted(
            "UPDATE builds SET status = 'pending', lease_id = NULL, lease_expires_at_ms = NULL, \
             started_at_ms = NULL, queued_at_ms = ?3, built_commit = coalesce(?4, built_commit) \
             WHERE id = ?1 AND lease_id = ?2 AND status = 'building'",
            params![build.id, build.lease_id.as_deref(), now, commit],
        )
        .await?;
    Ok(requeued == 1)
}

/// The same for a runner that stops of its own accord: its start is taken back.
pub(crate) async fn lease_give_back(
    tx: &Tx,
    build: &BuildRow,
    commit: Option<&str>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let requeued = lease_requeue(tx, build, commit, now).await?;
    if requeued {
        tx.execute(
            "UPDATE builds SET attempts = attempts - 1 WHERE id = ?1 AND attempts > 0",
            params![build.id],
        )
        .await?;
    }
    Ok(requeued)
}
