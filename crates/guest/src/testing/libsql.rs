//! What becomes of a statement between Spin's host and a libSQL server, tried with the client's own parser.
//!
//! Spin 3.6 to 4.0 has the crate `libsql` 0.5.0. That client parses each statement and sends it printed anew, refuses
//! pragmas that set something, wraps an error's words in its own, and never learns how many rows a statement touched.

use libsql_sqlite3_parser::ast::{Cmd, Stmt};
use libsql_sqlite3_parser::lexer::sql::Parser;
use rusqlite::fallible_iterator::FallibleIterator as _;

/// The text that the server gets.
pub(super) fn sent(statement: &str) -> Result<String, String> {
    let mut parser = Parser::new(statement.as_bytes());
    match parser.next() {
        Ok(Some(Cmd::Stmt(Stmt::Pragma(..)))) => Err("unsupported statement".to_owned()),
        // Tables alone are sent as they were written.
        Ok(Some(Cmd::Stmt(Stmt::CreateTable { .. }))) => Ok(statement.to_owned()),
        Ok(Some(parsed)) => Ok(parsed.to_string()),
        Ok(None) => Err("no SQL statement provided".to_owned()),
        Err(error) => Err(format!("{error}: {statement}")),
    }
}

/// An error as the client words it.
pub(super) fn wrapped(message: &str) -> String {
    format!("Hrana: `cursor error: `error at step 0: (error code: SQLITE) `{message}```")
}
