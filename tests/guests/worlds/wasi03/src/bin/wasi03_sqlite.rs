//! `spin:sqlite@3.1`: writes a value of each kind and reads it back; then a statement that fails.

use anyhow::bail;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::sqlite::{Connection, Value};

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    wasi03::reply(run(wasi03::query(&request)).await)
}

async fn run(label: &str) -> anyhow::Result<String> {
    let database = Connection::open(label).await?;
    let create = "CREATE TABLE IF NOT EXISTS t (i, r, s, b, n)";
    database.execute(create, []).await?.collect().await?;
    let values = [
        Value::Integer(-7),
        Value::Real(0.5),
        Value::Text("é".to_owned()),
        Value::Blob(vec![0, 255]),
        Value::Null,
    ];
    let insert = "INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5)";
    database.execute(insert, values).await?.collect().await?;
    let (row, changes) = (database.last_insert_rowid().await, database.changes().await);
    let select = "SELECT i, r, s, b, n FROM t WHERE rowid = 1";
    let read = database.execute(select, []).await?;
    let columns = read.columns().to_vec();
    let rows = read.collect().await?;
    let failed = match database.execute("SELECT x FROM nowhere", []).await {
        Err(failed) => failed,
        Ok(result) => match result.result().await {
            Err(failed) => failed,
            Ok(()) => bail!("a table that is not there was read"),
        },
    };
    Ok(format!(
        "{columns:?} {:?} row {row}, {changes} changed; {failed:?}",
        rows[0].values
    ))
}

fn main() {}
