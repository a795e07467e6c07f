//! SQLite files: copied while they are used, checked, and asked what they name.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

/// A database that is locked for longer than this is not being used rightly.
pub(super) const LOCKED_FOR: Duration = Duration::from_secs(60);
const LOCKED_PAUSE: Duration = Duration::from_millis(20);

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// The database cannot be read.
    #[error(transparent)]
    Source(anyhow::Error),
    /// The copy cannot be written: the next one could not either.
    #[error(transparent)]
    Place(anyhow::Error),
}

/// Copies the database in `from` as it is at one moment to the new file `to`, whoever writes to it
/// meanwhile (sqlite3_backup_init: all pages in one read transaction). One that is locked is waited for, `patience` long.
pub(super) fn copy(from: &Path, to: &Path, patience: Duration) -> Result<(), CopyError> {
    let source = open_used(from).map_err(CopyError::Source)?;
    let mut target = make(to).map_err(CopyError::Place)?;
    let place = |error: rusqlite::Error| CopyError::Place(error.into());
    let backup = Backup::new(&source, &mut target).map_err(place)?;
    let began = Instant::now();
    loop {
        match backup.step(-1) {
            Ok(StepResult::Done) => break,
            Ok(_) if began.elapsed() >= patience => {
                let error = anyhow!("it stayed locked for {} s", patience.as_secs());
                return Err(CopyError::Source(error));
            }
            Ok(_) => std::thread::sleep(LOCKED_PAUSE),
            Err(error) if is_of_source(&error) => return Err(CopyError::Source(error.into())),
            Err(error) => return Err(place(error)),
        }
    }
    drop(backup);
    target.close().map_err(|(_, error)| place(error))
}

fn open_used(path: &Path) -> anyhow::Result<Connection> {
    let is_file = fs::symlink_metadata(path)?.file_type().is_file();
    ensure!(is_file, "{} is not a file", path.display());
    // Not read-only: readers of a write-ahead log take part in its locks.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(path, flags)?;
    // It is the copy's loop that waits.
    source.busy_timeout(Duration::ZERO)?;
    Ok(source)
}

fn make(path: &Path) -> anyhow::Result<Connection> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    Ok(Connection::open(path)?)
}

/// A copy reads one file and writes the other, and SQLite tells which of them an error is about by its code alone.
fn is_of_source(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return false;
    };
    let reads = [ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_SHORT_READ];
    matches!(
        failure.code,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::CannotOpen
    ) || reads.contains(&failure.extended_code)
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

/// What is known of an application's database.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Whole,
    Damaged(String),
    /// Looking took too long.
    Unknown,
}

/// Has SQLite look at every page of an application's database.
///
/// Its tables may have conditions and columns that take hours to compute: the engine has functions that can be stopped
/// in place of SQLite's own, and this has not. Conditions are not looked at, indexes neither, for they may be on such
/// an expression. Columns are, so what takes longer than `within` is left to its thread, which ends with the command.
pub(super) fn check_tenants(path: &Path, within: Duration) -> anyhow::Result<Verdict> {
    let (tell, told) = mpsc::channel();
    let path = path.to_owned();
    let end = Instant::now() + within;
    std::thread::Builder::new()
        .name("check".to_owned())
        .spawn(move || {
            let _ = tell.send(look_through(&path, end));
        })?;
    let grace = Duration::from_millis(500);
    Ok(match told.recv_timeout(within + grace) {
        Ok(Ok(())) => Verdict::Whole,
        Ok(Err(_)) | Err(_) if Instant::now() >= end => Verdict::Unknown,
        Ok(Err(error)) => Verdict::Damaged(format!("{error:#}")),
        Err(_) => Verdict::Damaged("looking at it ended in between".to_owned()),
    })
}

fn look_through(path: &Path, end: Instant) -> anyhow::Result<()> {
    let database = open_still(path)?;
    database.progress_handler(1_000, Some(move || Instant::now() >= end));
    database.pragma_update(None, "ignore_check_constraints", true)?;
    let verdict: String = database.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
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
    use rusqlite::functions::FunctionFlags;

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
        copy(&from, &to, LOCKED_FOR).unwrap();
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
        assert!(copy(&link, &dir.path().join("b.db"), LOCKED_FOR).is_err());
        check(&path).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 4096;
        bytes[last..last + 64].fill(0xff);
        fs::write(&path, bytes).unwrap();
        assert!(check(&path).is_err());
    }

    #[test]
    fn whose_fault_it_is_that_there_is_no_copy_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (good, bad) = (dir.path().join("a.db"), dir.path().join("b.db"));
        let database = Connection::open(&good).unwrap();
        database.execute_batch("CREATE TABLE t (x)").unwrap();
        fs::write(&bad, [b'x'; 8192]).unwrap();
        for (from, to) in [(&bad, "c.db"), (&dir.path().join("none.db"), "d.db")] {
            let error = copy(from, &dir.path().join(to), LOCKED_FOR).unwrap_err();
            assert!(matches!(error, CopyError::Source(_)), "{error:?}");
        }
        let error = copy(&good, &dir.path().join("none/e.db"), LOCKED_FOR).unwrap_err();
        assert!(matches!(error, CopyError::Place(_)), "{error:?}");
        let failure = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE] {
            assert!(!is_of_source(&failure(code)), "{code}");
        }
        assert!(is_of_source(&failure(ffi::SQLITE_IOERR_READ)));
    }

    #[test]
    fn what_a_table_has_computed_does_not_hold_the_check_of_its_pages_up() {
        let within = Duration::from_secs(2);
        // Minutes for each row, as SQLite compares at each place anew.
        let slow = "instr(b, zeroblob(2000000) || x'01')";
        let dir = tempfile::tempdir().unwrap();
        for (number, (columns, expected)) in [
            (format!("b, CHECK ({slow} = 0)"), Verdict::Whole),
            (
                format!("b, c GENERATED ALWAYS AS ({slow}) VIRTUAL NOT NULL"),
                Verdict::Unknown,
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let path = dir.path().join(format!("{number}.db"));
            let database = Connection::open(&path).unwrap();
            // As the engine does.
            let flags = FunctionFlags::SQLITE_DETERMINISTIC;
            database
                .create_scalar_function("instr", 2, flags, |_| Ok(0_i64))
                .unwrap();
            database
                .execute_batch(&format!(
                    "CREATE TABLE t ({columns}); INSERT INTO t (b) VALUES (zeroblob(4000000))"
                ))
                .unwrap();
            drop(database);
            let began = Instant::now();
            assert_eq!(check_tenants(&path, within).unwrap(), expected, "{columns}");
            assert!(began.elapsed() < within * 3, "{columns}");
        }
    }

    #[test]
    fn damage_of_an_applications_database_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let database = Connection::open(&path).unwrap();
        database
            .execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000))")
            .unwrap();
        drop(database);
        let within = Duration::from_secs(20);
        assert_eq!(check_tenants(&path, within).unwrap(), Verdict::Whole);
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 8192);
        fs::write(&path, bytes).unwrap();
        let verdict = check_tenants(&path, within).unwrap();
        assert!(matches!(verdict, Verdict::Damaged(_)), "{verdict:?}");
    }
}
