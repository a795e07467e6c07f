//! SQLite: `spin:sqlite/sqlite@3.1.0` (which serves 3.0.0 too) and `fermyon:spin/sqlite@2.0.0`.
//!
//! Semantics are Spin's: a label leads to one file, only the first statement of a string runs, foreign keys are on, a
//! locked database is waited for five seconds. Beyond Spin, every statement has a time budget, results and files have a
//! largest size, and statements that reach out of the one file are refused ([`policy`]).
//!
//! [`Database`] is what instances share: the file and its idle connections. A guest's [`Connection`] takes one of them
//! at its first statement and keeps it, with its transaction, until it is dropped; what was not committed then is
//! rolled back.

mod connection;
mod database;
mod flush;
mod functions;
mod heap;
mod host;
mod kind;
mod limits;
mod policy;
mod session;
mod space;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

pub use self::connection::Failure;
pub use self::database::Database;
pub use self::heap::Heap;
pub use self::limits::Limits;
pub use self::session::{Connection, QueryResult};
pub use self::space::Space;
use super::Grants;
use super::bindings::spin_v2::sqlite as v2;
use super::bindings::spin_v3::sqlite3_1_0::sqlite as v3;
use super::buffered::Budget;
use crate::threads::Share;
pub use v3::Value;

/// What the databases and key-value stores of one application share.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// Where statements run that may take long.
    pub threads: Share,
    /// What SQLite holds in memory.
    pub heap: Heap,
    /// What the files take of the disk; `None` for no bound.
    pub space: Option<Arc<Space>>,
}

/// Bytes of rows that one instance may leave unread, over all results it reads as streams. One result alone has a bound
/// of its own.
const MAX_UNREAD_BYTES: usize = 32 << 20;

/// How many connections one instance may have open. As in Spin.
const MAX_OPEN_CONNECTIONS: usize = 256;

/// The databases of one instance and the connections it has open.
#[derive(Debug)]
pub struct SqliteState {
    grants: Arc<Grants<Database>>,
    table: ResourceTable,
    open: usize,
    /// Rows that are not read yet.
    unread: Budget,
}

/// Names [`SqliteState`] to the bindings.
#[derive(Debug)]
pub struct Sqlite;

impl HasData for Sqlite {
    type Data<'a> = &'a mut SqliteState;
}

impl SqliteState {
    /// A state that opens the databases in `grants`.
    #[must_use]
    pub fn new(grants: Arc<Grants<Database>>) -> Self {
        Self {
            grants,
            table: ResourceTable::new(),
            open: 0,
            unread: Budget::new(MAX_UNREAD_BYTES),
        }
    }

    fn open(&mut self, label: &str) -> Result<Resource<Connection>, v3::Error> {
        use super::grants::NotGranted::{Unconfigured, Undeclared};
        let database = self.grants.find(label).map_err(|reason| match reason {
            Undeclared => v3::Error::AccessDenied,
            Unconfigured => v3::Error::NoSuchDatabase,
        })?;
        if self.open >= MAX_OPEN_CONNECTIONS {
            return Err(v3::Error::Io("too many connections opened".to_owned()));
        }
        let connection = Connection::new(Arc::clone(database));
        let handle = self
            .table
            .push(connection)
            .map_err(|error| v3::Error::Io(error.to_string()))?;
        self.open += 1;
        Ok(handle)
    }

    fn connection(&self, handle: &Resource<Connection>) -> Result<Connection, v3::Error> {
        self.table
            .get(handle)
            .cloned()
            .map_err(|_unknown| v3::Error::InvalidConnection)
    }

    fn close(&mut self, handle: Resource<Connection>) {
        if self.table.delete(handle).is_ok() {
            self.open -= 1;
        }
    }
}

/// Adds every SQLite interface to `linker`; `state` finds the state in the store's data.
///
/// # Errors
///
/// When one of the interfaces is in `linker` already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut SqliteState,
) -> wasmtime::Result<()> {
    v2::add_to_linker::<T, Sqlite>(linker, state)?;
    v3::add_to_linker::<T, Sqlite>(linker, state)
}
