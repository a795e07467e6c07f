//! The database `platform`, which projects, builds, deploy and events share.
//!
//! Its migrations are all here, in one folder and one order, and whichever component comes first
//! applies them: no component has to wait for another, and none can meet half a schema. `projects`
//! is answerable for them.

mod access;
mod followers;

pub use access::{ProjectAccess, project_for};
pub use followers::{STREAM_MS, follow_until};

use crate::Ctx;
use crate::db::{Db, DbError, Migration, migrate};

/// The label of the database.
pub const LABEL: &str = "platform";

static MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "projects",
        sql: include_str!("0001_projects.sql"),
    },
    Migration {
        version: 2,
        name: "builds",
        sql: include_str!("0002_builds.sql"),
    },
    Migration {
        version: 3,
        name: "deployments",
        sql: include_str!("0003_deployments.sql"),
    },
    Migration {
        version: 4,
        name: "followers",
        sql: include_str!("0004_followers.sql"),
    },
    Migration {
        version: 5,
        name: "housekeeping",
        sql: include_str!("0005_housekeeping.sql"),
    },
    Migration {
        version: 6,
        name: "members",
        sql: include_str!("0006_members.sql"),
    },
    Migration {
        version: 7,
        name: "events",
        sql: include_str!("0007_events.sql"),
    },
    Migration {
        version: 8,
        name: "namespaces",
        sql: include_str!("0008_namespaces.sql"),
    },
    Migration {
        version: 10,
        name: "cheaper writes",
        sql: include_str!("0010_cheaper_writes.sql"),
    },
];

/// Opens the platform's database with its schema up to date.
///
/// # Errors
/// As the database says.
pub async fn open(cx: &Ctx) -> Result<Db, DbError> {
    let db = cx.database(LABEL)?;
    migrate(&db, MIGRATIONS).await?;
    Ok(db)
}
