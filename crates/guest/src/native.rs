//! A host for a component's code in a native program, on the machine that has the databases: the real
//! clock, SQLite in its file, variables that are given, no network.
//!
//! `nokube admin` runs `auth` in it, so that what it does by hand is done by the same code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use nokube_domain::Timestamp;
use rusqlite::OpenFlags;

use crate::db::{DbError, Rows, Value, classify};
use crate::host::{
    Connection, Headers, Host, InboundRequest, LocalFuture, OutboundAnswer, OutboundRequest,
    SendError,
};
use crate::response::Body;
use crate::sqlite::{WholeBody, run};
use crate::{Component, handle};

/// As long as a running platform waits for another writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the component's code runs.
pub struct NativeHost {
    /// The databases by label. A file that is not there is not made.
    pub databases: BTreeMap<String, PathBuf>,
    /// The component's variables.
    pub variables: BTreeMap<String, String>,
}

/// Sends a request with a JSON body and the system token of the variables; gives status and body.
pub async fn send(
    component: &'static Component,
    host: NativeHost,
    method: Method,
    path: &str,
    body: &serde_json::Value,
) -> (u16, Vec<u8>) {
    let token = host.variables.get("system_token").cloned();
    let headers = [
        ("content-type", "application/json".to_owned()),
        (
            "authorization",
            format!("Bearer {}", token.unwrap_or_default()),
        ),
    ];
    let request = InboundRequest {
        method,
        path_and_query: path.to_owned(),
        headers: Headers(headers.map(|(name, value)| (name.to_owned(), value)).into()),
        body: Box::new(WholeBody(body.to_string().into_bytes())),
    };
    let response = handle(component, Rc::new(host), request).await;
    let status = response.status;
    match response.body {
        Body::Bytes(bytes) => (status, bytes),
        Body::Stream(mut stream) => {
            let mut bytes = Vec::new();
            while let Some(piece) = stream.next().await {
                bytes.extend_from_slice(&piece);
            }
            (status, bytes)
        }
    }
}

impl Host for NativeHost {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system has randomness");
    }

    fn variable(&self, name: &str) -> Option<String> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then(|| value.clone())
    }

    fn open_database(&self, label: &str) -> Result<Box<dyn Connection>, DbError> {
        let file = self
            .databases
            .get(label)
            .ok_or_else(|| DbError::Unavailable(format!("no database {label} was given")))?;
        let connection =
            open(file).map_err(|error| DbError::Unavailable(format!("{label}: {error}")))?;
        Ok(Box::new(NativeConnection(connection)))
    }

    fn send(&self, _: OutboundRequest) -> LocalFuture<'_, Result<OutboundAnswer, SendError>> {
        let refused = SendError::NoAnswer("nothing is called from here".to_owned());
        Box::pin(std::future::ready(Err(refused)))
    }

    fn sleep(&self, millis: u64) -> LocalFuture<'_, ()> {
        Box::pin(async move { std::thread::sleep(Duration::from_millis(millis)) })
    }

    fn log(&self, _line: &str) {}
}

fn open(file: &Path) -> rusqlite::Result<rusqlite::Connection> {
    let connection = rusqlite::Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;")?;
    Ok(connection)
}

struct NativeConnection(rusqlite::Connection);

impl Connection for NativeConnection {
    fn execute<'a>(
        &'a self,
        statement: &'a str,
        parameters: &'a [Value],
    ) -> LocalFuture<'a, Result<Rows, DbError>> {
        let result = run(&self.0, statement, parameters)
            .map_err(|error| classify(error.to_string(), statement));
        Box::pin(std::future::ready(result))
    }

    fn changes(&self) -> u64 {
        self.0.changes()
    }
}
