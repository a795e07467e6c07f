//! The only place that knows SQL.

use anyhow::Context as _;
use serde::Serialize;
use spin_sdk::sqlite3::{Connection, QueryResult, Row, Value};

/// A note.
#[derive(Debug, Serialize)]
pub(crate) struct Note {
    /// Given out once, never again.
    pub(crate) id: i64,
    /// What it says.
    pub(crate) text: String,
    /// When it was first written, RFC 3339 UTC.
    pub(crate) created_at: String,
}

/// The notes of this application.
pub(crate) struct Notes {
    connection: Connection,
}

const COLUMNS: &str =
    "id, text, strftime('%Y-%m-%dT%H:%M:%SZ', created_at, 'unixepoch') AS created_at";

impl Notes {
    /// Opens the database and makes its table when there is none yet.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let connection = Connection::open_default().context("opening the database")?;
        let notes = Self { connection };
        notes.run(
            "CREATE TABLE IF NOT EXISTS notes (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                text TEXT NOT NULL,
                created_at INTEGER NOT NULL DEFAULT (unixepoch())
            )",
            &[],
        )?;
        Ok(notes)
    }

    pub(crate) fn count(&self) -> anyhow::Result<i64> {
        let result = self.run("SELECT count(*) AS count FROM notes", &[])?;
        let count = result.rows().next().and_then(|row| row.get("count"));
        count.context("a count is one row")
    }

    /// The newest hundred.
    pub(crate) fn list(&self) -> anyhow::Result<Vec<Note>> {
        let statement = format!("SELECT {COLUMNS} FROM notes ORDER BY id DESC LIMIT 100");
        self.run(&statement, &[])?
            .rows()
            .map(|row| read(&row))
            .collect()
    }

    pub(crate) fn get(&self, id: i64) -> anyhow::Result<Option<Note>> {
        let statement = format!("SELECT {COLUMNS} FROM notes WHERE id = ?1");
        self.one(&statement, &[Value::Integer(id)])
    }

    pub(crate) fn insert(&self, text: &str) -> anyhow::Result<Note> {
        let statement = format!("INSERT INTO notes (text) VALUES (?1) RETURNING {COLUMNS}");
        let note = self.one(&statement, &[Value::Text(text.to_owned())])?;
        note.context("what is inserted is returned")
    }

    pub(crate) fn update(&self, id: i64, text: &str) -> anyhow::Result<Option<Note>> {
        let statement = format!("UPDATE notes SET text = ?2 WHERE id = ?1 RETURNING {COLUMNS}");
        self.one(
            &statement,
            &[Value::Integer(id), Value::Text(text.to_owned())],
        )
    }

    /// Whether there was such a note.
    pub(crate) fn delete(&self, id: i64) -> anyhow::Result<bool> {
        let result = self.run(
            "DELETE FROM notes WHERE id = ?1 RETURNING id",
            &[Value::Integer(id)],
        )?;
        Ok(!result.rows.is_empty())
    }

    fn one(&self, statement: &str, parameters: &[Value]) -> anyhow::Result<Option<Note>> {
        self.run(statement, parameters)?
            .rows()
            .next()
            .map(|row| read(&row))
            .transpose()
    }

    fn run(&self, statement: &str, parameters: &[Value]) -> anyhow::Result<QueryResult> {
        self.connection
            .execute(statement, parameters)
            .with_context(|| format!("running {statement}"))
    }
}

fn read(row: &Row<'_>) -> anyhow::Result<Note> {
    let text = |name: &str| {
        row.get::<&str>(name)
            .map(str::to_owned)
            .with_context(|| format!("reading {name}"))
    };
    Ok(Note {
        id: row.get("id").context("reading the id")?,
        text: text("text")?,
        created_at: text("created_at")?,
    })
}
