//! Reading the audit trail, newest first.

use nokube_domain::{ProjectId, Timestamp, UserId};
use nokube_guest::db::{Db, DbError};
use nokube_guest::{params, row};

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
    }
}

/// Whose entries are read.
pub(crate) enum Scope {
    /// Everyone's.
    All,
    /// What one user did.
    Actor(UserId),
    /// What was done in one project.
    Project(ProjectId),
}

/// Entries older than `before`, at most `limit`.
pub(crate) async fn audit_before(
    db: &Db,
    scope: &Scope,
    before: i64,
    limit: u64,
) -> Result<Vec<AuditRow>, DbError> {
    const COLUMNS: &str =
        "id, at_ms, actor_name, action, target, project_id, detail, request_id FROM audit";
    match scope {
        Scope::All => {
            let statement = format!("SELECT {COLUMNS} WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
            db.query(&statement, params![before, limit]).await
        }
        Scope::Actor(actor) => {
            let statement = format!(
                "SELECT {COLUMNS} WHERE actor_id = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2"
            );
            db.query(&statement, params![before, limit, *actor]).await
        }
        Scope::Project(project) => {
            let statement = format!(
                "SELECT {COLUMNS} WHERE project_id = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2"
            );
            db.query(&statement, params![before, limit, *project]).await
        }
    }
}
