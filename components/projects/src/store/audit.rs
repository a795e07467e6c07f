//! Reading the audit trail, newest first.

use nokube_domain::{ProjectId, Timestamp, UserId};
use nokube_guest::db::{Conditions, Db, DbError};
use nokube_guest::{TimeCursor, params, row};

row! {
    /// One change.
    pub(crate) struct AuditRow {
        pub(crate) id: i64,
        pub(crate) at_ms: Timestamp,
        pub(crate) actor_name: String,
        pub(crate) action: String,
        pub(crate) target: String,
        pub(crate) project_id: Option<ProjectId>,
        pub(crate) detail: String,
        pub(crate) request_id: String,
        /// For whoever did it alone.
        pub(crate) address: Option<String>,
    }
}

/// Which entries are read.
#[derive(Debug, Default)]
pub(crate) struct AuditFilter {
    /// What this user did.
    pub(crate) actor: Option<UserId>,
    /// What was done in this project.
    pub(crate) project: Option<ProjectId>,
    /// What was done so.
    pub(crate) action: Option<String>,
    /// Not before.
    pub(crate) from: Option<Timestamp>,
    /// Before.
    pub(crate) to: Option<Timestamp>,
}

/// Entries before the cursor, at most `limit`.
pub(crate) async fn audit_before(
    db: &Db,
    filter: &AuditFilter,
    cursor: Option<TimeCursor>,
    limit: u64,
) -> Result<Vec<AuditRow>, DbError> {
    let mut conditions = Conditions::new();
    if let Some(actor) = filter.actor {
        conditions.and("actor_id = ?", params![actor]);
    }
    if let Some(project) = filter.project {
        conditions.and("project_id = ?", params![project]);
    }
    if let Some(action) = &filter.action {
        conditions.and("action = ?", params![action]);
    }
    if let Some(from) = filter.from {
        conditions.and("at_ms >= ?", params![from]);
    }
    // One upper bound, since the database uses one of them to find where to begin. Ids begin at 1.
    let end = filter.to.map(|at| TimeCursor { at, id: 0 });
    if let Some(before) = cursor.into_iter().chain(end).min() {
        conditions.and("(at_ms, id) < (?, ?)", params![before.at, before.id]);
    }
    let limit = conditions.parameter(limit);
    let statement = format!(
        "SELECT id, at_ms, actor_name, action, target, project_id, detail, request_id, address \
         FROM audit {} ORDER BY at_ms DESC, id DESC LIMIT {limit}",
        conditions.text()
    );
    db.query(&statement, conditions.parameters()).await
}
