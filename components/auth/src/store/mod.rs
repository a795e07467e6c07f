//! The database `auth`. SQL is here and nowhere else.

pub(crate) mod accounts;
pub(crate) mod api_tokens;
pub(crate) mod attempts;
pub(crate) mod audit;
pub(crate) mod hash_turns;
pub(crate) mod invitations;
pub(crate) mod registrations;
pub(crate) mod sessions;
pub(crate) mod setup;
pub(crate) mod throttles;
pub(crate) mod totp;
pub(crate) mod users;

use nokube_guest::Ctx;
use nokube_guest::db::{Db, DbError, Migration, migrate};

static MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "accounts",
        sql: include_str!("0001_accounts.sql"),
    },
    Migration {
        version: 2,
        name: "account management",
        sql: include_str!("0002_account_management.sql"),
    },
    Migration {
        version: 3,
        name: "throttles",
        sql: include_str!("0003_throttles.sql"),
    },
    Migration {
        version: 4,
        name: "invitations",
        sql: include_str!("0004_invitations.sql"),
    },
    Migration {
        version: 5,
        name: "hash turns",
        sql: include_str!("0005_hash_turns.sql"),
    },
    Migration {
        version: 6,
        name: "totp",
        sql: include_str!("0006_totp.sql"),
    },
    Migration {
        version: 7,
        name: "lookups",
        sql: include_str!("0007_lookups.sql"),
    },
];

/// Opens the database with its schema up to date.
pub(crate) async fn open(cx: &Ctx) -> Result<Db, DbError> {
    let db = cx.database("auth")?;
    migrate(&db, MIGRATIONS).await?;
    Ok(db)
}
