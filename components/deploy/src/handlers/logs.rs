//! A deployment's log, which the target keeps and searches: as JSON by cursor, as text, or followed.
//!
//! The target reads a bounded piece of a log for each page. A search through a long one therefore has pages with few
//! lines or none; it is at the end when a page is empty and its cursor is the one that was given.

use nokube_api::logs::LogPage;
use nokube_domain::{DeploymentId, Invalid, Timestamp};
use nokube_guest::db::Db;
use nokube_guest::host::LocalFuture;
use nokube_guest::{BodyStream, Caller, Ctx, Error, Response, platform};

use super::deployments::{deployment_id, visible};
use crate::error::DeployError;
use crate::sidecar::app_logs;
use crate::store::deployments::deployment_is_visible;

const DEFAULT_LINES: u32 = 200;
const MAX_LINES: u32 = 1_000;
/// Bytes of a cursor; the target's are far shorter.
const MAX_CURSOR_BYTES: usize = 256;
/// Longer searches find nothing that shorter ones don't.
const SEARCH_CHARS: usize = 200;
/// About as many ordinary lines as a log keeps.
const MAX_TAIL: u32 = 100_000;
/// How often a followed log is asked for.
const POLL_MS: u64 = 500;
/// A comment goes out at least this often: the only way to notice that the client has left.
const SILENCE_MS: i64 = 5_000;

/// `GET /deployments/{id}/logs?cursor=&limit=&tail=&since=&q=`. A log of something that lives is never complete.
pub(crate) async fn get_deployment_logs(cx: Ctx, caller: Caller) -> Result<Response, DeployError> {
    let id = deployment_id(&cx)?;
    let limit = cx
        .query_as("limit", |text| match text.parse() {
            Ok(limit @ 1..=MAX_LINES) => Ok(limit),
            _ => Err(Invalid::new("must be a whole number from 1 to 1000")),
        })?
        .unwrap_or(DEFAULT_LINES);
    let form = form(&cx);
    let place = Place {
        id,
        cursor: cursor(&cx, form)?,
        tail: cx.query_as("tail", |text| match text.parse() {
            Ok(tail @ 0..=MAX_TAIL) => Ok(tail),
            _ => Err(Invalid::new("must be a whole number from 0 to 100000")),
        })?,
        contains: cx.query_as("q", |text| {
            if text.chars().count() > SEARCH_CHARS {
                return Err(Invalid::new("must have at most 200 characters"));
            }
            Ok(text.to_owned())
        })?,
        since: cx.query_as("since", Timestamp::parse)?,
        limit,
    };
    let db = platform::open(&cx).await?;
    visible(&db, &caller, id).await?;
    match form {
        Form::Json => Ok(Response::ok(&place.read(&cx).await?)),
        Form::Text => {
            let page = place.read(&cx).await?;
            let text: String = page
                .lines
                .into_iter()
                .map(|line| line.text + "\n")
                .collect();
            Ok(Response::text(200, text).header("x-next-cursor", page.cursor))
        }
        Form::Events => {
            // A cursor that is none is told before the stream begins.
            place.read(&cx).await?;
            let ends_at_ms = platform::follow_until(&cx, &db, &caller).await?;
            let last_sent_ms = cx.now().millis();
            Ok(Response::stream(
                "text/event-stream",
                EventStream {
                    cx,
                    db,
                    caller,
                    place,
                    begun: false,
                    sent: false,
                    ends_at_ms,
                    last_sent_ms,
                },
            ))
        }
    }
}

/// Where to read on: the cursor, or the id of the last event that a returning client saw.
fn cursor(cx: &Ctx, form: Form) -> Result<Option<String>, Error> {
    let given = match cx.headers().get("last-event-id") {
        Some(last) if form == Form::Events => Some(last.to_owned()),
        _ => cx.query("cursor"),
    };
    match given {
        Some(cursor) if cursor.len() > MAX_CURSOR_BYTES => Err(Error::invalid_query(
            "cursor",
            "is not a cursor of this log",
        )),
        given => Ok(given),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text,
    Events,
}

/// By `Accept`: the first of our types that is named. Anything else gets JSON.
fn form(cx: &Ctx) -> Form {
    let types = cx.headers().all("accept").flat_map(|list| list.split(','));
    for media_type in types.filter_map(|item| item.split(';').next()) {
        match media_type.trim().to_ascii_lowercase().as_str() {
            "application/json" => return Form::Json,
            "text/plain" => return Form::Text,
            "text/event-stream" => return Form::Events,
            _ => {}
        }
    }
    Form::Json
}

/// A place in a log, and what is looked for there.
struct Place {
    id: DeploymentId,
    cursor: Option<String>,
    tail: Option<u32>,
    /// A part of the text, in whatever case, or the id of a request.
    contains: Option<String>,
    since: Option<Timestamp>,
    limit: u32,
}

impl Place {
    /// What follows. An application the target does not know yet has written nothing.
    async fn read(&self, cx: &Ctx) -> Result<LogPage, DeployError> {
        let mut query = vec![("limit", self.limit.to_string())];
        let wanted = [
            ("cursor", self.cursor.clone()),
            ("tail", self.tail.map(|tail| tail.to_string())),
            ("since", self.since.map(|since| since.to_string())),
            ("q", self.contains.clone()),
        ];
        query.extend(
            wanted
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let page = app_logs(cx, self.id, &query).await?;
        let mut page = page.unwrap_or_else(|| LogPage {
            lines: Vec::new(),
            cursor: self.cursor.clone().unwrap_or_default(),
            complete: false,
        });
        page.complete = false;
        Ok(page)
    }
}

/// Lines as they come (WHATWG HTML, "Server-sent events"); the last of a batch carries the cursor.
struct EventStream {
    cx: Ctx,
    db: Db,
    caller: Caller,
    place: Place,
    begun: bool,
    /// Lines went out.
    sent: bool,
    ends_at_ms: i64,
    last_sent_ms: i64,
}

impl EventStream {
    /// A comment, and how far the search has come: an id without data is no event, but a client that returns begins
    /// there.
    fn still_here(&self) -> String {
        match &self.place.cursor {
            Some(cursor) => format!(": still here\nid: {cursor}\n\n"),
            None => ": still here\n\n".to_owned(),
        }
    }
}

impl BodyStream for EventStream {
    fn next(&mut self) -> LocalFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            if !self.begun {
                self.begun = true;
                return Some(b"retry: 1000\n\n".to_vec());
            }
            // A log that is never silent would go on for ever. Whoever comes back begins at the last id.
            if self.sent && self.cx.host().now().millis() >= self.ends_at_ms {
                return None;
            }
            loop {
                // Somebody who is no longer a member, or a deployment that is gone.
                if !deployment_is_visible(&self.db, &self.caller, self.place.id)
                    .await
                    .ok()?
                {
                    return None;
                }
                let page = self.place.read(&self.cx).await.ok()?;
                let cursor = page.cursor;
                let mut text = String::new();
                let last = page.lines.len().saturating_sub(1);
                for (index, line) in page.lines.iter().enumerate() {
                    let data = serde_json::to_string(line).expect("a line is plain strings");
                    text.push_str("event: line\n");
                    if index == last {
                        text.push_str(&format!("id: {cursor}\n"));
                    }
                    text.push_str(&format!("data: {data}\n\n"));
                }
                let cursor = Some(cursor).filter(|cursor| !cursor.is_empty());
                let moved = self.place.cursor != cursor;
                self.place.cursor = cursor;
                let now = self.cx.host().now().millis();
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
                    return Some(self.still_here().into_bytes());
                }
                // Nothing in this piece of the log, and it goes on.
                if !moved {
                    self.cx.host().sleep(POLL_MS).await;
                }
            }
        })
    }
}
