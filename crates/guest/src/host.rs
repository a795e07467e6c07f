//! The seam to whatever runs the component.
//!
//! Handlers reach it through [`crate::Ctx`]. It is implemented by `spin.rs` on WebAssembly and by
//! `testing.rs` natively; moving to another SDK is a change to the first alone. Everything is `async`
//! in signature, although WASI 0.2 blocks: that keeps handlers as they are when it no longer does.

use std::future::Future;
use std::pin::Pin;

use http::Method;
use nokube_domain::Timestamp;

use crate::db::{DbError, Rows, Value};

/// A future on one thread. Guests have no other.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a component may ask of its host.
pub trait Host {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Fills `bytes` with cryptographic randomness.
    fn fill_random(&self, bytes: &mut [u8]);

    /// A variable of the component. Missing and empty are the same: no secret is ever empty.
    fn variable(&self, name: &str) -> Option<String>;

    /// Opens a connection of its own to the database of this label.
    ///
    /// # Errors
    /// [`DbError::Unavailable`] when the database does not answer.
    fn open_database(&self, label: &str) -> Result<Box<dyn Connection>, DbError>;

    /// Sends a request and reads the whole answer.
    fn send(&self, request: OutboundRequest) -> LocalFuture<'_, Result<OutboundAnswer, SendError>>;

    /// Waits.
    fn sleep(&self, millis: u64) -> LocalFuture<'_, ()>;

    /// Writes one line to the component's log.
    fn log(&self, line: &str);
}

/// One open database connection.
pub trait Connection {
    /// Runs one statement and reads all it returns.
    fn execute<'a>(
        &'a self,
        statement: &'a str,
        parameters: &'a [Value],
    ) -> LocalFuture<'a, Result<Rows, DbError>>;

    /// Rows that the last INSERT, UPDATE or DELETE touched; 0 also where the host does not know.
    fn changes(&self) -> u64;
}

/// A request to another service.
#[derive(Debug, Clone)]
pub struct OutboundRequest {
    /// Its method.
    pub method: Method,
    /// Its absolute address.
    pub url: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body; empty for none.
    pub body: Vec<u8>,
    /// How long the answer's first byte may take.
    pub timeout_ms: u64,
    /// How many bytes the answer may have.
    pub max_answer_bytes: usize,
}

/// What another service answered.
#[derive(Debug, Clone)]
pub struct OutboundAnswer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The address is not one.
    #[error("the address {0} is not valid")]
    BadAddress(String),
    /// The service could not be reached, or broke off.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The answer is larger than was asked for.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

/// A request's body, before it is read.
pub trait BodyReader {
    /// Reads on to the end, or says that there are more than `limit` bytes.
    fn read(self: Box<Self>, limit: usize) -> LocalFuture<'static, Result<Vec<u8>, BodyError>>;
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It has more bytes than the limit.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// The client broke off.
    #[error("the body ended early: {0}")]
    Broken(String),
}

/// A request as it arrived.
pub struct InboundRequest {
    /// Its method.
    pub method: Method,
    /// Path and query as they were sent.
    pub path_and_query: String,
    /// Headers in the order they came, names in lower case.
    pub headers: Headers,
    /// Its body.
    pub body: Box<dyn BodyReader>,
}

/// Headers in the order they came, names in lower case.
#[derive(Debug, Clone, Default)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of a header.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The last value of a header: the one that the nearest hop added.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// Every value of a header.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}
