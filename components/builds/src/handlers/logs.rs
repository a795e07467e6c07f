//! A build's log: by cursor as JSON, as text, or followed as an event stream.

use std::rc::Rc;

use nokube_api::logs::{LogLine, LogPage};
use nokube_domain::{BuildId, Invalid};
use nokube_guest::db::Db;
use nokube_guest::host::{Host, LocalFuture};
use nokube_guest::{BodyStream, Caller, Ctx, Cursor, Error, Response, platform};

use super::builds::{build_id, visible};
use crate::error::BuildsError;
use crate::store::builds::build_find;
use crate::store::logs::log_read;

const DEFAULT_LINES: u64 = 500;
const MAX_LINES: u64 = 1_000;
/// Above this a text is sent piece by piece, so that no log has to fit into memory.
const WHOLE_TEXT_BYTES: u64 = 1 << 20;
/// More lines than a log has room for.
const MAX_TAIL: u64 = 100_000;
/// How often a followed log is looked at.
const POLL_MS: u64 = 250;
/// A comment goes out at least this often: the only way to notice that the client has left.
const SILENCE_MS: i64 = 5_000;

/// `GET /builds/{id}/logs?cursor=&limit=&tail=`.
pub(crate) async fn get_build_logs(cx: Ctx, caller: Caller) -> Result<Response, BuildsError> {
    let id = build_id(&cx)?;
    let wanted = Form::of(&cx);
    let given = position(&cx, wanted)?;
    let limit = cx.query_as("limit", |text| match text.parse() {
        Ok(limit @ 1..=MAX_LINES) => Ok(limit),
        _ => Err(Invalid::new("must be a whole number from 1 to 1000")),
    })?;
    let tail = cx.query_as("tail", |text| match text.parse() {
        Ok(tail @ 0..=MAX_TAIL) => Ok(tail),
        _ => Err(Invalid::new("must be a whole number from 0 to 100000")),
    })?;
    let db = platform::open(&cx).await?;
    let build = visible(&db, &caller, id).await?;
    let after = match (given, tail) {
        (Some(cursor), _) => cursor,
        (None, Some(tail)) => Cursor(log_end(build.log_lines.saturating_sub(tail))),
        (None, None) => Cursor(0),
    };
    match wanted {
        Form::Json => {
            let limit = limit.unwrap_or(DEFAULT_LINES);
            let lines = log_read(&db, id, after.0, limit).await?;
            let last = last_of(&lines, after);
            // The row was read before the lines: when it says finished, its last line was written.
            let complete = build.status().is_terminal() && last.0 >= log_end(build.log_lines);
            Ok(Response::ok(&LogPage {
                lines,
                cursor: last.to_string(),
                complete,
            }))
        }
        Form::Text => {
            let mut text = TextStream { db, id, after };
            if build.log_bytes > WHOLE_TEXT_BYTES {
                return Ok(Response::stream("text/plain; charset=utf-8", text));
            }
            let mut whole = Vec::new();
            while let Some(piece) = text.next().await {
                whole.extend_from_slice(&piece);
            }
            Ok(Response::bytes(200, "text/plain; charset=utf-8", whole))
        }
        Form::Events => Ok(Response::stream(
            "text/event-stream",
            EventStream {
                // First: it asks the database that the stream then takes along.
                ends_at_ms: platform::follow_until(&cx, &db, &caller).await?,
                host: Rc::clone(cx.host()),
                caller,
                db,
                id,
                after,
                last_sent_ms: cx.now().millis(),
                sent: false,
                state: StreamState::Beginning,
            },
        )),
    }
}

/// What a client wants the log as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text,
    Events,
}

impl Form {
    /// By `Accept`: the first of our types that is named. Anything else gets JSON.
    fn of(cx: &Ctx) -> Self {
        let types = cx.headers().all("accept").flat_map(|list| list.split(','));
        for media_type in types.filter_map(|item| item.split(';').next()) {
            match media_type.trim().to_ascii_lowercase().as_str() {
                "application/json" => return Self::Json,
                "text/plain" => return Self::Text,
                "text/event-stream" => return Self::Events,
                _ => {}
            }
        }
        Self::Json
    }
}

/// Where to read on: the cursor, or the id of the last event that a returning client saw.
fn position(cx: &Ctx, form: Form) -> Result<Option<Cursor>, Error> {
    let given = match cx.headers().get("last-event-id") {
        Some(last) if form == Form::Events => Some(last.to_owned()),
        _ => cx.query("cursor"),
    };
    given
        .map(|text| {
            Cursor::parse(&text)
                .ok_or_else(|| Error::invalid_query("cursor", "is not a cursor of this list"))
        })
        .transpose()
}

fn last_of(lines: &[LogLine], before: Cursor) -> Cursor {
    lines
        .last()
        .and_then(|line| i64::try_from(line.n).ok())
        .map_or(before, Cursor)
}

fn log_end(lines: u64) -> i64 {
    i64::try_from(lines).unwrap_or(i64::MAX)
}

/// All lines from a position to the present end, as text.
struct TextStream {
    db: Db,
    id: BuildId,
    after: Cursor,
}

impl BodyStream for TextStream {
    fn next(&mut self) -> LocalFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            // A log that can't be read any more ends here: the status line has been sent.
            let lines = log_read(&self.db, self.id, self.after.0, MAX_LINES)
                .await
                .ok()?;
            self.after = last_of(&lines, self.after);
            let text: String = lines.into_iter().map(|line| line.text + "\n").collect();
            (!text.is_empty()).then(|| text.into_bytes())
        })
    }
}

enum StreamState {
    Beginning,
    Following,
    Ended,
}

/// Lines as they come, as `text/event-stream` (WHATWG HTML, "Server-sent events"): `line` events with
/// the cursor as id, and one `end` event when nothing will follow.
struct EventStream {
    host: Rc<dyn Host>,
    caller: Caller,
    db: Db,
    id: BuildId,
    after: Cursor,
    ends_at_ms: i64,
    last_sent_ms: i64,
    /// Lines went out.
    sent: bool,
    state: StreamState,
}

impl EventStream {
    /// What is there now; empty when there is nothing new, nothing when the stream is over. It is over for somebody
    /// who is no longer a member, too.
    async fn look(&mut self) -> Option<String> {
        let build = build_find(&self.db, &self.caller, self.id).await.ok()??;
        let lines = log_read(&self.db, self.id, self.after.0, MAX_LINES)
            .await
            .ok()?;
        self.after = last_of(&lines, self.after);
        let mut text = String::new();
        for line in &lines {
            let id = Cursor(i64::try_from(line.n).unwrap_or(i64::MAX));
            let data = serde_json::to_string(line).expect("a line is plain strings");
            text.push_str(&format!("event: line\nid: {id}\ndata: {data}\n\n"));
        }
        if build.status().is_terminal() && self.after.0 >= log_end(build.log_lines) {
            let data = serde_json::json!({ "status": build.status, "complete": true });
            text.push_str(&format!("event: end\ndata: {data}\n\n"));
            self.state = StreamState::Ended;
        }
        Some(text)
    }
}

impl BodyStream for EventStream {
    fn next(&mut self) -> LocalFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            match self.state {
                StreamState::Ended => return None,
                StreamState::Beginning => {
                    self.state = StreamState::Following;
                    return Some(b"retry: 1000\n\n".to_vec());
                }
                // A build that is never silent would be followed for ever. Whoever comes back begins at the last id.
                StreamState::Following
                    if self.sent && self.host.now().millis() >= self.ends_at_ms =>
                {
                    return None;
                }
                StreamState::Following => {}
            }
            loop {
                let text = self.look().await?;
                let now = self.host.now().millis();
                if !text.is_empty() {
                    self.sent = true;
                    self.last_sent_ms = now;
                    return Some(text.into_bytes());
                }
                if now >= self.ends_at_ms {
                    return None;
                }
                if now - self.last_sent_ms >= SILENCE_MS {
                    self.last_sent_ms = now;
                    return Some(b": still here\n\n".to_vec());
                }
                self.host.sleep(POLL_MS).await;
            }
        })
    }
}
