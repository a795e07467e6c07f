//! `json_patch` looks every name of one object up in the other, one by one. It can't be stopped, so it is done by
//! SQLite's own function, on a connection aside, for what is small enough together.

use std::cell::RefCell;
use std::sync::Arc;

use rusqlite::functions::{Context, FunctionFlags, SubType};
use rusqlite::types::Value;
use rusqlite::{Connection, Error, params};

use super::{PURE, interrupted};
use crate::host::sqlite::watch::Watch;

/// The product of both arguments' bytes. 20 KiB by 20 KiB, or 4 MiB by 100 bytes: some 50 ms.
const MAX_PRODUCT: usize = 400_000_000;

/// What SQLite marks a text with that is JSON (`JSON_SUBTYPE`).
const JSON: std::ffi::c_uint = b'J' as std::ffi::c_uint;

thread_local! {
    static ASIDE: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

pub(super) fn register(connection: &Connection, watch: &Arc<Watch>) -> rusqlite::Result<()> {
    let flags = PURE.union(FunctionFlags::SQLITE_RESULT_SUBTYPE);
    let functions = [
        ("json_patch", "SELECT json_patch(?1, ?2)", Some(JSON)),
        ("jsonb_patch", "SELECT jsonb_patch(?1, ?2)", None),
    ];
    for (name, sql, subtype) in functions {
        let watch = Arc::clone(watch);
        connection.create_scalar_function(name, 2, flags, move |context| {
            if watch.must_stop() {
                return Err(interrupted());
            }
            patch(context, sql, subtype)
        })?;
    }
    Ok(())
}

fn patch(context: &Context<'_>, sql: &str, subtype: SubType) -> rusqlite::Result<(Value, SubType)> {
    let [target, patch] = [0, 1].map(|index| context.get_raw(index));
    let bytes = |value| match value {
        rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => {
            bytes.len()
        }
        _ => 0,
    };
    if bytes(target).saturating_mul(bytes(patch)) > MAX_PRODUCT {
        let words = "json_patch: the documents are too large for each other";
        return Err(Error::UserFunctionError(words.into()));
    }
    let (target, patch): (Value, Value) = (context.get(0)?, context.get(1)?);
    ASIDE.with_borrow_mut(|aside| {
        let connection = match aside {
            Some(connection) => connection,
            None => aside.insert(Connection::open_in_memory()?),
        };
        let mut statement = connection.prepare_cached(sql)?;
        let value = statement.query_row(params![target, patch], |row| row.get(0))?;
        let subtype = if value == Value::Null { None } else { subtype };
        Ok((value, subtype))
    })
}
