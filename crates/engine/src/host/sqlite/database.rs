//! One database file and the connections to it, shared by all instances that are granted it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use rusqlite::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Allowance;
use super::connection::{Failure, RawConnection};
use super::flush::{Flusher, Unflushed};
use super::limits::Limits;
use crate::threads::Share;

/// A database file. Nothing is opened before the first statement.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    limits: Limits,
    allowance: Allowance,
    idle: Mutex<Idle>,
    connections: Arc<Semaphore>,
    /// Whose turn it is to write. SQLite lets one connection write at a time and makes the others poll; standing in
    /// line here is faster and fair. Not what keeps the data whole: that is SQLite's own lock.
    writer: Arc<Semaphore>,
    /// Who gets what was committed to the disk.
    pub(super) flusher: Arc<Flusher>,
}

/// Open connections that nobody uses.
#[derive(Debug, Default)]
struct Idle {
    /// Since when; the most recent last.
    connections: Vec<(RawConnection, Instant)>,
    /// A task closes what has been here for long.
    is_swept: bool,
}

impl Database {
    /// The database in the file `path`, which is created when first used, as is its folder. What its statements may
    /// take is shared with the application's other databases.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, limits: Limits, allowance: Allowance) -> Self {
        let connections = Arc::new(Semaphore::new(limits.max_connections.max(1)));
        let path = path.into();
        if let Some(space) = &allowance.space {
            space.add(&path);
        }
        Self {
            flusher: Flusher::of(&path),
            path,
            limits,
            allowance,
            idle: Mutex::default(),
            connections,
            writer: Arc::new(Semaphore::new(1)),
        }
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where its statements run.
    pub(super) fn threads(&self) -> &Share {
        &self.allowance.threads
    }

    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, Failure> {
        let permit = Arc::clone(&self.connections).acquire_owned();
        let permit = match timeout(self.limits.busy_timeout, permit).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => {
                return Err(Failure::Statement("too many connections opened".to_owned()));
            }
        };
        let idle = {
            let mut idle = self.idle();
            if !std::mem::replace(&mut idle.is_swept, true) {
                tokio::spawn(Self::sweep(Arc::downgrade(self)));
            }
            idle.connections.pop()
        };
        let connection = match idle {
            Some((connection, _since)) => connection,
            None => self.open().await?,
        };
        Ok(Lease {
            connection: Some(connection),
            database: Arc::clone(self),
            turn: None,
            has_written: false,
            place: Some(permit),
        })
    }

    async fn open(self: &Arc<Self>) -> Result<RawConnection, Failure> {
        let database = Arc::clone(self);
        let opened = self.threads().run(move || {
            if let Some(folder) = database.path.parent() {
                std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
            }
            RawConnection::open(&database.path, &database.limits, &database.allowance)
                .map(|connection| connection.flushed_by(Arc::clone(&database.flusher)))
                .map_err(|error| error.to_string())
        });
        match opened.await {
            Ok(opened) => opened.map_err(Failure::Statement),
            Err(error) => Err(Failure::Statement(error.to_string())),
        }
    }

    /// Closes connections that nobody has used for long, until there is none left: a connection holds its page cache,
    /// and the last one to close writes the log back into the database.
    async fn sweep(this: Weak<Self>) {
        loop {
            let Some(patience) = this.upgrade().map(|this| this.limits.idle_timeout) else {
                return;
            };
            tokio::time::sleep(patience).await;
            let Some(this) = this.upgrade() else {
                return;
            };
            let mut idle = this.idle();
            let old = idle
                .connections
                .partition_point(|(_, since)| since.elapsed() >= patience);
            let old: Vec<_> = idle.connections.drain(..old).collect();
            let unused = this.connections.available_permits() == this.limits.max_connections.max(1);
            let is_done = idle.connections.is_empty() && unused;
            // Whoever takes a connection after that starts the next task.
            idle.is_swept = !is_done;
            drop(idle);
            if !old.is_empty() {
                let database = Arc::clone(&this);
                this.threads().spawn(move || {
                    drop(old);
                    database.flusher.rest();
                });
            }
            if is_done {
                return;
            }
        }
    }

    /// Connections that are open and not in use.
    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        self.idle().connections.len()
    }

    /// Waits until it is this connection's turn to write.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let turn = Arc::clone(&self.writer).acquire_owned();
        match timeout(self.limits.busy_timeout, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            // SQLite's words for the same.
            Ok(Err(_)) | Err(_) => Err(Failure::Statement("database is locked".to_owned())),
        }
    }

    pub(super) fn try_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.writer).try_acquire_owned().ok()
    }

    /// Whether the write-ahead log has outgrown what the database itself may take. A reader that never ends keeps
    /// SQLite from emptying it.
    pub(super) fn log_is_full(&self) -> bool {
        let Some(max) = self.limits.max_database_bytes else {
            return false;
        };
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        std::fs::metadata(log).is_ok_and(|metadata| metadata.len() > max)
    }

    /// Empties the log, if nobody reads from it. Blocks.
    pub(super) fn empty_log(&self, connection: &RawConnection) {
        let Err(error) = connection.empty_log() else {
            return;
        };
        tracing::debug!(%error, "a write-ahead log could not be emptied");
        if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
            let error = Arc::new(io::Error::other(error));
            self.flusher.refuse(Unflushed::Broken(error));
        }
    }

    fn give_back(&self, connection: RawConnection) {
        if connection.clean() {
            self.idle().connections.push((connection, Instant::now()));
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let idle = std::mem::take(self.idle.get_mut().unwrap_or_else(PoisonError::into_inner));
        // Closing the last connection writes the log back into the database.
        if !idle.connections.is_empty() {
            self.threads().spawn(move || drop(idle));
        }
    }
}

/// A connection in somebody's hands. Given back clean when dropped.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Option<RawConnection>,
    database: Arc<Database>,
    /// Held from the first write of a transaction to its end.
    pub(super) turn: Option<OwnedSemaphorePermit>,
    /// Whether a statement that may write has run: before, the connection's counters are those of its last user.
    pub(super) has_written: bool,
    /// Among the database's connections.
    place: Option<OwnedSemaphorePermit>,
}

impl Lease {
    pub(super) fn connection(&self) -> &RawConnection {
        self.connection
            .as_ref()
            .expect("only dropping takes the connection")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let database = Arc::clone(&self.database);
        if connection.in_transaction() || connection.watch().has_lasting_stain() {
            // Rolling back and closing may write. The turn ends with it, and so does the connection's place.
            let (turn, place) = (self.turn.take(), self.place.take());
            self.database.threads().spawn(move || {
                database.give_back(connection);
                drop((turn, place));
            });
        } else {
            database.give_back(connection);
        }
    }
}
