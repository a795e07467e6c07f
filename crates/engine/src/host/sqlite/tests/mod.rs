//! What a guest can and can't do with a database.

mod costs;
mod durability;
mod limits;
mod policy;
mod statements;

use tempfile::TempDir;

use super::v3::HostConnection as _;
use super::*;
use crate::threads::{Share, Threads};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn allowance() -> Allowance {
    Allowance {
        threads: threads(2),
        heap: Heap::unbounded(),
        space: None,
    }
}

fn threads(places: usize) -> Share {
    Arc::new(Threads::new("database", 4, 0).unwrap()).share(places)
}

fn limits() -> Limits {
    Limits::tenant()
}

struct Fixture {
    folder: TempDir,
    database: Arc<Database>,
}

fn fixture(limits: Limits) -> Fixture {
    fixture_on(limits, allowance())
}

fn fixture_on(limits: Limits, allowance: Allowance) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db/app.db");
    let database = Arc::new(Database::new(path, limits, allowance));
    Fixture { folder, database }
}

impl Fixture {
    fn connect(&self) -> Connection {
        Connection::new(Arc::clone(&self.database))
    }
}

async fn run(connection: &Connection, sql: &str) -> Result<QueryResult, Failure> {
    connection.execute(sql.to_owned(), Vec::new()).await
}

async fn number(connection: &Connection, sql: &str) -> i64 {
    let result = run(connection, sql).await.unwrap();
    match result.rows[0].values[0] {
        Value::Integer(number) => number,
        ref other => panic!("{sql}: {other:?}"),
    }
}

async fn refusal(connection: &Connection, sql: &str) -> String {
    match run(connection, sql).await {
        Ok(result) => panic!("{sql} was allowed: {:?}", result.rows),
        Err(failure) => failure.to_string(),
    }
}
