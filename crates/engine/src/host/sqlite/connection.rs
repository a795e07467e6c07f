//! One connection to a database file: how it is opened, how a statement runs on it, how it is cleaned for the next user.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Batch, ErrorCode, OpenFlags, Statement, ToSql};
use thiserror::Error;

use super::Allowance;
use super::flush::Flusher;
use super::functions;
use super::heap::{self, Heap};
use super::kind::{Kind, is_vacuum};
use super::limits::Limits;
use super::policy;
use super::session::QueryResult;
use super::v3::{RowResult, Value};
use super::watch::{Stain, Watch};

/// SQLite asks this often, in steps of its virtual machine, whether to go on: mostly some microseconds apart, but each
/// step may go through a value of megabytes.
const STEPS_BETWEEN_CHECKS: i32 = 250;

/// Compiled statements that a connection keeps.
const CACHED_STATEMENTS: usize = 128;

/// The largest text of a statement.
const MAX_STATEMENT_BYTES: i32 = 1024 * 1024;

/// LIKE and GLOB take time in proportion to text times pattern.
const MAX_PATTERN_BYTES: usize = 4096;

/// The page cache of a connection, in KiB.
const CACHE_KIB: i32 = 2048;

/// Where a write-ahead log is cut back to when it was emptied.
const JOURNAL_SIZE_LIMIT: i32 = 4 * 1024 * 1024;

/// Why a statement has no result.
#[derive(Debug, Error)]
pub enum Failure {
    /// SQLite's own words, or those of a limit.
    #[error("{0}")]
    Statement(String),
    /// The file has reached its largest size, the application's files theirs, or the disk its reserve.
    #[error("the database is full")]
    Full,
    /// The connection lost its transaction when a statement was given up halfway, and can't go on as if it had not.
    #[error("the connection was given up while a statement ran")]
    Lost,
}

impl From<Failure> for super::v3::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Statement(text) => Self::Io(text),
            Failure::Full => Self::DatabaseFull,
            Failure::Lost => Self::InvalidConnection,
        }
    }
}

/// How a statement that was tried on the guests' thread ended.
pub(super) enum Tried {
    /// It is done.
    Done(Result<QueryResult, Failure>),
    /// It waits for a lock or takes long: run it where it may block. It has had no effect.
    Blocks,
    /// It does not only read. It has had no effect.
    Writes,
}

/// How a statement ended that ran where it may block.
pub(super) enum Ran {
    /// It is done.
    Done(Result<QueryResult, Failure>),
    /// Somebody else holds a lock that it needs, and will give it back: run it again a little later. It has had no
    /// effect.
    Locked(Failure),
    /// It does not only read. It has had no effect.
    Writes,
}

thread_local! {
    /// Whether SQLite met a lock that is worth waiting for, in the statement that this thread runs. When waiting would
    /// be in vain (the one who holds the lock waits for us) SQLite says that it is busy without asking.
    static MET_A_LOCK: Cell<bool> = const { Cell::new(false) };
}

/// Asked by SQLite whether to wait for a lock and try again. Waiting here would hold the thread, and an application's
/// threads may be the very ones that the lock's holder needs to go on: whoever runs the statement waits, without a
/// thread.
fn note_lock(_tries: i32) -> bool {
    MET_A_LOCK.set(true);
    false
}

/// An open connection.
#[derive(Debug)]
pub(super) struct RawConnection {
    inner: rusqlite::Connection,
    watch: Arc<Watch>,
    heap: Heap,
    /// The file may grow less than to its largest size, for want of room on the disk.
    is_cramped: Cell<bool>,
}

impl RawConnection {
    /// Opens `path`, creating it when needed. Its memory is charged to the heap of `allowance`. Blocks.
    pub(super) fn open(
        path: &Path,
        limits: &Limits,
        allowance: &Allowance,
    ) -> Result<Self, rusqlite::Error> {
        let is_counted = heap::install();
        let open = || Self::open_charged(path, limits, allowance, is_counted);
        allowance.heap.charge(None, open)
    }

    fn open_charged(
        path: &Path,
        limits: &Limits,
        allowance: &Allowance,
        is_counted: bool,
    ) -> Result<Self, rusqlite::Error> {
        let heap = allowance.heap;
        let is_new = std::fs::metadata(path).map_or(true, |metadata| metadata.len() == 0);
        let inner = rusqlite::Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        inner.busy_timeout(limits.busy_timeout)?;
        inner.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        inner.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        set_limits(&inner, limits)?;
        if is_new && limits.write_ahead_log {
            inner.pragma_update(None, "journal_mode", "wal")?;
        }
        set_pragmas(&inner, limits)?;
        if let Some(bytes) = heap.limit() {
            // There is no bound on temporary files.
            inner.pragma_update(None, "temp_store", "memory")?;
            if !is_counted {
                // For the whole process; only ever lowers a limit that is set already.
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                inner.pragma_update(None, "hard_heap_limit", bytes)?;
            }
        }
        restore_settings(&inner)?;
        inner.busy_handler(Some(note_lock))?;

        // From here on it is the guest who speaks.
        let watch = Arc::new(Watch::new(allowance.space.clone()));
        if limits.stoppable_functions {
            let max = limits.max_value_bytes;
            functions::register(&inner, &watch, max, MAX_PATTERN_BYTES)?;
        }
        let watched = Arc::clone(&watch);
        inner.progress_handler(STEPS_BETWEEN_CHECKS, Some(move || watched.must_stop()));
        let watched = Arc::clone(&watch);
        inner.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| {
            policy::authorize(&context, &watched)
        }));
        Ok(Self {
            inner,
            watch,
            heap,
            is_cramped: Cell::new(false),
        })
    }

    /// From here on `flusher` gets to the disk what is committed, and nothing is committed when it can't.
    pub(super) fn flushed_by(self, flusher: Arc<Flusher>) -> Self {
        let watched = Arc::clone(&self.watch);
        self.inner.commit_hook(Some(move || {
            watched.commits();
            // True rolls back.
            flusher.is_broken()
        }));
        self
    }

    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    pub(super) fn in_transaction(&self) -> bool {
        !self.inner.is_autocommit()
    }

    pub(super) fn last_insert_rowid(&self) -> i64 {
        self.inner.last_insert_rowid()
    }

    pub(super) fn changes(&self) -> u64 {
        self.inner.changes()
    }

    /// Runs a statement if it only reads, is not locked out, and takes no longer than a thread can be lent for.
    pub(super) fn try_reading(&self, sql: &str, parameters: &[Value], limits: &Limits) -> Tried {
        match self.run(sql, parameters, limits, limits.inline_budget, true) {
            Err(Stop::Sqlite(error)) if self.was_stopped(&error) => Tried::Blocks,
            outcome => self.tried(outcome, limits),
        }
    }

    /// Begins a transaction that writes, unless another program holds the lock.
    pub(super) fn try_locking(&self, sql: &str, limits: &Limits) -> Tried {
        let outcome = self.run(sql, &[], limits, limits.statement_budget, false);
        self.tried(outcome, limits)
    }

    /// Runs a statement inside a transaction that holds the lock.
    pub(super) fn try_changing(&self, sql: &str, parameters: &[Value], limits: &Limits) -> Tried {
        let outcome = self.run(sql, parameters, limits, limits.statement_budget, false);
        self.tried(outcome, limits)
    }

    fn tried(&self, outcome: Result<QueryResult, Stop>, limits: &Limits) -> Tried {
        match outcome {
            Ok(result) => Tried::Done(Ok(result)),
            Err(Stop::Writes) => Tried::Writes,
            Err(stop) if MET_A_LOCK.get() && stop.is_lock() => Tried::Blocks,
            Err(stop) => Tried::Done(Err(self.failure(stop, limits))),
        }
    }

    /// Runs a statement to its end or the end of its time, unless it meets a lock, or writes although
    /// `only_reading`. Blocks.
    pub(super) fn execute(
        &self,
        sql: &str,
        parameters: &[Value],
        limits: &Limits,
        only_reading: bool,
    ) -> Ran {
        match self.run(
            sql,
            parameters,
            limits,
            limits.statement_budget,
            only_reading,
        ) {
            Ok(result) => Ran::Done(Ok(result)),
            Err(Stop::Writes) => Ran::Writes,
            Err(stop) => {
                let may_wait = MET_A_LOCK.get() && stop.is_lock();
                let failure = self.failure(stop, limits);
                if may_wait {
                    Ran::Locked(failure)
                } else {
                    Ran::Done(Err(failure))
                }
            }
        }
    }

    fn run(
        &self,
        sql: &str,
        parameters: &[Value],
        limits: &Limits,
        budget: Duration,
        only_reading: bool,
    ) -> Result<QueryResult, Stop> {
        MET_A_LOCK.set(false);
        self.watch.start(budget, is_vacuum(sql));
        let result = self.heap.charge(Some(&self.watch), || {
            if !only_reading && !matches!(Kind::of(sql), Kind::Begins | Kind::Other) {
                self.bound_growth(limits)?;
            }
            let in_file = is_vacuum(sql) && self.keep_temporary_in_file();
            nokube_faults::crash_point("sqlite.before_statement");
            let result = self.step_through(sql, parameters, limits, only_reading);
            nokube_faults::crash_point("sqlite.after_statement");
            if in_file && !self.store_temporary_in("memory") {
                self.watch.note(Stain::Lasting);
            }
            result
        });
        if !matches!(&result, Err(Stop::Sqlite(error)) if self.was_stopped(error)) {
            self.watch.finish();
        }
        result
    }

    /// Lets the file grow no further than there is room for on the disk.
    fn bound_growth(&self, limits: &Limits) -> Result<(), Stop> {
        let Some(max_bytes) = limits.max_database_bytes else {
            return Ok(());
        };
        let Some(room) = self.watch.room(max_bytes) else {
            return Ok(());
        };
        self.watch.changes();
        if self.watch.is_out_of_space() {
            return Err(Stop::NoSpace);
        }
        if room >= max_bytes && !self.is_cramped.get() {
            return Ok(());
        }
        let ask = |name: &str| -> Result<u64, rusqlite::Error> {
            self.inner.pragma_query_value(None, name, |row| row.get(0))
        };
        let page_size = ask("page_size")?.max(1);
        let most = (max_bytes / page_size).max(1);
        let pages = ask("page_count")?.saturating_add(room / page_size);
        let pages = pages.clamp(1, most);
        let set = || self.inner.pragma_update(None, "max_page_count", pages);
        self.watch.for_us(set)?;
        self.is_cramped.set(pages < most);
        Ok(())
    }

    /// VACUUM makes a copy of the database, which may be larger than what memory there is for it, and is bounded as the
    /// database is. Turning the page deletes temporary tables: with some of them the copy is in memory all the same.
    fn keep_temporary_in_file(&self) -> bool {
        let has_tables = "SELECT EXISTS (SELECT 1 FROM temp.sqlite_schema)";
        self.heap.limit().is_some()
            && !self.in_transaction()
            && self.inner.query_row(has_tables, [], |row| row.get(0)) == Ok(false)
            && self.store_temporary_in("file")
    }

    /// SQLite sets this while it compiles the pragma, so the guest's statements are not even compiled meanwhile.
    fn store_temporary_in(&self, place: &str) -> bool {
        let set = || self.inner.pragma_update(None, "temp_store", place);
        self.watch.for_us(set).is_ok()
    }

    /// Whether a statement ended because it had to stop, be it between two instructions or at the next larger piece of
    /// memory.
    fn was_stopped(&self, error: &rusqlite::Error) -> bool {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => true,
            Some(ErrorCode::OutOfMemory) => self.watch.must_stop(),
            _ => false,
        }
    }

    fn step_through(
        &self,
        sql: &str,
        parameters: &[Value],
        limits: &Limits,
        only_reading: bool,
    ) -> Result<QueryResult, Stop> {
        match self.inner.prepare_cached(sql) {
            Ok(mut statement) => collect(&mut statement, parameters, limits, only_reading),
            // As in Spin, the first one runs and the others are ignored.
            Err(rusqlite::Error::MultipleStatement) => {
                match Batch::new(&self.inner, sql).next()? {
                    Some(mut first) => collect(&mut first, parameters, limits, only_reading),
                    None => Ok(QueryResult::default()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn failure(&self, stop: Stop, limits: &Limits) -> Failure {
        let failure = match stop {
            Stop::NoSpace => Failure::Full,
            Stop::Sqlite(error) if self.was_stopped(&error) && self.watch.is_over_time() => {
                Failure::Statement(format!(
                    "interrupted: the statement ran for more than {} ms",
                    limits.statement_budget.as_millis()
                ))
            }
            Stop::Sqlite(error) if self.was_stopped(&error) && self.watch.is_out_of_space() => {
                Failure::Full
            }
            Stop::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                Failure::Full
            }
            Stop::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::OutOfMemory) => {
                Failure::Statement(match self.heap.limit() {
                    Some(bytes) => format!(
                        "out of memory: the databases of an application may take {bytes} bytes of it together, and those of all applications no more than there is"
                    ),
                    None => error.to_string(),
                })
            }
            Stop::Sqlite(error) => Failure::Statement(error.to_string()),
            Stop::TooManyBytes => Failure::Statement(format!(
                "query result exceeds limit of {} bytes",
                limits.max_result_bytes
            )),
            Stop::TooManyRows => Failure::Statement(format!(
                "query result exceeds limit of {} rows",
                limits.max_result_rows
            )),
            Stop::Writes => {
                Failure::Statement("the statement needs a thread of its own".to_owned())
            }
        };
        self.watch.finish();
        failure
    }

    /// Makes the connection as good as new for another user; `false` when it should be closed instead. Blocks while an
    /// open transaction is rolled back.
    pub(super) fn clean(&self) -> bool {
        self.heap.charge(None, || self.clean_charged())
    }

    fn clean_charged(&self) -> bool {
        let stain = self.watch.take_stain();
        self.watch.finish();
        if stain == Stain::Lasting {
            return false;
        }
        // SQLite opens a file of a read-only disk for reading, and stays at that when the disk is
        // writable again.
        if self.inner.is_readonly(rusqlite::MAIN_DB).unwrap_or(true) {
            return false;
        }
        if self.in_transaction() && self.inner.execute_batch("ROLLBACK").is_err() {
            return false;
        }
        if stain == Stain::Settings {
            let restored = restore_settings(&self.inner).is_ok();
            // The authorizer has just noted our own pragmas.
            self.watch.take_stain();
            return restored;
        }
        true
    }

    /// Writes the write-ahead log back into the database and empties it, if nobody reads from it. Blocks.
    pub(super) fn empty_log(&self) -> Result<(), rusqlite::Error> {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.inner.query_row(checkpoint, [], |_row| Ok(()))
    }
}

fn collect(
    statement: &mut Statement<'_>,
    parameters: &[Value],
    limits: &Limits,
    only_reading: bool,
) -> Result<QueryResult, Stop> {
    if only_reading && !statement.readonly() {
        return Err(Stop::Writes);
    }
    let names = statement.column_names();
    let columns: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let mut rows = statement.query(rusqlite::params_from_iter(parameters.iter().map(Bound)))?;
    let mut result = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            let value = read(row.get_ref(column)?);
            bytes += size_of::<Value>() + heap_bytes(&value);
            values.push(value);
        }
        if bytes > limits.max_result_bytes {
            return Err(Stop::TooManyBytes);
        }
        if result.len() == limits.max_result_rows {
            return Err(Stop::TooManyRows);
        }
        result.push(RowResult { values });
    }
    Ok(QueryResult {
        columns,
        rows: result,
        bytes,
    })
}

/// Why a statement stopped.
enum Stop {
    Sqlite(rusqlite::Error),
    TooManyBytes,
    TooManyRows,
    Writes,
    /// So little of the disk is free that nothing may be changed.
    NoSpace,
}

impl Stop {
    fn is_lock(&self) -> bool {
        let Self::Sqlite(error) = self else {
            return false;
        };
        matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        )
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn set_limits(connection: &rusqlite::Connection, limits: &Limits) -> Result<(), rusqlite::Error> {
    let value_bytes = i32::try_from(limits.max_value_bytes).unwrap_or(i32::MAX);
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, value_bytes)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_STATEMENT_BYTES)?;
    let arguments = i32::try_from(limits.max_arguments).unwrap_or(i32::MAX);
    connection.set_limit(Limit::SQLITE_LIMIT_FUNCTION_ARG, arguments)?;
    let pattern_bytes = i32::try_from(MAX_PATTERN_BYTES).unwrap_or(i32::MAX);
    connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, pattern_bytes)?;
    // One, for VACUUM; the policy refuses all others.
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
    connection.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 100)?;
    Ok(())
}

fn set_pragmas(connection: &rusqlite::Connection, limits: &Limits) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT)?;
    if let Some(bytes) = limits.max_database_bytes {
        let page_size: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = (bytes / page_size.max(1)).max(1);
        connection.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
}

/// The settings of a connection that a guest may change for itself.
///
/// An acknowledged commit survives the loss of power, as it does with `synchronous = FULL`, SQLite's default and what
/// Spin has. In write-ahead mode [`super::flush`] sees to that, for many commits at once.
fn restore_settings(connection: &rusqlite::Connection) -> Result<(), rusqlite::Error> {
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    connection.execute_batch(if mode.eq_ignore_ascii_case("wal") {
        "PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL;"
    } else {
        "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;"
    })
}

/// A parameter, bound without a copy.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Real(value) => ValueRef::Real(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Blob(value) => ValueRef::Blob(value),
            Value::Null => ValueRef::Null,
        }))
    }
}

fn read(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        // A guest can store any bytes as text (`CAST(x'ff' AS TEXT)`); the component model has valid text only.
        ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => Value::Blob(value.to_vec()),
    }
}

fn heap_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        Value::Integer(_) | Value::Real(_) | Value::Null => 0,
    }
}
