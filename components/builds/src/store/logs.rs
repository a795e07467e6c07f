//! Lines of builds' logs, numbered from 1 without gaps.

use nokube_api::logs::{LogLine, LogStream};
use nokube_domain::{BuildId, Timestamp};
use nokube_guest::db::{Db, DbError, Tx, Value};
use nokube_guest::{params, row};

/// Rows of one INSERT: 5 parameters each, far below SQLite's 32766.
const ROWS_PER_INSERT: usize = 200;

row! {
    struct LogRow {
        n: u64,
        at_ms: Timestamp,
        stream: String,
        line: String,
    }
}

/// A line on its way into the log.
pub(crate) struct NewLine {
    pub(crate) at: Timestamp,
    pub(crate) stream: LogStream,
    pub(crate) text: String,
}

fn stream_name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
        LogStream::System => "system",
    }
}

/// Appends lines after the first `after`, and records what the log then holds.
pub(crate) async fn log_append(
    tx: &Tx,
    id: BuildId,
    after: u64,
    lines: &[NewLine],
    full: bool,
) -> Result<(), DbError> {
    let mut number = after;
    let mut bytes = 0;
    for chunk in lines.chunks(ROWS_PER_INSERT) {
        let mut statement =
            "INSERT INTO build_logs (build_id, n, at_ms, stream, line) VALUES ".to_owned();
        let mut parameters: Vec<Value> = vec![id.into()];
        for (index, line) in chunk.iter().enumerate() {
            number += 1;
            bytes += line.text.len() as u64;
            if index > 0 {
                statement.push_str(", ");
            }
            let first = parameters.len() + 1;
            statement.push_str(&format!(
                "(?1, ?{first}, ?{}, ?{}, ?{})",
                first + 1,
                first + 2,
                first + 3
            ));
            parameters.extend_from_slice(params![
                number,
                line.at,
                stream_name(line.stream),
                line.text.as_str(),
            ]);
        }
        tx.execute(&statement, &parameters).await?;
    }
    tx.execute(
        "UPDATE builds SET log_lines = ?2, log_bytes = log_bytes + ?3, log_full = ?4 WHERE id = ?1",
        params![id, number, bytes, full],
    )
    .await?;
    Ok(())
}

/// Appends one line of the platform's own, also to a full log: it says how the build ended.
pub(crate) async fn log_append_system(
    tx: &Tx,
    id: BuildId,
    now: Timestamp,
    text: &str,
) -> Result<(), DbError> {
    let (number,): (u64,) = tx
        .query_one(
            "UPDATE builds SET log_lines = log_lines + 1 WHERE id = ?1 RETURNING log_lines",
            params![id],
        )
        .await?;
    tx.execute(
        "INSERT INTO build_logs (build_id, n, at_ms, stream, line) VALUES (?1, ?2, ?3, 'system', ?4)",
        params![id, number, now, text],
    )
    .await?;
    Ok(())
}

/// Up to `limit` lines after line `after`. The caller has checked who asks.
pub(crate) async fn log_read(
    db: &Db,
    id: BuildId,
    after: i64,
    limit: u64,
) -> Result<Vec<LogLine>, DbError> {
    let rows: Vec<LogRow> = db
        .query(
            "SELECT n, at_ms, stream, line FROM build_logs WHERE build_id = ?1 AND n > ?2 \
             ORDER BY n LIMIT ?3",
            params![id, after, limit],
        )
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| LogLine {
            n: row.n,
            time: row.at_ms.to_string(),
            stream: match row.stream.as_str() {
                "stdout" => LogStream::Stdout,
                "stderr" => LogStream::Stderr,
                _ => LogStream::System,
            },
            component: None,
            request_id: None,
            text: row.line,
        })
        .collect())
}
