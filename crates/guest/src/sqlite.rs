//! What the hosts of native programs and of tests share: statements on a real SQLite, and a body that is there.

use rusqlite::types::{Value as SqlValue, ValueRef};

use crate::db::{Rows, Value};
use crate::host::{BodyError, BodyReader, LocalFuture};

/// Runs one statement and reads all its rows.
pub(crate) fn run(
    connection: &rusqlite::Connection,
    statement: &str,
    parameters: &[Value],
) -> rusqlite::Result<Rows> {
    let mut prepared = connection.prepare(statement)?;
    let columns: Vec<String> = (prepared.column_names().into_iter())
        .map(str::to_owned)
        .collect();
    let parameters = rusqlite::params_from_iter(parameters.iter().map(to_sql));
    let mut found = prepared.query(parameters)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let values = (0..columns.len()).map(|index| row.get_ref(index).map(from_sql));
        rows.push(values.collect::<rusqlite::Result<Vec<Value>>>()?);
    }
    Ok(Rows { columns, rows })
}

fn to_sql(value: &Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Integer(value) => SqlValue::Integer(*value),
        Value::Real(value) => SqlValue::Real(*value),
        Value::Text(value) => SqlValue::Text(value.clone()),
        Value::Blob(value) => SqlValue::Blob(value.clone()),
    }
}

fn from_sql(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into()),
        ValueRef::Blob(value) => Value::Blob(value.to_vec()),
    }
}

/// A request's body that was there from the beginning.
pub(crate) struct WholeBody(pub(crate) Vec<u8>);

impl BodyReader for WholeBody {
    fn read(self: Box<Self>, limit: usize) -> LocalFuture<'static, Result<Vec<u8>, BodyError>> {
        Box::pin(std::future::ready(if self.0.len() > limit {
            Err(BodyError::TooLarge(limit))
        } else {
            Ok(self.0)
        }))
    }
}
