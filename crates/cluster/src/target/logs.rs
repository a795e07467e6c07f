//! An application's log: that of its pods, put together by time.
//!
//! The cluster keeps it, on the nodes; nothing of it is kept here. A container that was started again has
//! an earlier log too, which is read first. Kubernetes does not say which stream a line was written to.

mod reader;

use std::time::Duration;

use futures::{StreamExt as _, stream};
use http::Request;
use nokube_api::logs::{LogLine, LogPage, LogStream};
use nokube_api::sidecar::AppSpec;
use nokube_domain::Timestamp;
use nokube_sidecar::{LogQuery, TargetError};
use url::form_urlencoded;

use self::reader::{MOST_READ_BYTES, Reader};
use super::ClusterTarget;
use super::apply::now_ms;
use super::cursor::{Cursor, MOST_PODS, PodKey, PodPlace, pod_key};
use crate::api::{CallError, Why};
use crate::seen::Pod;

/// Bytes of all pods' new lines that a page has in memory.
const PAGE_BYTES: usize = 512 << 10;
/// Pods that are asked at once.
const AT_ONCE: usize = 4;
/// Who waits longer for other readers is told to come again.
const TURN_LIMIT: Duration = Duration::from_secs(5);
/// How often, and with which pauses, a busy node is asked.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(250);
const NS_PER_MS: u64 = 1_000_000;

/// A line as a pod gave it.
struct Line {
    at_ns: u64,
    pod: PodKey,
    text: String,
}

/// What was read of one pod's log: lines that were not given out before, oldest first.
struct Piece {
    pod: PodKey,
    lines: Vec<Line>,
    /// There is more after them.
    is_cut: bool,
    /// Nothing new is in this whole second: go on after it.
    skip_to_ns: Option<u64>,
}

impl ClusterTarget {
    pub(super) async fn read_logs(
        &self,
        app: &AppSpec,
        query: LogQuery,
    ) -> Result<LogPage, TargetError> {
        let cursor = match &query.cursor {
            None => None,
            Some(text) => Some(Cursor::read(text).ok_or_else(|| {
                TargetError::Refused("cursor is not a cursor of this log".to_owned())
            })?),
        };
        let turn = tokio::time::timeout(TURN_LIMIT, self.pages.acquire()).await;
        let Ok(_turn) = turn else {
            return Err(TargetError::Unavailable(
                "too many logs are being read".to_owned(),
            ));
        };
        let before = cursor.clone().unwrap_or_default();
        let pods = self.pods_to_read(app);
        let room = PAGE_BYTES / pods.len().max(1);
        let (query, before) = (&query, &before);
        let read: Vec<Result<Piece, CallError>> = stream::iter(pods)
            .map(|(name, pod)| {
                let key = pod_key(&pod.uid);
                let place = before.places.get(&key).copied();
                async move {
                    let piece = Reader::new(key, place, query, room);
                    self.piece(&app.namespace, &name, &pod, query, piece).await
                }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut pieces = Vec::new();
        let mut failed = None;
        for piece in read {
            match piece {
                Ok(piece) => pieces.push(piece),
                Err(error) => {
                    tracing::warn!(deployment = app.deployment_id, %error, "a pod's log cannot be read");
                    failed = Some(error);
                }
            }
        }
        // A node that does not answer keeps its pods' lines, and nobody else's: they are read once it does.
        match failed {
            Some(error) if pieces.is_empty() || error.why() == Some(Why::NotAllowed) => {
                Err(error.about("the log"))
            }
            _ => Ok(page(before.clone(), cursor.is_none(), pieces, query)),
        }
    }

    /// Those that live, then those that end.
    fn pods_to_read(&self, app: &AppSpec) -> Vec<(String, Pod)> {
        let mut pods: Vec<(String, Pod)> = self.seen.look(&app.deployment_id, |seen| {
            let owned = |(name, pod): (&str, &Pod)| (name.to_owned(), pod.clone());
            seen.pods.iter().map(owned).collect()
        });
        pods.sort_by_key(|(_, pod)| pod.going);
        pods.truncate(MOST_PODS);
        pods
    }

    async fn piece(
        &self,
        namespace: &str,
        name: &str,
        pod: &Pod,
        query: &LogQuery,
        mut reader: Reader<'_>,
    ) -> Result<Piece, CallError> {
        let earlier = (pod.restarts > 0).then_some(true);
        for previous in earlier.into_iter().chain([false]) {
            // What follows a piece that was cut is read next time.
            if reader.is_cut {
                break;
            }
            let path = log_path(
                namespace,
                name,
                &pod.container,
                reader.place,
                query,
                previous,
            );
            match self.read_log(&path, &mut reader).await {
                // Not begun yet, or gone meanwhile.
                Ok(()) => {}
                Err(error) if matches!(error.why(), Some(Why::NotFound | Why::Invalid)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(reader.piece())
    }

    async fn read_log(&self, path: &str, reader: &mut Reader<'_>) -> Result<(), CallError> {
        let mut attempt = 1;
        loop {
            let request = Request::get(path)
                .body(Vec::new())
                .map_err(|_| CallError::Unreachable("cannot be asked for that"))?;
            let read = self
                .cluster
                .read_once(request, |bytes| reader.take(bytes))
                .await;
            match read {
                Ok(()) => {
                    reader.end();
                    return Ok(());
                }
                // Refused before anything of it was read.
                Err(error) if error.why() == Some(Why::Busy) && attempt < ATTEMPTS => {
                    tokio::time::sleep(PAUSE * attempt).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether a line is one of those that are asked for.
fn is_wanted(line: &Line, query: &LogQuery) -> bool {
    let since_ns = query
        .since
        .and_then(|since| u64::try_from(since.millis()).ok())
        .map_or(0, |millis| millis.saturating_mul(NS_PER_MS));
    let contains = query.contains.as_ref().map(|text| text.to_lowercase());
    line.at_ns >= since_ns
        && contains.is_none_or(|wanted| line.text.to_lowercase().contains(&wanted))
}

fn log_path(
    namespace: &str,
    name: &str,
    container: &str,
    place: Option<PodPlace>,
    query: &LogQuery,
    previous: bool,
) -> String {
    let mut options = form_urlencoded::Serializer::new(String::new());
    options
        .append_pair("timestamps", "true")
        .append_pair("limitBytes", &MOST_READ_BYTES.to_string());
    if !container.is_empty() {
        options.append_pair("container", container);
    }
    if previous {
        options.append_pair("previous", "true");
    }
    // The kubelet looks at whole seconds.
    let since = match place {
        Some(place) => i64::try_from(place.at_ns / NS_PER_MS)
            .ok()
            .map(Timestamp::from_millis),
        None => query.since,
    };
    if let Some(since) = since {
        let second = Timestamp::from_millis(since.seconds().saturating_mul(1000));
        options.append_pair("sinceTime", &second.to_string());
    }
    if let (None, None, Some(tail)) = (place, &query.cursor, query.tail) {
        options.append_pair("tailLines", &tail.to_string());
    }
    let options = options.finish();
    format!("/api/v1/namespaces/{namespace}/pods/{name}/log?{options}")
}

/// Puts pieces together, and says where to go on.
fn page(mut cursor: Cursor, is_first: bool, pieces: Vec<Piece>, query: &LogQuery) -> LogPage {
    // What other pods wrote after the end of a cut piece comes after the rest of that piece.
    let horizon = pieces
        .iter()
        .filter(|piece| piece.is_cut)
        .filter_map(|piece| Some(piece.lines.last()?.at_ns))
        .min();
    if is_first && query.tail == Some(0) {
        let now = u64::try_from(now_ms()).unwrap_or_default() * NS_PER_MS;
        for piece in &pieces {
            let place = PodPlace {
                at_ns: now,
                same: 0,
            };
            cursor.places.insert(piece.pod, place);
        }
    }
    for piece in &pieces {
        if let (Some(at_ns), Some(place)) = (piece.skip_to_ns, cursor.places.get_mut(&piece.pod)) {
            *place = PodPlace { at_ns, same: 0 };
        }
    }
    let mut lines: Vec<Line> = pieces.into_iter().flat_map(|piece| piece.lines).collect();
    lines.retain(|line| horizon.is_none_or(|horizon| line.at_ns <= horizon));
    lines.sort_by_key(|line| line.at_ns);
    let passed_over = match query.tail {
        Some(tail) if is_first => lines
            .len()
            .saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX)),
        _ => 0,
    };
    let mut given = Vec::new();
    for (index, line) in lines.into_iter().enumerate() {
        if given.len() >= query.limit {
            break;
        }
        let place = cursor.places.entry(line.pod).or_default();
        if place.at_ns == line.at_ns {
            place.same = place.same.saturating_add(1);
        } else {
            *place = PodPlace {
                at_ns: line.at_ns,
                same: 1,
            };
        }
        if index >= passed_over && is_wanted(&line, query) {
            cursor.lines += 1;
            given.push(LogLine {
                n: cursor.lines,
                time: time(line.at_ns),
                stream: LogStream::Stdout,
                component: None,
                request_id: None,
                text: line.text,
            });
        }
    }
    cursor.trim();
    LogPage {
        lines: given,
        cursor: cursor.write(),
        complete: false,
    }
}

fn time(at_ns: u64) -> String {
    let millis = i64::try_from(at_ns / NS_PER_MS).unwrap_or(i64::MAX);
    Timestamp::from_millis(millis).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: &str = "2026-11-21T10:00:00";

    fn piece(pod: &str, text: &str, place: Option<PodPlace>) -> Piece {
        let all = all();
        let mut reader = Reader::new(pod_key(pod), place, &all, PAGE_BYTES);
        // However the answer comes in pieces.
        for bytes in text.as_bytes().chunks(7) {
            let _ = reader.take(bytes);
        }
        reader.end();
        reader.piece()
    }

    fn texts(page: &LogPage) -> Vec<&str> {
        page.lines.iter().map(|line| line.text.as_str()).collect()
    }

    fn all() -> LogQuery {
        LogQuery {
            limit: 100,
            ..LogQuery::default()
        }
    }

    #[test]
    fn lines_of_all_pods_are_in_order_of_time() {
        let a = format!("{T0}.000000001Z one\n{T0}.000000003Z three\n");
        let b = format!("{T0}.000000002Z two\n");
        let page = page(
            Cursor::default(),
            true,
            vec![piece("a", &a, None), piece("b", &b, None)],
            &all(),
        );
        assert_eq!(texts(&page), ["one", "two", "three"]);
        assert_eq!(page.lines[2].n, 3);
        assert_eq!(page.lines[0].time, "2026-11-21T10:00:00.000Z");
    }

    #[test]
    fn a_cursor_goes_on_after_the_last_line_even_among_lines_of_one_time() {
        let text = format!("{T0}Z one\n{T0}Z two\n{T0}Z three\n");
        let mut query = LogQuery {
            limit: 2,
            ..LogQuery::default()
        };
        let first = page(
            Cursor::default(),
            true,
            vec![piece("a", &text, None)],
            &query,
        );
        assert_eq!(texts(&first), ["one", "two"]);
        let cursor = Cursor::read(&first.cursor).unwrap();
        let place = cursor.places.get(&pod_key("a")).copied();
        query.cursor = Some(first.cursor);
        let second = page(cursor, false, vec![piece("a", &text, place)], &query);
        assert_eq!(texts(&second), ["three"]);
        assert_eq!(second.lines[0].n, 3);
        // At the end: no lines, and the cursor that was given.
        let cursor = Cursor::read(&second.cursor).unwrap();
        let place = cursor.places.get(&pod_key("a")).copied();
        let third = page(cursor, false, vec![piece("a", &text, place)], &query);
        assert!(third.lines.is_empty());
        assert_eq!(third.cursor, second.cursor);
    }

    #[test]
    fn the_tail_is_the_end_of_all_pods_together() {
        let a = format!("{T0}.1Z one\n{T0}.3Z three\n");
        let b = format!("{T0}.2Z two\n{T0}.4Z four\n");
        let query = LogQuery {
            tail: Some(2),
            ..all()
        };
        let page = page(
            Cursor::default(),
            true,
            vec![piece("a", &a, None), piece("b", &b, None)],
            &query,
        );
        assert_eq!(texts(&page), ["three", "four"]);
        assert_eq!(page.lines[0].n, 1);
    }

    #[test]
    fn lines_that_are_not_searched_for_are_passed_over() {
        let text = format!("{T0}Z GET /a\n{T0}Z POST /b\n");
        let query = LogQuery {
            contains: Some("post".to_owned()),
            ..all()
        };
        let page = page(
            Cursor::default(),
            true,
            vec![piece("a", &text, None)],
            &query,
        );
        assert_eq!(texts(&page), ["POST /b"]);
        let cursor = Cursor::read(&page.cursor).unwrap();
        assert_eq!(cursor.places[&pod_key("a")].same, 2);
    }

    #[test]
    fn nothing_is_given_out_past_the_end_of_a_piece_that_was_cut() {
        let a = format!("{T0}.1Z one\n{T0}.5Z half a li");
        let query = all();
        let mut reader = Reader::new(pod_key("a"), None, &query, PAGE_BYTES);
        let _ = reader.take(a.as_bytes());
        reader.is_cut = true;
        reader.end();
        let cut = reader.piece();
        let b = format!("{T0}.0Z zero\n{T0}.3Z three\n");
        let page = page(
            Cursor::default(),
            true,
            vec![cut, piece("b", &b, None)],
            &all(),
        );
        assert_eq!(texts(&page), ["zero", "one"]);
    }
}
