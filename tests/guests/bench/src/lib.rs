//! What is measured besides a greeting: a row read, a row inserted, a request to another component. Each path does that
//! one thing and answers a few bytes.

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;
use spin_sdk::sqlite3::{Connection, Value};

/// Rows that `/setup` makes.
const ROWS: i64 = 1000;

#[http_component]
async fn handle(request: Request) -> Response {
    let (status, text) = match act(request.path(), request.query()).await {
        Ok(text) => (200, text),
        Err(error) => (500, format!("{error:#}")),
    };
    let mut response = Response::builder();
    response.status(status);
    // An answer whose length is not said is sent in chunks.
    if request.path() != "/chunks" {
        response.header("content-length", text.len().to_string());
    }
    response.body(text).build()
}

async fn act(path: &str, query: &str) -> anyhow::Result<String> {
    match path {
        "/" | "/chunks" => Ok("hello\n".to_owned()),
        "/setup" => setup(),
        "/read" => read(query.parse()?),
        "/insert" => insert(),
        "/chain" => chain().await,
        other => anyhow::bail!("no such path: {other}"),
    }
}

fn setup() -> anyhow::Result<String> {
    let database = Connection::open_default()?;
    database.execute(
        "CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
        &[],
    )?;
    database.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO note (text) SELECT 'a note of some length, number ' || i FROM n",
        &[Value::Integer(ROWS)],
    )?;
    Ok(String::new())
}

fn read(id: i64) -> anyhow::Result<String> {
    let database = Connection::open_default()?;
    let found = database.execute(
        "SELECT text FROM note WHERE id = ?1",
        &[Value::Integer(id % ROWS + 1)],
    )?;
    let row = found.rows().next();
    let text = row.and_then(|row| row.get::<&str>("text").map(str::to_owned));
    text.ok_or_else(|| anyhow::anyhow!("no row {id}"))
}

fn insert() -> anyhow::Result<String> {
    let database = Connection::open_default()?;
    database.execute(
        "INSERT INTO note (text) VALUES ('a note of some length, written while it is measured')",
        &[],
    )?;
    Ok(String::new())
}

async fn chain() -> anyhow::Result<String> {
    let request = Request::get("http://hello.spin.internal/").build();
    let answer: Response = spin_sdk::http::send(request).await?;
    Ok(String::from_utf8_lossy(answer.body()).into_owned())
}
