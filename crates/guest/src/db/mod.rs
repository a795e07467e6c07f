//! The database seam. SQL is written in components' `store/` only, and with these rules, so that
//! PostgreSQL can stand behind it one day: parameters are `?1, ?2`; no engine-only functions; what
//! must be atomic is one statement (`UPDATE … WHERE state = … RETURNING`) or one transaction.
//!
//! A [`Db`] is one connection, opened per request. [`Db::transaction`] begins IMMEDIATE, so that a
//! transaction that reads first never fails to become a writer later.

mod conditions;
mod migrate;
mod row;
mod value;

use std::ops::Deref;
use std::rc::Rc;

pub use conditions::Conditions;
pub use migrate::{Migration, migrate};
pub use row::{FromRow, Row};
pub use value::{FromValue, Value};

use crate::host::{Connection, Host};

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It cannot be opened, read or written now: nothing that was asked is wrong.
    #[error("the database cannot be used now: {0}")]
    Unavailable(String),
    /// Another writer held it for too long. Retry.
    #[error("the database is busy")]
    Busy,
    /// A row like this exists. Holds the engine's words, which name the columns: `projects.owner_id, projects.slug`.
    #[error("a row with the same {0} exists")]
    NotUnique(String),
    /// A statement failed.
    #[error("a statement failed: {message} in {statement}")]
    Statement {
        /// The engine's words.
        message: String,
        /// The statement, cut.
        statement: String,
    },
    /// A column is missing or of another type than expected.
    #[error("column {0} is missing or of another type")]
    Column(String),
    /// One row was expected and none came.
    #[error("a row that must exist does not")]
    NoRow,
}

/// The rows a statement returned.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

/// The parameters of a statement: `params![id, "name", None::<String>]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::db::Value::from($value)),*]
    };
}

/// An open database.
#[derive(Clone)]
pub struct Db {
    connection: Rc<dyn Connection>,
}

impl Db {
    /// Opens the database of a label that the component was granted.
    ///
    /// # Errors
    /// [`DbError::Unavailable`].
    pub fn open(host: &dyn Host, label: &str) -> Result<Self, DbError> {
        Ok(Self {
            connection: Rc::from(host.open_database(label)?),
        })
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// As the database says; [`DbError::Column`] when a row is not a `T`.
    pub async fn query<T: FromRow>(
        &self,
        statement: &str,
        parameters: &[Value],
    ) -> Result<Vec<T>, DbError> {
        let rows = self.connection.execute(statement, parameters).await?;
        rows.rows
            .iter()
            .map(|values| T::from_row(Row::new(&rows.columns, values)))
            .collect()
    }

    /// The first row of a query, if there is one.
    ///
    /// # Errors
    /// As [`Db::query`].
    pub async fn query_optional<T: FromRow>(
        &self,
        statement: &str,
        parameters: &[Value],
    ) -> Result<Option<T>, DbError> {
        Ok(self.query(statement, parameters).await?.into_iter().next())
    }

    /// The first row of a query that always has one.
    ///
    /// # Errors
    /// As [`Db::query`]; [`DbError::NoRow`].
    pub async fn query_one<T: FromRow>(
        &self,
        statement: &str,
        parameters: &[Value],
    ) -> Result<T, DbError> {
        self.query_optional(statement, parameters)
            .await?
            .ok_or(DbError::NoRow)
    }

    /// Runs several statements as one: all happen or none.
    ///
    /// # Errors
    /// What `work` returns, after everything was undone; what the database says.
    pub async fn transaction<T, E: From<DbError>>(
        &self,
        work: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run("BEGIN IMMEDIATE").await?;
        let tx = Tx { db: self.clone() };
        let outcome = work(&tx).await;
        match outcome {
            Ok(value) => match self.run("COMMIT").await {
                Ok(()) => Ok(value),
                Err(error) => {
                    self.undo().await;
                    Err(error.into())
                }
            },
            Err(error) => {
                self.undo().await;
                Err(error)
            }
        }
    }

    pub(crate) async fn run(&self, statement: &str) -> Result<(), DbError> {
        self.connection.execute(statement, &[]).await.map(|_| ())
    }

    /// A failed ROLLBACK changes nothing: the connection closes with the request, which undoes too.
    async fn undo(&self) {
        let _ = self.run("ROLLBACK").await;
    }
}

/// An open transaction. Reads work on it as on a [`Db`]; writes need it.
pub struct Tx {
    db: Db,
}

impl Deref for Tx {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

impl Tx {
    /// Runs an INSERT, UPDATE or DELETE.
    ///
    /// # Errors
    /// As the database says; [`DbError::NotUnique`] when such a row exists.
    pub async fn execute(&self, statement: &str, parameters: &[Value]) -> Result<(), DbError> {
        self.db.connection.execute(statement, parameters).await?;
        Ok(())
    }

    /// Runs an INSERT, UPDATE or DELETE and returns how many rows it touched.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn execute_counted(
        &self,
        statement: &str,
        parameters: &[Value],
    ) -> Result<u64, DbError> {
        self.execute(statement, parameters).await?;
        match self.db.connection.changes() {
            // None, or a host that does not know: Spin's client of libSQL servers always says 0
            // (tursodatabase/libsql#1434). The database knows, on the connection that a transaction has to itself.
            0 => {
                let (counted,): (u64,) = self.query_one("SELECT changes()", &[]).await?;
                Ok(counted)
            }
            counted => Ok(counted),
        }
    }
}

/// What SQLite (sqlite3_errstr) and the system say when the disk is full, read-only or fails. It may go
/// well once somebody has made room.
#[cfg(any(target_family = "wasm", feature = "testing", feature = "native"))]
const OF_THE_DISK: [&str; 7] = [
    "unable to open database",
    "database or disk is full",
    "database is full",
    "disk I/O error",
    "attempt to write a readonly database",
    "No space left on device",
    "Read-only file system",
];

/// Turns an engine's words into an error. All engines we run on pass on SQLite's own.
#[cfg(any(target_family = "wasm", feature = "testing", feature = "native"))]
pub(crate) fn classify(message: String, statement: &str) -> DbError {
    const UNIQUE: &str = "UNIQUE constraint failed: ";
    const STATEMENT_CHARS: usize = 200;
    if let Some(at) = message.find(UNIQUE) {
        return DbError::NotUnique(message[at + UNIQUE.len()..].to_owned());
    }
    if message.contains("database is locked") || message.contains("database table is locked") {
        return DbError::Busy;
    }
    if OF_THE_DISK.iter().any(|words| message.contains(words)) {
        return DbError::Unavailable(message);
    }
    DbError::Statement {
        message,
        statement: statement.chars().take(STATEMENT_CHARS).collect(),
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::{DbError, OF_THE_DISK, classify};

    #[test]
    fn a_full_or_read_only_disk_is_no_fault_of_the_statement() {
        for words in OF_THE_DISK {
            let error = classify(
                format!("{words}: Error code 13"),
                "INSERT INTO a VALUES (1)",
            );
            assert!(matches!(error, DbError::Unavailable(_)), "{words}");
        }
        let error = classify("no such table: a".to_owned(), "SELECT * FROM a");
        assert!(matches!(error, DbError::Statement { .. }));
    }
}
