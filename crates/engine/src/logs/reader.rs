//! Reading a log by cursor, while it is being written or not.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::segment::Segment;
use super::{Line, Page};

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

/// The lines after `cursor`, `limit` of them at most. Without a cursor it begins with the oldest line; a
/// folder that does not exist (yet) is an empty log.
///
/// # Errors
///
/// When the cursor is not one of ours or a file cannot be read.
pub fn read(dir: &Path, cursor: Option<&str>, limit: usize) -> Result<Page, LogError> {
    let mut position = match cursor {
        Some(text) => Position::parse(text).ok_or(LogError::Cursor)?,
        None => Position::default(),
    };
    let segments = Segment::list(dir).map_err(LogError::Io)?;
    let mut lines = Vec::new();
    // The segment the cursor is in is the last that begins at or before the next line.
    let start = segments
        .iter()
        .rposition(|segment| segment.first <= position.seen + 1)
        .unwrap_or(0);
    for segment in segments.iter().skip(start) {
        if lines.len() >= limit {
            break;
        }
        match read_segment(segment, &mut position, limit, &mut lines) {
            Ok(()) => {}
            // Rotated away between listing and opening.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LogError::Io(error)),
        }
    }
    Ok(Page {
        lines,
        cursor: position.to_string(),
    })
}

fn read_segment(
    segment: &Segment,
    position: &mut Position,
    limit: usize,
    lines: &mut Vec<Line>,
) -> io::Result<()> {
    // The folder belongs to the process that runs guests, the reader may be another user: no link leads it
    // elsewhere, and nothing but a file is read.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(&segment.path)?;
    if !file.metadata()?.is_file() {
        return Ok(());
    }
    let mut offset = 0;
    if position.segment == segment.first && position.offset <= file.metadata()?.len() {
        offset = position.offset;
        file.seek(SeekFrom::Start(offset))?;
    }
    let mut reader = BufReader::new(file);
    let mut bytes = Vec::new();
    while lines.len() < limit {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes)?;
        // Without its line end a line is still being written.
        if length == 0 || bytes.last() != Some(&b'\n') {
            break;
        }
        offset += length as u64;
        // A line that is not ours (a damaged disk) is passed over: the rest is worth reading.
        let Ok(line) = serde_json::from_slice::<Line>(&bytes) else {
            continue;
        };
        if line.n > position.seen {
            *position = Position {
                seen: line.n,
                segment: segment.first,
                offset,
            };
            lines.push(line);
        }
    }
    Ok(())
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
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.seen, self.segment, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AppLog, LogOptions, Stream};
    use super::*;

    #[test]
    fn a_cursor_goes_on_over_rotation() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = LogOptions {
            segment_bytes: 400,
            segments: 100,
            ..LogOptions::default()
        };
        let log = AppLog::new(dir.path().to_owned(), options);
        let mut cursor = None;
        let mut seen = Vec::new();
        for i in 1..=25_u64 {
            log.write(Stream::Stderr, Some("web"), None, &format!("{i}"));
            if i % 4 == 0 {
                let page = read(dir.path(), cursor.as_deref(), 3).expect("readable");
                seen.extend(page.lines.iter().map(|line| line.n));
                cursor = Some(page.cursor);
            }
        }
        let rest = read(dir.path(), cursor.as_deref(), 100).expect("readable");
        seen.extend(rest.lines.iter().map(|line| line.n));
        assert_eq!(seen, (1..=25).collect::<Vec<_>>());
        let nothing = read(dir.path(), Some(&rest.cursor), 100).expect("readable");
        assert!(nothing.lines.is_empty());
        assert_eq!(nothing.cursor, rest.cursor);
    }

    #[test]
    fn a_cursor_of_another_kind_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        for cursor in [
            "",
            "x",
            "1-2",
            "1-2-3-4",
            "18446744073709551615-0-0",
            "-1-0-0",
        ] {
            assert!(
                matches!(read(dir.path(), Some(cursor), 1), Err(LogError::Cursor)),
                "{cursor}"
            );
        }
        assert!(
            read(&dir.path().join("none"), None, 1)
                .expect("empty")
                .lines
                .is_empty()
        );
    }
}
