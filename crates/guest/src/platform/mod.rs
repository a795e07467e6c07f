//! The database `platform`, which projects, builds, deploy and events share.
//!
//! Its migrations are all here, in one folder and one order, and whichever component comes first
//! applies them: no component has to wait for another, and none can meet half a schema. `projects`
//! is answerable for them.

mod access;
mod followers;
mod forgotten;

pub use access::{ProjectAccess, only_visible, project_for};
pub use followers::{STREAM_MS, follow_until};
pub use forgotten::{remember_forgotten, require_account};

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
    Migration {
        version: 11,
        name: "forgotten users",
        sql: include_str!("0011_forgotten_users.sql"),
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

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::Component;
    use crate::db::Value;
    use crate::testing::{TestApp, block_on};

    static NOTHING: Component = Component {
        name: "nothing",
        routes: &[],
    };

    #[test]
    fn later_migrations_have_higher_numbers() {
        assert!(MIGRATIONS.is_sorted_by(|one, next| one.version < next.version));
    }

    #[test]
    fn events_from_before_writes_became_cheaper_are_counted_and_found() {
        let app = TestApp::new(&NOTHING);
        let db = Db::open(app.host.as_ref(), LABEL).expect("the test's database");
        let (before, cheaper) = MIGRATIONS.split_at(8);
        assert_eq!(cheaper[0].name, "cheaper writes");
        block_on(migrate(&db, before)).expect("migrations up to 8");
        for (number, owner) in [(1, 7), (2, 7), (3, 8)] {
            app.sql(
                LABEL,
                &format!(
                    "INSERT INTO events VALUES ({number}, {owner}, 'id {number}', 'Sale', 'sale', NULL, 1, 0, 0, 0, \
                     'draft', 0, 0, 0)"
                ),
            );
            for word in ["sale", "summer"] {
                let word = format!("INSERT INTO event_words VALUES ({owner}, '{word}', {number})");
                app.sql(LABEL, &word);
            }
        }
        let words = || app.sql(LABEL, "SELECT * FROM event_words ORDER BY 1, 2, 3");
        let (had, whose) = (words(), |row: &Vec<Value>| row[0].clone());
        assert_eq!(had.len(), 6);

        block_on(migrate(&db, MIGRATIONS)).expect("all migrations");
        assert_eq!(words(), had);
        let counted = app.sql(
            LABEL,
            "SELECT owner_id, events FROM event_owners ORDER BY 1",
        );
        let expected = [[7, 2], [8, 1]].map(|row| row.map(Value::Integer).to_vec());
        assert_eq!(counted, expected);
        // As before, an event takes its words along.
        app.sql(LABEL, "DELETE FROM events WHERE owner_id = 7");
        assert!(words().iter().map(whose).eq([8, 8].map(Value::Integer)));
    }
}
