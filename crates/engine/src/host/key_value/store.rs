//! One key-value store and what can be done with it, whatever the interface.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::OnceCell;

use crate::host::sqlite::{self, Allowance, Connection, Database, Value};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS spin_key_value (
    store TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (store, key)
)";
const GET: &str = "SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2";
const EXISTS: &str = "SELECT 1 FROM spin_key_value WHERE store = ?1 AND key = ?2";
const KEYS: &str = "SELECT key FROM spin_key_value WHERE store = ?1";
const SET: &str = "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
    ON CONFLICT (store, key) DO UPDATE SET value = ?3";
const INSERT: &str = "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
    ON CONFLICT (store, key) DO NOTHING";
const REPLACE: &str =
    "UPDATE spin_key_value SET value = ?3 WHERE store = ?1 AND key = ?2 AND value = ?4";
const DELETE: &str = "DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2";

/// Keys that are read before others get their turn on the thread: some hundred microseconds.
const KEYS_AT_ONCE: usize = 32;

/// The bounds of one store.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest key.
    pub max_key_bytes: usize,
    /// The largest value.
    pub max_value_bytes: usize,
    /// The most keys that one call gets, sets or deletes.
    pub max_batch: usize,
    /// Bounds of the file behind the store: its largest size, and that of a list of keys or of several values.
    pub file: sqlite::Limits,
}

impl Limits {
    /// For the platform's own components.
    #[must_use]
    pub fn platform() -> Self {
        Self::with_file(sqlite::Limits::platform())
    }

    /// For tenants' applications.
    #[must_use]
    pub fn tenant() -> Self {
        Self::with_file(sqlite::Limits {
            max_database_bytes: Some(64 * 1024 * 1024),
            // The statements are ours, and each touches one key or lists them.
            inline_budget: Duration::from_millis(2),
            // A value, its key and its store's name are one row.
            max_value_bytes: 8 * 1024 * 1024,
            ..sqlite::Limits::tenant()
        })
    }

    fn with_file(file: sqlite::Limits) -> Self {
        Self {
            max_key_bytes: 1024,
            max_value_bytes: 4 * 1024 * 1024,
            max_batch: 1_000,
            file,
        }
    }
}

/// Why an operation has no result.
#[derive(Debug, Error)]
pub enum Failure {
    /// Too many stores are open.
    #[error("too many stores are open")]
    TableFull,
    /// Nothing is configured under the label.
    #[error("no such store")]
    NoSuchStore,
    /// The component does not declare the label.
    #[error("access denied")]
    AccessDenied,
    /// Anything else, in words for the developer of the guest.
    #[error("{0}")]
    Other(String),
}

impl From<sqlite::Failure> for Failure {
    fn from(failure: sqlite::Failure) -> Self {
        match failure {
            sqlite::Failure::Full => Self::Other("the store is full".to_owned()),
            other => Self::Other(other.to_string()),
        }
    }
}

/// A key-value store, shared by all instances that are granted it.
#[derive(Debug)]
pub struct Store {
    name: String,
    database: Arc<Database>,
    limits: Limits,
    created: OnceCell<()>,
}

impl Store {
    /// The store that is called `name` in the SQLite file `path`, one of possibly several.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        path: impl Into<PathBuf>,
        limits: Limits,
        allowance: Allowance,
    ) -> Self {
        Self {
            name: name.into(),
            database: Arc::new(Database::new(path, limits.file.clone(), allowance)),
            limits,
            created: OnceCell::new(),
        }
    }

    /// The file behind the store.
    #[must_use]
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.get_with(&self.connect().await?, key).await
    }

    async fn get_with(
        &self,
        connection: &Connection,
        key: &str,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let parameters = vec![self.name(), text(key)];
        let result = connection.execute(GET.to_owned(), parameters).await?;
        let value = result.rows.into_iter().next();
        let value = value.and_then(|row| row.values.into_iter().next());
        Ok(match value {
            Some(Value::Blob(bytes)) => Some(bytes),
            // Only another program can have written it so.
            Some(Value::Text(text)) => Some(text.into_bytes()),
            _ => None,
        })
    }

    pub(super) async fn exists(&self, key: &str) -> Result<bool, Failure> {
        let parameters = vec![self.name(), text(key)];
        let connection = self.connect().await?;
        let result = connection.execute(EXISTS.to_owned(), parameters).await?;
        Ok(!result.rows.is_empty())
    }

    pub(super) async fn keys(&self) -> Result<Vec<String>, Failure> {
        let connection = self.connect().await?;
        let result = connection
            .execute(KEYS.to_owned(), vec![self.name()])
            .await?;
        let keys = result
            .rows
            .into_iter()
            .filter_map(|row| match row.values.into_iter().next() {
                Some(Value::Text(key)) => Some(key),
                _ => None,
            });
        Ok(keys.collect())
    }

    pub(super) async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), Failure> {
        self.check(key, &value)?;
        self.set_with(&self.connect().await?, key, value).await
    }

    async fn set_with(
        &self,
        connection: &Connection,
        key: &str,
        value: Vec<u8>,
    ) -> Result<(), Failure> {
        let parameters = vec![self.name(), text(key), Value::Blob(value)];
        connection.execute(SET.to_owned(), parameters).await?;
        Ok(())
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Failure> {
        self.delete_with(&self.connect().await?, key).await
    }

    async fn delete_with(&self, connection: &Connection, key: &str) -> Result<(), Failure> {
        let parameters = vec![self.name(), text(key)];
        connection.execute(DELETE.to_owned(), parameters).await?;
        Ok(())
    }

    /// The values of `keys` in their order.
    pub(super) async fn get_many(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, Failure> {
        self.check_batch(keys.len())?;
        let connection = self.connect().await?;
        let mut values = Vec::with_capacity(keys.len());
        let mut bytes = 0;
        for (number, key) in keys.into_iter().enumerate() {
            // Each is read on this thread, which others wait for.
            if number % KEYS_AT_ONCE == KEYS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let value = self.get_with(&connection, &key).await?;
            bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            let max = self.limits.file.max_result_bytes;
            if bytes > max {
                return Err(Failure::Other(format!(
                    "query result exceeds limit of {max} bytes"
                )));
            }
            values.push((key, value));
        }
        Ok(values)
    }

    /// Sets all or, when one fails, none.
    pub(super) async fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
        self.check_batch(entries.len())?;
        for (key, value) in &entries {
            self.check(key, value)?;
        }
        let transaction = self.begin().await?;
        for (key, value) in entries {
            self.set_with(&transaction, &key, value).await?;
        }
        commit(transaction).await
    }

    /// Deletes all or, when one fails, none.
    pub(super) async fn delete_many(&self, keys: Vec<String>) -> Result<(), Failure> {
        self.check_batch(keys.len())?;
        let transaction = self.begin().await?;
        for key in keys {
            self.delete_with(&transaction, &key).await?;
        }
        commit(transaction).await
    }

    /// Adds `delta` to the number under `key`, which is kept as Spin does: eight bytes, the lowest first.
    pub(super) async fn increment(&self, key: &str, delta: i64) -> Result<i64, Failure> {
        self.check(key, &[])?;
        let transaction = self.begin().await?;
        let number = match self.get_with(&transaction, key).await? {
            None => 0,
            Some(bytes) => bytes.try_into().map(i64::from_le_bytes).map_err(|_bytes| {
                Failure::Other(format!("the value of {key:?} is not a number of 8 bytes"))
            })?,
        };
        let number = number
            .checked_add(delta)
            .ok_or_else(|| Failure::Other(format!("the value of {key:?} would overflow")))?;
        self.set_with(&transaction, key, number.to_le_bytes().to_vec())
            .await?;
        commit(transaction).await?;
        Ok(number)
    }

    /// Sets `key` to `new` if it still has the value `seen`; tells whether it had.
    pub(super) async fn swap(
        &self,
        key: &str,
        seen: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, Failure> {
        self.check(key, &new)?;
        let connection = self.connect().await?;
        let mut parameters = vec![self.name(), text(key), Value::Blob(new)];
        let sql = match seen {
            None => INSERT,
            Some(seen) => {
                parameters.push(Value::Blob(seen));
                REPLACE
            }
        };
        connection.execute(sql.to_owned(), parameters).await?;
        Ok(connection.changes().await == 1)
    }

    fn name(&self) -> Value {
        text(&self.name)
    }

    fn check(&self, key: &str, value: &[u8]) -> Result<(), Failure> {
        let Limits {
            max_key_bytes,
            max_value_bytes,
            ..
        } = self.limits;
        if key.len() > max_key_bytes {
            return Err(Failure::Other(format!(
                "the key exceeds the limit of {max_key_bytes} bytes"
            )));
        }
        if value.len() > max_value_bytes {
            return Err(Failure::Other(format!(
                "the value of {key:?} exceeds the limit of {max_value_bytes} bytes"
            )));
        }
        Ok(())
    }

    fn check_batch(&self, keys: usize) -> Result<(), Failure> {
        let max = self.limits.max_batch;
        if keys > max {
            return Err(Failure::Other(format!(
                "{keys} keys exceed the limit of {max} in one call"
            )));
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let connection = Connection::new(Arc::clone(&self.database));
        self.created
            .get_or_try_init(async || {
                let created = connection.execute(CREATE.to_owned(), Vec::new()).await;
                created.map(drop)
            })
            .await?;
        Ok(connection)
    }

    /// A connection with an open transaction, rolled back when it is dropped before [`commit`].
    async fn begin(&self) -> Result<Connection, Failure> {
        let connection = self.connect().await?;
        connection
            .execute("BEGIN IMMEDIATE".to_owned(), Vec::new())
            .await?;
        Ok(connection)
    }
}

async fn commit(transaction: Connection) -> Result<(), Failure> {
    transaction.execute("COMMIT".to_owned(), Vec::new()).await?;
    Ok(())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
