//! SQLite files: copied while they are used, checked, and asked what they name.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

/// A database that is locked for longer than this is not being used rightly.
const LOCKED_FOR: Duration = Duration::from_secs(60);
const LOCKED_PAUSE: Duration = Duration::from_millis(20);

/// Copies the database in `from` as it is at one moment to the new file `to`, whoever writes to it
/// meanwhile (sqlite3_backup_init: all pages in one read transaction).
pub(super) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let is_file = fs::symlink_metadata(from)?.file_type().is_file();
    ensure!(is_file, "{} is not a file", from.display());
    // Not read-only: readers of a write-ahead log take part in its locks.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags)?;
    source.busy_timeout(LOCKED_FOR)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    let mut target = Connection::open(to)?;
    let backup = Backup::new(&source, &mut target)?;
    let began = Instant::now();
    loop {
        match backup.step(-1)? {
            StepResult::Done => break,
            _ if began.elapsed() > LOCKED_FOR => bail!("{} stays locked", from.display()),
            _ => std::thread::sleep(LOCKED_PAUSE),
        }
    }
    drop(backup);
    target.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Opens a database that nobody writes to, without making files beside it.
fn open_still(path: &Path) -> anyhow::Result<Connection> {
    let absolute = std::path::absolute(path)?;
    let text = absolute.to_str().context("its path is not UTF-8")?;
    // As SQLite reads URIs (uri.html): these three are what it takes as more than a path.
    let escaped = text
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(
        format!("file:{escaped}?immutable=1"),
        flags,
    )?)
}

/// Has SQLite look at every page and index.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    let database = open_still(path)?;
    let verdict: String = database.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    ensure!(verdict == "ok", "{verdict}");
    Ok(())
}

/// What rows of the platform's database name.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Digests of artifacts: of every revision and every build.
    pub(super) artifacts: Vec<String>,
    /// Deployments that are wanted.
    pub(super) deployments: Vec<String>,
    /// Builds whose uploaded source is yet to be built.
    pub(super) sources: Vec<String>,
}

impl Named {
    /// Reads them from a database that nobody writes to.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let database = open_still(path)?;
        let list = |sql: &str| -> anyhow::Result<Vec<String>> {
            let mut statement = database.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        Ok(Self {
            artifacts: list(
                "SELECT digest FROM deployment_revisions \
                 UNION SELECT digest FROM builds WHERE digest IS NOT NULL ORDER BY 1",
            )?,
            deployments: list("SELECT id FROM deployments WHERE desired <> 'deleted' ORDER BY id")?,
            sources: list(
                "SELECT DISTINCT source_build_id FROM builds WHERE source_build_id IS NOT NULL \
                 AND source_ready = 1 AND completed_at_ms IS NULL ORDER BY 1",
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_of_one_moment_while_others_write() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a?b#c%.db"), dir.path().join("copy.db"));
        let writer = Connection::open(&from).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1)",
            )
            .unwrap();
        writer
            .execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (2)")
            .unwrap();
        copy(&from, &to).unwrap();
        writer.execute_batch("COMMIT").unwrap();
        check(&to).unwrap();
        let count = |path: &Path| -> i64 {
            let database = open_still(path).unwrap();
            database
                .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(count(&to), 1);
        let copied = Connection::open(&to).unwrap();
        let mode: String = copied
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .unwrap();
        assert_eq!(mode, "wal", "what the engine set stays set");
    }

    #[test]
    fn links_are_not_followed_and_damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let database = Connection::open(&path).unwrap();
        database
            .execute_batch(
                "CREATE TABLE t (x TEXT); CREATE INDEX i ON t (x); INSERT INTO t VALUES ('y')",
            )
            .unwrap();
        drop(database);
        let link = dir.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(copy(&link, &dir.path().join("b.db")).is_err());
        check(&path).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 4096;
        bytes[last..last + 64].fill(0xff);
        fs::write(&path, bytes).unwrap();
        assert!(check(&path).is_err());
    }
}
