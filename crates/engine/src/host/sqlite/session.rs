//! What a guest holds: a connection that is opened late, and runs its statements where they disturb no one.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::connection::{Failure, Ran, Tried};
use super::database::{Database, Lease};
use super::kind::Kind;
use super::v3::{RowResult, Value};
use super::watch::Watch;

/// Pauses before a statement that met a lock runs again, SQLite's own (`sqliteDefaultBusyCallback`).
const PAUSES_MS: [u64; 12] = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100];

/// The result of one statement.
#[derive(Debug, Default)]
pub struct QueryResult {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with as many values as there are columns.
    pub rows: Vec<RowResult>,
    /// What the rows take in memory, about.
    pub bytes: usize,
}

/// A guest's connection to a database. Clones are the same connection; what was not committed when the last one is
/// dropped is rolled back.
#[derive(Clone, Debug)]
pub struct Connection {
    database: Arc<Database>,
    slot: Arc<Mutex<Slot>>,
}

#[derive(Debug)]
enum Slot {
    /// No statement has run yet.
    Unused,
    Held(Box<Lease>),
    /// A statement runs, or was given up while it ran: its transaction is gone.
    Taken,
}

impl Connection {
    /// A connection to `database`, which is opened by the first statement.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self {
            database,
            slot: Arc::new(Mutex::new(Slot::Unused)),
        }
    }

    /// Runs the first statement in `sql` with `parameters`.
    ///
    /// # Errors
    ///
    /// What SQLite or a limit says against it.
    pub async fn execute(
        &self,
        sql: String,
        parameters: Vec<Value>,
    ) -> Result<QueryResult, Failure> {
        let mut slot = self.slot.lock().await;
        let mut lease = match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Held(lease) => lease,
            Slot::Unused => {
                *slot = Slot::Unused;
                let lease = self.database.lease().await?;
                *slot = Slot::Taken;
                Box::new(lease)
            }
            Slot::Taken => return Err(Failure::Lost),
        };
        let result = match self.execute_here(&mut lease, &sql, &parameters).await {
            Here::Done(result) => result,
            Here::Blocks { writes } => {
                let result;
                (lease, result) = self
                    .execute_elsewhere(lease, sql, parameters, writes)
                    .await?;
                result
            }
        };
        if !lease.connection().in_transaction() {
            lease.turn = None;
        }
        *slot = Slot::Held(lease);
        result
    }

    /// Runs what takes microseconds on the thread that runs the guest: a move to another thread and back costs ten
    /// times as much as most statements (`sqlite_costs` in the tests measures it).
    async fn execute_here(&self, lease: &mut Lease, sql: &str, parameters: &[Value]) -> Here {
        let limits = self.database.limits();
        let kind = Kind::of(sql);
        let is_inline = !limits.inline_budget.is_zero();
        if kind == Kind::Reads && !is_inline {
            return Here::Blocks { writes: false };
        }
        if kind == Kind::Reads {
            match lease.connection().try_reading(sql, parameters, limits) {
                Tried::Done(result) => return Here::Done(result),
                Tried::Blocks => return Here::Blocks { writes: false },
                Tried::Writes => {}
            }
        }
        if kind == Kind::Other {
            return Here::Blocks { writes: false };
        }
        if let Err(failure) = self.take_turn(lease).await {
            return Here::Done(Err(failure));
        }
        if kind == Kind::Begins
            && is_inline
            && lease.turn.is_some()
            && let Tried::Done(result) = lease.connection().try_locking(sql, limits)
        {
            return Here::Done(result);
        }
        lease.has_written = true;
        let connection = lease.connection();
        // Until the transaction ends, nothing is flushed to the disk.
        if kind == Kind::Changes
            && limits.inline_writes
            && lease.turn.is_some()
            && connection.in_transaction()
            && let Tried::Done(result) = connection.try_changing(sql, parameters, limits)
        {
            return Here::Done(result);
        }
        Here::Blocks { writes: true }
    }

    /// Waits until it is this connection's turn to write.
    async fn take_turn(&self, lease: &mut Lease) -> Result<(), Failure> {
        if lease.turn.is_some() {
            return Ok(());
        }
        // Inside a transaction nobody waits: it may hold what the one whose turn it is needs.
        lease.turn = if lease.connection().in_transaction() {
            self.database.try_turn()
        } else {
            Some(self.database.turn().await?)
        };
        Ok(())
    }

    /// Runs a statement on threads that may block, again and again while others hold a lock it needs.
    async fn execute_elsewhere(
        &self,
        mut lease: Box<Lease>,
        sql: String,
        parameters: Vec<Value>,
        mut writes: bool,
    ) -> Result<(Box<Lease>, Result<QueryResult, Failure>), Failure> {
        let statement = Arc::new((sql, parameters));
        let only_reads = Kind::of(&statement.0) == Kind::Reads;
        let end = Instant::now() + self.database.limits().busy_timeout;
        let mut pauses = PAUSES_MS.into_iter();
        loop {
            let only_reading = only_reads && !writes;
            let ran;
            (lease, ran) = self
                .execute_on_thread(lease, Arc::clone(&statement), writes, only_reading)
                .await?;
            match ran {
                Ran::Done(result) => return Ok((lease, result)),
                Ran::Locked(failure) if Instant::now() >= end => return Ok((lease, Err(failure))),
                Ran::Locked(_) => {
                    let pause = pauses.next().unwrap_or(PAUSES_MS[PAUSES_MS.len() - 1]);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Ran::Writes => {
                    if let Err(failure) = self.take_turn(&mut lease).await {
                        return Ok((lease, Err(failure)));
                    }
                    lease.has_written = true;
                    writes = true;
                }
            }
        }
    }

    async fn execute_on_thread(
        &self,
        lease: Box<Lease>,
        statement: Arc<(String, Vec<Value>)>,
        writes: bool,
        only_reading: bool,
    ) -> Result<(Box<Lease>, Ran), Failure> {
        let database = Arc::clone(&self.database);
        let watch = Arc::clone(lease.connection().watch());
        let mut running = pin!(self.database.threads().run(move || {
            let mut lease = lease;
            let connection = lease.connection();
            if writes && database.log_is_full() {
                database.empty_log(connection);
                if database.log_is_full() {
                    return (lease, Ran::Done(Err(Failure::Full)), None);
                }
            }
            let (sql, parameters) = &*statement;
            let ran = connection.execute(sql, parameters, database.limits(), only_reading);
            if !connection.watch().take_committed() || matches!(ran, Ran::Locked(_)) {
                return (lease, ran, None);
            }
            if !connection.in_transaction() {
                // Others may write while this is flushed.
                lease.turn = None;
            }
            let flushed = database.flusher.commit(database.threads());
            (lease, ran, Some(flushed))
        }));
        // Declared last and so dropped first: `running` may give the connection back to somebody else.
        let given_up = CancelOnDrop(Some(watch));
        let done = running.as_mut().await;
        given_up.disarm();
        let (lease, ran, flushed) = done.map_err(|error| Failure::Statement(error.to_string()))?;
        let Some(flushed) = flushed else {
            return Ok((lease, ran));
        };
        let ran = match flushed.wait().await {
            Ok(()) => ran,
            // What others can read is perhaps not on the disk: never acknowledged, as after a crash in between.
            Err(reason) => {
                tracing::error!(
                    database = %self.database.path().display(),
                    reason = &reason as &dyn std::error::Error,
                    "a commit did not get to the disk"
                );
                Ran::Done(Err(Failure::Statement(format!("disk I/O error: {reason}"))))
            }
        };
        Ok((lease, ran))
    }

    /// The row id of the last INSERT on this connection, 0 before the first.
    pub async fn last_insert_rowid(&self) -> i64 {
        match &*self.slot.lock().await {
            Slot::Held(lease) if lease.has_written => lease.connection().last_insert_rowid(),
            Slot::Held(_) | Slot::Unused | Slot::Taken => 0,
        }
    }

    /// How many rows the last INSERT, UPDATE or DELETE on this connection changed.
    pub async fn changes(&self) -> u64 {
        match &*self.slot.lock().await {
            Slot::Held(lease) if lease.has_written => lease.connection().changes(),
            Slot::Held(_) | Slot::Unused | Slot::Taken => 0,
        }
    }
}

/// How a statement that was tried on the guest's thread ended.
enum Here {
    Done(Result<QueryResult, Failure>),
    /// It has had no effect yet.
    Blocks {
        /// Whether it writes, as far as is known.
        writes: bool,
    },
}

/// Interrupts the statement when the one who waits for it goes away.
struct CancelOnDrop(Option<Arc<Watch>>);

impl CancelOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(watch) = &self.0 {
            watch.cancel();
        }
    }
}
