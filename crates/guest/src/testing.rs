//! A host for native tests: SQLite in memory, a clock that moves when told, other services made up
//! by the test. A component's whole way from request to answer runs in it, without WebAssembly.
//!
//! Its database is as poor as the poorest that components run on, a libSQL server behind Spin's client.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use jwt_simple::algorithms::{Ed25519KeyPair, EdDSAKeyPairLike as _};
use jwt_simple::claims::Claims;
use jwt_simple::prelude::{Duration, UnixTimeStamp};
use nokube_domain::Timestamp;
use serde_json::Value as Json;

use crate::db::{DbError, Rows, Value, classify};
use crate::host::{
    Connection, Headers, Host, InboundRequest, LocalFuture, OutboundAnswer, OutboundRequest,
    SendError,
};
use crate::response::Body;
use crate::sqlite::{WholeBody, run};
use crate::token::{AUDIENCE, AccessClaims, ISSUER};
use crate::{Component, handle};

mod contract;
mod health;
mod libsql;
mod scopes;

pub use contract::check_contract;
pub use health::check_health;
pub use scopes::check_scopes;

type Answerer = Box<dyn Fn(&OutboundRequest) -> Result<OutboundAnswer, SendError>>;

/// The made-up host.
pub struct TestHost {
    now: Cell<i64>,
    variables: RefCell<HashMap<String, String>>,
    databases: RefCell<HashMap<String, Rc<rusqlite::Connection>>>,
    answerer: RefCell<Answerer>,
    /// What was sent to other services.
    pub sent: RefCell<Vec<OutboundRequest>>,
    /// What was logged.
    pub logged: RefCell<Vec<String>>,
    /// The statements that databases were given.
    pub statements: Rc<RefCell<Vec<String>>>,
    /// What fails of every database.
    pub database_fault: Rc<Cell<Option<DatabaseFault>>>,
}

/// What may fail of a database.
#[derive(Debug, Clone, Copy)]
pub enum DatabaseFault {
    /// It cannot be opened.
    Opening,
    /// It opens, and this statement is not answered.
    Statement(&'static str),
}

/// A component in a made-up host.
pub struct TestApp {
    component: &'static Component,
    /// Its host.
    pub host: Rc<TestHost>,
    key: Ed25519KeyPair,
    contract: Option<contract::Held>,
}

/// A request being made.
pub struct TestRequest<'a> {
    app: &'a TestApp,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct TestAnswer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

impl TestApp {
    /// A component with keys, a system token and a runner token, at 2027-01-15T08:00:00Z.
    #[must_use]
    pub fn new(component: &'static Component) -> Self {
        let key = Ed25519KeyPair::generate();
        let host = TestHost {
            now: Cell::new(1_800_000_000_000),
            variables: RefCell::default(),
            databases: RefCell::default(),
            answerer: RefCell::new(Box::new(|_| {
                Err(SendError::NoAnswer("the test has no such service".into()))
            })),
            sent: RefCell::default(),
            statements: Rc::default(),
            database_fault: Rc::default(),
            logged: RefCell::default(),
        };
        let app = Self {
            component,
            host: Rc::new(host),
            key,
            contract: None,
        };
        let seed = &app.key.to_bytes()[..32];
        app.set("jwt_private_key", &URL_SAFE_NO_PAD.encode(seed));
        let public = app.key.public_key().to_bytes();
        app.set("jwt_public_keys", &URL_SAFE_NO_PAD.encode(public));
        app.set("system_token", "test-system-token");
        app.set("runner_token", "test-runner-token");
        for name in ["auth", "projects", "builds", "deploy", "events"] {
            app.set(
                &format!("{name}_url"),
                &format!("http://{name}.spin.internal"),
            );
        }
        app
    }

    /// Sets a variable.
    pub fn set(&self, name: &str, value: &str) {
        let mut variables = self.host.variables.borrow_mut();
        variables.insert(name.to_owned(), value.to_owned());
    }

    /// Lets time pass.
    pub fn advance_ms(&self, millis: i64) {
        self.host.now.set(self.host.now.get() + millis);
    }

    /// Makes up the answers of other services.
    pub fn answer_calls(
        &self,
        answerer: impl Fn(&OutboundRequest) -> Result<OutboundAnswer, SendError> + 'static,
    ) {
        *self.host.answerer.borrow_mut() = Box::new(answerer);
    }

    /// Runs SQL on a database behind the component's back.
    pub fn sql(&self, label: &str, statement: &str) -> Vec<Vec<Value>> {
        let rows = run(&self.host.database(label).connection, statement, &[]);
        rows.expect("the test's statement").rows
    }

    /// Somebody's role in a project from now on; nothing: none.
    pub fn set_member(&self, project: i64, user: i64, name: &str, role: Option<&str>) {
        let removed = "DELETE FROM project_members WHERE project_id =";
        self.sql(
            "platform",
            &format!("{removed} {project} AND user_id = {user}"),
        );
        if let Some(role) = role {
            self.sql(
                "platform",
                &format!(
                    "INSERT INTO project_members (project_id, user_id, username, role, added_at_ms) \
                     VALUES ({project}, {user}, '{name}', '{role}', 0)"
                ),
            );
        }
    }

    /// How the database goes about each query that the component ran since the last call: the query, and the lines of
    /// its plan.
    pub fn query_plans(&self, label: &str) -> Vec<(String, Vec<String>)> {
        let ran = std::mem::take(&mut *self.host.statements.borrow_mut());
        let queries = ran.into_iter().filter(|text| text.starts_with("SELECT"));
        queries
            .map(|query| {
                let plan = self.query_plan(label, &query);
                (query, plan)
            })
            .collect()
    }

    /// How SQLite goes about a statement, step by step (`EXPLAIN QUERY PLAN`).
    pub fn query_plan(&self, label: &str, statement: &str) -> Vec<String> {
        let database = self.host.database(label);
        let mut explained = database
            .connection
            .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
            .expect("the test's statement");
        // The plan does not depend on their values.
        let parameters = vec![rusqlite::types::Null; explained.parameter_count()];
        let steps = explained.query_map(rusqlite::params_from_iter(parameters), |row| {
            row.get("detail")
        });
        steps
            .and_then(Iterator::collect)
            .expect("a plan is rows of text")
    }

    /// An access token of some user for 15 minutes, as `auth` would issue it.
    #[must_use]
    pub fn token(&self, id: i64, username: &str, role: &str) -> String {
        self.sign(id, username, role, None)
    }

    /// The same for an API token with these scopes, separated by spaces.
    #[must_use]
    pub fn scoped_token(&self, id: i64, username: &str, role: &str, scopes: &str) -> String {
        self.sign(id, username, role, Some(scopes.to_owned()))
    }

    fn sign(&self, id: i64, username: &str, role: &str, scope: Option<String>) -> String {
        let custom = AccessClaims {
            username: username.to_owned(),
            role: role.to_owned(),
            sid: format!("session-of-{username}"),
            scope,
        };
        let seconds = u64::try_from(self.host.now.get() / 1000).unwrap_or(0);
        let issued_at = UnixTimeStamp::from_secs(seconds);
        let mut claims = Claims::with_custom_claims(custom, Duration::from_secs(900))
            .with_issuer(ISSUER)
            .with_audience(AUDIENCE)
            .with_subject(id);
        claims.issued_at = Some(issued_at);
        claims.invalid_before = Some(issued_at);
        claims.expires_at = Some(issued_at + Duration::from_secs(900));
        self.key.sign(claims).expect("claims serialise")
    }

    /// Starts a request.
    pub fn request(&self, method: Method, path: &str) -> TestRequest<'_> {
        TestRequest {
            app: self,
            method,
            path: path.to_owned(),
            headers: vec![("spin-client-addr".into(), "192.0.2.1:4000".into())],
            body: Vec::new(),
        }
    }

    /// Starts a GET.
    pub fn get(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::GET, path)
    }

    /// Starts a POST.
    pub fn post(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::POST, path)
    }

    /// Starts a PUT.
    pub fn put(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::PUT, path)
    }

    /// Starts a PATCH.
    pub fn patch(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::PATCH, path)
    }

    /// Starts a DELETE.
    pub fn delete(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::DELETE, path)
    }
}

impl TestRequest<'_> {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a bearer credential.
    #[must_use]
    pub fn bearer(self, credential: &str) -> Self {
        self.header("authorization", &format!("Bearer {credential}"))
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(self, value: &Json) -> Self {
        self.header("content-type", "application/json")
            .body(&value.to_string())
    }

    /// Sets a body.
    #[must_use]
    pub fn body(mut self, text: &str) -> Self {
        text.as_bytes().clone_into(&mut self.body);
        self
    }

    /// Sends it and waits.
    #[must_use]
    pub fn send(self) -> TestAnswer {
        let host: Rc<dyn Host> = Rc::clone(&self.app.host) as Rc<dyn Host>;
        let (method, path) = (self.method.clone(), self.path.clone());
        let inbound = InboundRequest {
            method: self.method,
            path_and_query: self.path,
            headers: Headers(self.headers),
            body: Box::new(WholeBody(self.body)),
        };
        let response = block_on(handle(self.app.component, host, inbound));
        let body = match response.body {
            Body::Bytes(bytes) => bytes,
            Body::Stream(mut stream) => block_on(async move {
                let mut all = Vec::new();
                while let Some(piece) = stream.next().await {
                    all.extend_from_slice(&piece);
                }
                all
            }),
        };
        let headers = response.headers.into_iter();
        let headers = headers.map(|(name, value)| (name.into_owned(), value));
        let answer = TestAnswer {
            status: response.status,
            headers: Headers(headers.collect()),
            body,
        };
        if let Some(contract) = &self.app.contract {
            contract.hold(self.app.component, &method, &path, &answer);
        }
        answer
    }
}

impl TestAnswer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).expect("the answer is JSON")
    }

    /// Checks the status and gives the body as JSON; null without one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Json {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        serde_json::from_slice(&self.body).unwrap_or(Json::Null)
    }

    /// The pointers of a 422's faults.
    #[must_use]
    #[track_caller]
    pub fn faults(&self) -> Vec<String> {
        let problem = self.expect(422);
        let faults = problem["errors"].as_array().cloned().unwrap_or_default();
        let pointers = faults.iter().map(|fault| fault["pointer"].as_str());
        pointers
            .map(|pointer| pointer.unwrap_or_default().to_owned())
            .collect()
    }
}

impl TestHost {
    fn database(&self, label: &str) -> TestConnection {
        let mut databases = self.databases.borrow_mut();
        let connection = databases.entry(label.to_owned()).or_insert_with(|| {
            let connection = rusqlite::Connection::open_in_memory().expect("memory");
            connection
                .execute_batch("PRAGMA foreign_keys = ON")
                .expect("the pragma");
            Rc::new(connection)
        });
        TestConnection {
            connection: Rc::clone(connection),
            statements: Rc::clone(&self.statements),
            fault: Rc::clone(&self.database_fault),
        }
    }
}

impl Host for TestHost {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.get())
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system has randomness");
    }

    fn variable(&self, name: &str) -> Option<String> {
        let variables = self.variables.borrow();
        variables
            .get(name)
            .cloned()
            .filter(|value| !value.is_empty())
    }

    fn open_database(&self, label: &str) -> Result<Box<dyn Connection>, DbError> {
        if let Some(DatabaseFault::Opening) = self.database_fault.get() {
            return Err(DbError::Unavailable(format!("{label}: the test's fault")));
        }
        Ok(Box::new(self.database(label)))
    }

    fn send(&self, request: OutboundRequest) -> LocalFuture<'_, Result<OutboundAnswer, SendError>> {
        let answer = (self.answerer.borrow())(&request);
        self.sent.borrow_mut().push(request);
        Box::pin(std::future::ready(answer))
    }

    fn sleep(&self, millis: u64) -> LocalFuture<'_, ()> {
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        self.now.set(self.now.get().saturating_add(millis));
        Box::pin(std::future::ready(()))
    }

    fn log(&self, line: &str) {
        self.logged.borrow_mut().push(line.to_owned());
    }
}

struct TestConnection {
    connection: Rc<rusqlite::Connection>,
    statements: Rc<RefCell<Vec<String>>>,
    fault: Rc<Cell<Option<DatabaseFault>>>,
}

impl Connection for TestConnection {
    fn execute<'a>(
        &'a self,
        statement: &'a str,
        parameters: &'a [Value],
    ) -> LocalFuture<'a, Result<Rows, DbError>> {
        self.statements.borrow_mut().push(statement.to_owned());
        if let Some(DatabaseFault::Statement(failing)) = self.fault.get()
            && failing == statement
        {
            let error = DbError::Unavailable("the test's fault".to_owned());
            return Box::pin(std::future::ready(Err(error)));
        }
        let result = libsql::sent(statement)
            .and_then(|sent| {
                run(&self.connection, &sent, parameters).map_err(|error| error.to_string())
            })
            .map_err(|message| classify(libsql::wrapped(&message), statement));
        Box::pin(std::future::ready(result))
    }

    /// As [`libsql`] has it. Hosts that count are tried with the whole platform.
    fn changes(&self) -> u64 {
        0
    }
}

/// Numbers that look random and are the same each time (Knuth's MMIX generator), for histories that a
/// test makes up.
pub struct Dice(u64);

impl Dice {
    /// A series of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Every future of the made-up host is ready at once.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a future of the made-up host was not ready"),
    }
}
