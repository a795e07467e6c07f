//! Reading a log by cursor, while it is being written or not.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chrono::DateTime;
use rustix::fs::OFlags;

use super::segment::Segment;
use super::{Line, Page};

/// What one page may read: two segments of the usual size, some 20 ms of work. Each page's cursor says how far it
/// came, so a search through the whole log is several pages. It also keeps a page of the longest lines below what
/// readers of the platform's own answers accept (8 MiB).
const MAX_SCANNED_BYTES: u64 = 4 << 20;
/// More than any line has: 16 KiB of text are at most six times as long in JSON.
const LONGEST_LINE_BYTES: u64 = 128 << 10;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The cursor is not one of ours.
    #[error("this cursor is not one that a log has given")]
    Cursor,
    /// The files could not be read.
    #[error("the log cannot be read")]
    Io(#[source] io::Error),
}

/// What is wanted of a log.
#[derive(Debug, Default, Clone, Copy)]
pub struct Query<'a> {
    /// Where an earlier page ended.
    pub cursor: Option<&'a str>,
    /// Without a cursor: begin so many lines before the end, instead of with the oldest line.
    pub tail: Option<u64>,
    /// Only lines written then or later, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Only lines whose text contains this, in whatever case, or that belong to the request of this id.
    pub contains: Option<&'a str>,
    /// At most so many lines.
    pub limit: usize,
}

/// The lines after `cursor`, `limit` of them at most: [`find`] without looking for anything.
///
/// # Errors
///
/// As [`find`].
pub fn read(dir: &Path, cursor: Option<&str>, limit: usize) -> Result<Page, LogError> {
    let query = Query {
        cursor,
        limit,
        ..Query::default()
    };
    find(dir, &query)
}

/// The next lines that are wanted. A page reads a bounded piece of the log, so it may have fewer lines than there are,
/// or none: the log is at its end when the page is empty and its cursor is the one that was given. A folder that does
/// not exist (yet) is an empty log.
///
/// # Errors
///
/// When the cursor is not one of ours or a file cannot be read.
pub fn find(dir: &Path, query: &Query<'_>) -> Result<Page, LogError> {
    let segments = Segment::list(dir).map_err(LogError::Io)?;
    let position = match (query.cursor, query.tail) {
        (Some(text), _) => Position::parse(text).ok_or(LogError::Cursor)?,
        (None, Some(tail)) => Position::before_end(&segments, tail).map_err(LogError::Io)?,
        (None, None) => Position::default(),
    };
    let mut reader = Reader {
        position,
        scanned: 0,
        since_ms: query.since_ms,
        contains: query.contains.map(str::to_lowercase),
        limit: query.limit,
        lines: Vec::new(),
    };
    for segment in &segments[reader.start(&segments)..] {
        if reader.is_full() {
            break;
        }
        match reader.read_segment(segment) {
            Ok(()) => {}
            // Rotated away between listing and opening.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LogError::Io(error)),
        }
    }
    Ok(Page {
        lines: reader.lines,
        cursor: reader.position.to_string(),
    })
}

struct Reader {
    position: Position,
    scanned: u64,
    since_ms: Option<i64>,
    /// In lower case.
    contains: Option<String>,
    limit: usize,
    lines: Vec<Line>,
}

impl Reader {
    fn is_full(&self) -> bool {
        self.lines.len() >= self.limit || self.scanned >= MAX_SCANNED_BYTES
    }

    /// The first segment with lines that are wanted.
    fn start(&self, segments: &[Segment]) -> usize {
        // The segment the cursor is in is the last that begins at or before the next line.
        let next = self.position.segment.max(self.position.seen + 1);
        let start = segments
            .iter()
            .rposition(|segment| segment.first <= next)
            .unwrap_or(0);
        let Some(since_ms) = self.since_ms else {
            return start;
        };
        // Lines are in the order of their times: where a segment begins too early, all before it is.
        segments
            .iter()
            .enumerate()
            .skip(start + 1)
            .rev()
            .find(|(_, segment)| begins_at_ms(segment).is_some_and(|begin| begin < since_ms))
            .map_or(start, |(index, _)| index)
    }

    fn read_segment(&mut self, segment: &Segment) -> io::Result<()> {
        let Some(mut file) = open(segment)? else {
            return Ok(());
        };
        let mut offset = 0;
        if self.position.segment == segment.first && self.position.offset <= file.metadata()?.len()
        {
            offset = self.position.offset;
            file.seek(SeekFrom::Start(offset))?;
        }
        let mut reader = BufReader::new(file);
        let mut bytes = Vec::new();
        while !self.is_full() {
            bytes.clear();
            let length = reader.read_until(b'\n', &mut bytes)?;
            // Without its line end a line is still being written.
            if length == 0 || bytes.last() != Some(&b'\n') {
                break;
            }
            offset += length as u64;
            self.scanned += length as u64;
            // A line that is not ours (a damaged disk) is passed over: the rest is worth reading.
            let line = serde_json::from_slice::<Line>(&bytes).ok();
            let new = line.filter(|line| line.n > self.position.seen);
            self.position = Position {
                seen: new.as_ref().map_or(self.position.seen, |line| line.n),
                segment: segment.first,
                offset,
            };
            if let Some(line) = new
                && self.is_wanted(&line)
            {
                self.lines.push(line);
            }
        }
        Ok(())
    }

    fn is_wanted(&self, line: &Line) -> bool {
        let late_enough = self
            .since_ms
            .is_none_or(|since| written_at_ms(line).is_some_and(|time| time >= since));
        let text_fits = self.contains.as_ref().is_none_or(|wanted| {
            let id = line.request_id.as_deref();
            line.text.to_lowercase().contains(wanted)
                || id.is_some_and(|id| id.eq_ignore_ascii_case(wanted))
        });
        late_enough && text_fits
    }
}

/// A segment's file; nothing when it is no file.
fn open(segment: &Segment) -> io::Result<Option<File>> {
    // The folder belongs to the process that runs guests, the reader may be another user: no link leads it
    // elsewhere, and nothing but a file is read.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(&segment.path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

fn written_at_ms(line: &Line) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(&line.time).ok()?;
    Some(time.timestamp_millis())
}

/// When a segment's first line was written, if that can be told.
fn begins_at_ms(segment: &Segment) -> Option<i64> {
    let file = open(segment).ok()??;
    let mut first = Vec::new();
    BufReader::new(file.take(LONGEST_LINE_BYTES))
        .read_until(b'\n', &mut first)
        .ok()?;
    written_at_ms(&serde_json::from_slice(&first).ok()?)
}

/// The number of the last line that was written.
fn last_number(segments: &[Segment]) -> io::Result<u64> {
    let Some(segment) = segments.last() else {
        return Ok(0);
    };
    // A segment's name says what came before it.
    let before = segment.first.saturating_sub(1);
    let Some(mut file) = open(segment)? else {
        return Ok(before);
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_LINE_BYTES)))?;
    let mut last = before;
    let mut reader = BufReader::new(file);
    let mut bytes = Vec::new();
    // The first of these may be the end of a line: then it is no JSON.
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        if let Ok(line) = serde_json::from_slice::<Line>(&bytes) {
            last = line.n;
        }
        bytes.clear();
    }
    Ok(last)
}

/// How far a reader is: the last line it saw, and where the next begins.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Position {
    seen: u64,
    segment: u64,
    offset: u64,
}

impl Position {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').map(|part| part.parse::<u64>().ok());
        let (seen, segment, offset) = (parts.next()??, parts.next()??, parts.next()??);
        // `seen + 1` is computed above.
        (parts.next().is_none() && seen < u64::MAX).then_some(Self {
            seen,
            segment,
            offset,
        })
    }

    /// `tail` lines before the end: their numbers have no gaps.
    fn before_end(segments: &[Segment], tail: u64) -> io::Result<Self> {
        Ok(Self {
            seen: last_number(segments)?.saturating_sub(tail),
            ..Self::default()
        })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.seen, self.segment, self.offset)
    }
}

#[cfg(test)]
mod tests;
