//! `spin:sqlite@3.0`: writes a value of each kind and reads it back; then a statement that fails.

use anyhow::bail;
use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;
use spin_sdk::sqlite3::{Connection, Value};

#[http_component]
fn handle(request: Request) -> Response {
    wasi02::reply(run(request.query()))
}

fn run(label: &str) -> anyhow::Result<String> {
    let database = Connection::open(label)?;
    database.execute("CREATE TABLE IF NOT EXISTS t (i, r, s, b, n)", &[])?;
    let values = [
        Value::Integer(-7),
        Value::Real(0.5),
        Value::Text("é".to_owned()),
        Value::Blob(vec![0, 255]),
        Value::Null,
    ];
    database.execute("INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5)", &values)?;
    let (row, changes) = (database.last_insert_rowid(), database.changes());
    let read = database.execute("SELECT i, r, s, b, n FROM t WHERE rowid = 1", &[])?;
    let Err(failed) = database.execute("SELECT x FROM nowhere", &[]) else {
        bail!("a table that is not there was read");
    };
    Ok(format!(
        "{:?} {:?} row {row}, {changes} changed; {failed:?}",
        read.columns, read.rows[0].values
    ))
}

fn main() {}
