//! How much a database may cost.

use std::time::Duration;

const MIB: usize = 1024 * 1024;

/// The bounds of one database file and of the statements that run on it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest size of the file, and of its write-ahead log. `None` for no bound.
    pub max_database_bytes: Option<u64>,
    /// The largest text, blob or row.
    pub max_value_bytes: usize,
    /// The largest result of one statement, which is buffered before the guest sees it.
    pub max_result_bytes: usize,
    /// The most rows in the result of one statement.
    pub max_result_rows: usize,
    /// How long one statement may run before it is interrupted.
    pub statement_budget: Duration,
    /// How long a statement that only reads may occupy the thread that runs guests before it moves to another. Zero
    /// keeps all statements away from it: SQLite asks for the time between instructions only, and one instruction of
    /// somebody who means it takes minutes.
    pub inline_budget: Duration,
    /// Whether changes of rows inside a transaction that holds the lock run on that thread as well. They can't be moved
    /// halfway, so only for applications that are trusted not to make them long.
    pub inline_writes: bool,
    /// How long a locked database, or a free connection, is waited for.
    pub busy_timeout: Duration,
    /// The most connections to the file at a time, over all instances; also bounds the threads they occupy.
    pub max_connections: usize,
    /// The most arguments of a function. Some work through their first one once for each of the others.
    pub max_arguments: usize,
    /// Whether functions that can take hours in one call ([`super::functions`]) are replaced by ones that can't.
    pub stoppable_functions: bool,
    /// How long a connection that nobody uses stays open.
    pub idle_timeout: Duration,
    /// Whether a database that is created here starts in write-ahead mode. The guest can change it later.
    pub write_ahead_log: bool,
}

impl Limits {
    /// For the platform's own components, which are trusted not to be malicious but may be wrong.
    #[must_use]
    pub fn platform() -> Self {
        Self {
            max_database_bytes: None,
            max_value_bytes: 64 * MIB,
            // Spin's bound on what the host buffers for a guest.
            max_result_bytes: 128 * MIB,
            max_result_rows: 1_000_000,
            statement_budget: Duration::from_secs(10),
            inline_budget: Duration::from_millis(5),
            inline_writes: true,
            busy_timeout: Duration::from_secs(5),
            max_connections: 64,
            // SQLite's own.
            max_arguments: 1000,
            stoppable_functions: false,
            idle_timeout: Duration::from_secs(300),
            write_ahead_log: true,
        }
    }

    /// For tenants' applications.
    #[must_use]
    pub fn tenant() -> Self {
        Self {
            max_database_bytes: Some(256 * 1024 * 1024),
            // What one instruction goes through takes milliseconds.
            max_value_bytes: 4 * MIB,
            max_result_bytes: 32 * MIB,
            max_result_rows: 100_000,
            statement_budget: Duration::from_secs(5),
            inline_budget: Duration::ZERO,
            inline_writes: false,
            busy_timeout: Duration::from_secs(5),
            max_connections: 8,
            max_arguments: 127,
            stoppable_functions: true,
            idle_timeout: Duration::from_secs(30),
            write_ahead_log: true,
        }
    }
}
