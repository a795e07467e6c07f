//! An application's log: that of its pods, put together by time.
//!
//! The cluster keeps it, on the nodes; nothing of it is kept here. A container that was started again has
//! an earlier log too, which is read first. Kubernetes does not say which stream a line was written to.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::Request;
use nokube_api::logs::{LogLine, LogPage, LogStream};
use nokube_api::sidecar::AppSpec;
use nokube_domain::Timestamp;
use nokube_sidecar::{LogQuery, TargetError};
use url::form_urlencoded;

use super::ClusterTarget;
use super::apply::now_ms;
use super::cursor::{Cursor, MOST_PODS, PodKey, PodPlace, pod_key};
use crate::api::CallError;
use crate::seen::Pod;

/// Bytes of one pod's log that are read at once.
const PIECE_BYTES: usize = 256 << 10;
/// And when those were all of one second, and known already.
const LARGE_PIECE_BYTES: usize = 8 << 20;
/// The kubelet may end a little before its limit.
const ABOUT: usize = 4 << 10;
/// Pods that are asked at once: each piece is in memory.
const AT_ONCE: usize = 4;
const MOST_TEXT_BYTES: usize = 16 << 10;
const NS_PER_S: u64 = 1_000_000_000;
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
        let query = Arc::new(query);
        let before = cursor.clone().unwrap_or_default();
        let pieces: Vec<Piece> = stream::iter(self.pods_to_read(app))
            .map(|(name, pod)| {
                let place = before.places.get(&pod_key(&pod.uid)).copied();
                let query = Arc::clone(&query);
                async move { self.piece(&app.namespace, &name, &pod, place, &query).await }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .map_err(|error: CallError| error.about("the log"))?;
        Ok(page(before, cursor.is_none(), pieces, &query))
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
        place: Option<PodPlace>,
        query: &LogQuery,
    ) -> Result<Piece, CallError> {
        let key = pod_key(&pod.uid);
        let mut piece = Piece {
            pod: key,
            lines: Vec::new(),
            is_cut: false,
            skip_to_ns: None,
        };
        for most in [PIECE_BYTES, LARGE_PIECE_BYTES] {
            let mut lines = Vec::new();
            piece.is_cut = false;
            let earlier = (pod.restarts > 0).then_some(true);
            for previous in earlier.into_iter().chain([false]) {
                // What follows a piece that was cut is read next time.
                if piece.is_cut {
                    break;
                }
                let path = log_path(
                    namespace,
                    name,
                    &pod.container,
                    place,
                    query,
                    most,
                    previous,
                );
                let bytes = match self.read_text(path).await {
                    Ok(bytes) => bytes,
                    // Not begun yet, gone meanwhile, or its node does not answer.
                    Err(CallError::Refused(_)) => continue,
                    Err(error) => return Err(error),
                };
                piece.is_cut = bytes.len() + ABOUT >= most;
                lines.extend(read_lines(&bytes, key, piece.is_cut));
            }
            lines.sort_by_key(|line| line.at_ns);
            piece.lines = only_new(lines, place);
            if !piece.lines.is_empty() || !piece.is_cut {
                return Ok(piece);
            }
        }
        piece.skip_to_ns = place.map(|place| (place.at_ns / NS_PER_S + 1) * NS_PER_S);
        Ok(piece)
    }

    async fn read_text(&self, path: String) -> Result<bytes::Bytes, CallError> {
        let request = Request::get(path)
            .body(Vec::new())
            .map_err(|_| CallError::Unreachable("cannot be asked for that"))?;
        Ok(self.cluster.send_once(request).await?.body)
    }
}

fn log_path(
    namespace: &str,
    name: &str,
    container: &str,
    place: Option<PodPlace>,
    query: &LogQuery,
    most: usize,
    previous: bool,
) -> String {
    let mut options = form_urlencoded::Serializer::new(String::new());
    options
        .append_pair("timestamps", "true")
        .append_pair("limitBytes", &most.to_string());
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

/// Lines with their times. Of a piece that was cut the last line may be a part: it is read again.
fn read_lines(bytes: &[u8], pod: PodKey, is_cut: bool) -> Vec<Line> {
    let text = String::from_utf8_lossy(bytes);
    let whole = match text.rfind('\n') {
        Some(end) if is_cut => &text[..end],
        _ => &text,
    };
    whole
        .lines()
        .filter_map(|line| read_line(line, pod))
        .collect()
}

fn read_line(line: &str, pod: PodKey) -> Option<Line> {
    let (time, text) = line.split_once(' ').unwrap_or((line, ""));
    let mut end = text.len().min(MOST_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some(Line {
        at_ns: nanoseconds(time)?,
        pod,
        text: text[..end].to_owned(),
    })
}

/// RFC 3339 with up to nine digits after the second.
fn nanoseconds(time: &str) -> Option<u64> {
    let seconds = u64::try_from(Timestamp::parse(time).ok()?.seconds()).ok()?;
    let digits: String = time
        .split_once('.')
        .map(|(_, rest)| {
            rest.chars()
                .take_while(char::is_ascii_digit)
                .take(9)
                .collect()
        })
        .unwrap_or_default();
    let fraction: u64 = format!("{digits:0<9}").parse().ok()?;
    seconds.checked_mul(NS_PER_S)?.checked_add(fraction)
}

fn only_new(lines: Vec<Line>, place: Option<PodPlace>) -> Vec<Line> {
    let Some(place) = place else {
        return lines;
    };
    let mut same = 0;
    lines
        .into_iter()
        .filter(|line| {
            if line.at_ns == place.at_ns && same < place.same {
                same += 1;
                return false;
            }
            line.at_ns >= place.at_ns
        })
        .collect()
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
    let since_ns = query
        .since
        .and_then(|since| u64::try_from(since.millis()).ok())
        .map_or(0, |millis| millis.saturating_mul(NS_PER_MS));
    let wanted = query.contains.as_ref().map(|text| text.to_lowercase());
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
        let is_wanted = index >= passed_over
            && line.at_ns >= since_ns
            && wanted
                .as_ref()
                .is_none_or(|wanted| line.text.to_lowercase().contains(wanted));
        if is_wanted {
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
        let key = pod_key(pod);
        Piece {
            pod: key,
            lines: only_new(read_lines(text.as_bytes(), key, false), place),
            is_cut: false,
            skip_to_ns: None,
        }
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
        let key = pod_key("a");
        let cut = Piece {
            pod: key,
            lines: read_lines(a.as_bytes(), key, true),
            is_cut: true,
            skip_to_ns: None,
        };
        let b = format!("{T0}.0Z zero\n{T0}.3Z three\n");
        let page = page(
            Cursor::default(),
            true,
            vec![cut, piece("b", &b, None)],
            &all(),
        );
        assert_eq!(texts(&page), ["zero", "one"]);
    }

    #[test]
    fn times_are_read_to_the_nanosecond() {
        let ns = |text: &str| nanoseconds(text).unwrap() % NS_PER_S;
        assert_eq!(ns("2026-11-21T10:00:00.123456789Z"), 123_456_789);
        assert_eq!(ns("2026-11-21T10:00:00.5Z"), 500_000_000);
        assert_eq!(ns("2026-11-21T10:00:00Z"), 0);
        assert!(nanoseconds("yesterday").is_none());
    }
}
