//! Migrations: numbered SQL, each applied once, in order, in a transaction.
//!
//! Several components may share a database and start at once: BEGIN IMMEDIATE lets one of them
//! migrate while the others wait, and what they find then is up to date.

use std::cell::RefCell;

use super::{Db, DbError};

/// One step of a schema. Never changed once released; what comes later is a new one.
pub struct Migration {
    /// Rising; one may be missing, and is never given to another later.
    pub version: i64,
    /// A name for people.
    pub name: &'static str,
    /// Statements, each ended by `;` at the end of a line.
    pub sql: &'static str,
}

thread_local! {
    /// Schemas this instance has seen up to date, by address of their table. It depends on nothing
    /// that can change back: migrations only ever go forward.
    static UP_TO_DATE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Brings the schema up to date, once per instance.
///
/// # Errors
/// As the database says.
pub async fn migrate(db: &Db, migrations: &'static [Migration]) -> Result<(), DbError> {
    let identity = migrations.as_ptr() as usize;
    // Natively every test has databases of its own.
    let remember = cfg!(target_family = "wasm");
    if remember && UP_TO_DATE.with_borrow(|seen| seen.contains(&identity)) {
        return Ok(());
    }
    let newest = migrations.last().map_or(0, |migration| migration.version);
    // There is no table at first.
    let applied = applied_versions(db, newest).await.unwrap_or_default();
    if applied.len() < migrations.len() {
        // Readers don't wait for the writer. It stays with the file. A database that has no such
        // thing says so, and needs none.
        let _ = db.run("PRAGMA journal_mode = WAL").await;
        db.transaction(async |tx| {
            tx.run(
                "CREATE TABLE IF NOT EXISTS schema_migrations \
                 (version INTEGER PRIMARY KEY, name TEXT NOT NULL)",
            )
            .await?;
            // One by one: a database that was made between two merges may have a later one and lack this.
            let applied = applied_versions(tx, newest).await?;
            let missing = |migration: &&Migration| !applied.contains(&migration.version);
            for migration in migrations.iter().filter(missing) {
                for statement in statements(migration.sql) {
                    tx.run(statement).await?;
                }
                tx.execute(
                    "INSERT INTO schema_migrations (version, name) VALUES (?1, ?2)",
                    crate::params![migration.version, migration.name],
                )
                .await?;
            }
            Ok::<(), DbError>(())
        })
        .await?;
    }
    if remember {
        UP_TO_DATE.with_borrow_mut(|seen| seen.push(identity));
    }
    Ok(())
}

/// The versions up to `newest` that were applied: a later program may have applied more.
async fn applied_versions(db: &Db, newest: i64) -> Result<Vec<i64>, DbError> {
    let rows: Vec<(i64,)> = db
        .query(
            "SELECT version FROM schema_migrations WHERE version <= ?1",
            crate::params![newest],
        )
        .await?;
    Ok(rows.into_iter().map(|(version,)| version).collect())
}

/// The statements of a migration. The host runs only the first of a text with several, without a word.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split_inclusive(";\n")
        .map(str::trim)
        .filter(|statement| {
            statement
                .lines()
                .any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
        })
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn a_migration_is_split_at_line_ends() {
        let sql =
            "-- why\nCREATE TABLE a (x TEXT DEFAULT ';');\n\nCREATE INDEX b ON a (x);\n-- end\n";
        let split: Vec<_> = statements(sql).collect();
        assert_eq!(split.len(), 2);
        assert!(split[0].ends_with("';');"));
        assert_eq!(split[1], "CREATE INDEX b ON a (x);");
    }
}
