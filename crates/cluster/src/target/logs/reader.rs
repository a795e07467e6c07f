//! One pod's log, read piece by piece: what is new of it is kept, as far as there is room, and nothing else.

use std::ops::ControlFlow;

use nokube_domain::Timestamp;
use nokube_sidecar::LogQuery;

use super::{Line, Piece, is_wanted};
use crate::target::cursor::{PodKey, PodPlace};

/// Bytes of one pod's log that are read at once. Of what was given out before, which is passed over, there may be as
/// much in the second that it ended in.
pub(super) const MOST_READ_BYTES: usize = 8 << 20;
/// The kubelet may end a little before its limit.
const ABOUT: usize = 4 << 10;
const MOST_TEXT_BYTES: usize = 16 << 10;
/// A time stamp and a blank before it.
const MOST_LINE_BYTES: usize = 64 + MOST_TEXT_BYTES;
const NS_PER_S: u64 = 1_000_000_000;

/// Reads one pod's log, and keeps what is new of it.
pub(super) struct Reader<'a> {
    pod: PodKey,
    pub(super) place: Option<PodPlace>,
    query: &'a LogQuery,
    /// Lines of the place's own time that were met.
    same: u16,
    /// Bytes of the present log that were read.
    read: usize,
    /// The beginning of a line, as far as it is kept.
    line: Vec<u8>,
    lines: Vec<Line>,
    /// Bytes that lines may still have.
    room: usize,
    /// Lines of those asked for that there may still be.
    wanted: usize,
    pub(super) is_cut: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        pod: PodKey,
        place: Option<PodPlace>,
        query: &'a LogQuery,
        room: usize,
    ) -> Self {
        Self {
            pod,
            place,
            query,
            same: 0,
            read: 0,
            line: Vec::new(),
            lines: Vec::new(),
            room,
            // Of a tail the last ones are wanted.
            wanted: match (&query.cursor, query.tail) {
                (None, Some(_)) => usize::MAX,
                _ => query.limit,
            },
            is_cut: false,
        }
    }

    pub(super) fn take(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        self.read = self.read.saturating_add(bytes.len());
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = MOST_LINE_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line();
                if self.is_cut {
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// There is no more of the present log. Of one that was cut the last line may be a part: it is read again.
    pub(super) fn end(&mut self) {
        self.is_cut |= self.read + ABOUT >= MOST_READ_BYTES;
        if self.is_cut {
            self.line.clear();
        } else {
            self.end_line();
        }
        self.read = 0;
    }

    fn end_line(&mut self) {
        let line = read_line(&String::from_utf8_lossy(&self.line), self.pod);
        self.line.clear();
        let Some(line) = line.filter(|line| self.is_new(line)) else {
            return;
        };
        self.room = self
            .room
            .saturating_sub(line.text.len() + size_of::<Line>());
        self.wanted = self
            .wanted
            .saturating_sub(usize::from(is_wanted(&line, self.query)));
        self.lines.push(line);
        self.is_cut = self.room == 0 || self.wanted == 0;
    }

    fn is_new(&mut self, line: &Line) -> bool {
        let Some(place) = self.place else {
            return true;
        };
        if line.at_ns == place.at_ns && self.same < place.same {
            self.same += 1;
            return false;
        }
        line.at_ns >= place.at_ns
    }

    pub(super) fn piece(mut self) -> Piece {
        self.lines.sort_by_key(|line| line.at_ns);
        let is_known = self.is_cut && self.lines.is_empty();
        Piece {
            pod: self.pod,
            lines: self.lines,
            is_cut: self.is_cut,
            skip_to_ns: self
                .place
                .filter(|_| is_known)
                .map(|place| (place.at_ns / NS_PER_S + 1) * NS_PER_S),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::super::PAGE_BYTES;
    use super::*;
    use crate::target::cursor::pod_key;

    const T0: &str = "2026-11-21T10:00:00";

    fn all() -> LogQuery {
        LogQuery {
            limit: 100,
            ..LogQuery::default()
        }
    }

    #[test]
    fn what_was_given_out_before_is_passed_over_without_keeping_it() {
        let known = 20_000;
        let mut text = format!("{T0}Z {}\n", "x".repeat(40)).repeat(known);
        assert!(text.len() > 2 * PAGE_BYTES);
        text += &format!("{T0}Z new\n");
        let place = PodPlace {
            at_ns: nanoseconds(&format!("{T0}Z")).unwrap(),
            same: u16::try_from(known).unwrap(),
        };
        let query = all();
        let mut reader = Reader::new(pod_key("a"), Some(place), &query, PAGE_BYTES);
        assert!(reader.take(text.as_bytes()).is_continue());
        reader.end();
        let piece = reader.piece();
        assert!(!piece.is_cut);
        assert_eq!(piece.lines.len(), 1);
        assert_eq!(piece.lines[0].text, "new");
    }

    #[test]
    fn a_second_that_is_known_as_far_as_it_is_read_is_passed_over() {
        let query = all();
        let at_ns = nanoseconds(&format!("{T0}.5Z")).unwrap();
        let place = PodPlace { at_ns, same: 1 };
        let mut reader = Reader::new(pod_key("a"), Some(place), &query, PAGE_BYTES);
        let old = format!("{T0}.1Z {}\n", "x".repeat(16 << 10));
        while reader.read < MOST_READ_BYTES {
            assert!(reader.take(old.as_bytes()).is_continue());
        }
        reader.end();
        let piece = reader.piece();
        assert!(piece.is_cut && piece.lines.is_empty());
        assert_eq!(piece.skip_to_ns, Some((at_ns / NS_PER_S + 1) * NS_PER_S));
    }

    #[test]
    fn no_more_of_a_log_is_kept_than_there_is_room_for() {
        let query = all();
        let many = LogQuery {
            limit: 100_000,
            ..all()
        };
        for (query, least, most) in [(&many, 60, 64), (&query, 100, 100)] {
            let mut reader = Reader::new(pod_key("a"), None, query, 64 << 10);
            let text = if query.limit > 100 { 1 << 10 } else { 1 };
            let line = format!("{T0}Z {}\n", "x".repeat(text));
            while reader.take(line.as_bytes()).is_continue() {}
            reader.end();
            let piece = reader.piece();
            assert!(piece.is_cut);
            assert!(
                (least..=most).contains(&piece.lines.len()),
                "{}",
                piece.lines.len()
            );
        }
        // A line without end is no more than a line.
        let mut reader = Reader::new(pod_key("a"), None, &many, PAGE_BYTES);
        let _ = reader.take(format!("{T0}Z ").as_bytes());
        for _ in 0..1000 {
            let _ = reader.take(&[b'x'; 1 << 10]);
            assert!(reader.line.len() <= MOST_LINE_BYTES);
        }
        reader.end();
        assert_eq!(reader.piece().lines[0].text.len(), MOST_TEXT_BYTES);
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
