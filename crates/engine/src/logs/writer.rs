//! Appending to a log, bounded in rate and size.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::segment::Segment;
use super::{Line, MAX_TEXT_BYTES, Stream};

/// Bounds of one application's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// Bytes after which a new segment is begun.
    pub segment_bytes: u64,
    /// Segments kept.
    pub segments: usize,
    /// Bytes per second that are kept on average; what is above is counted and dropped.
    pub bytes_per_second: u64,
    /// Bytes that may come at once.
    pub burst_bytes: u64,
    /// The same for lines of the engine about the application, which it causes: a guest is refused an address, traps,
    /// runs out of time. Counted apart, so that neither hides the other.
    pub system_bytes_per_second: u64,
    /// Bytes of such lines that may come at once.
    pub system_burst_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            // 8 × 2 MiB: about 100,000 ordinary lines.
            segment_bytes: 2 << 20,
            segments: 8,
            bytes_per_second: 256 << 10,
            burst_bytes: 2 << 20,
            system_bytes_per_second: 32 << 10,
            system_burst_bytes: 256 << 10,
        }
    }
}

/// The one writer of a log. It opens its file at the first line, so an idle application costs nothing.
///
/// Writing never fails for the caller: a disk that is full must not take an application down. The first
/// failure is reported to the process' own log.
pub struct AppLog {
    dir: PathBuf,
    options: LogOptions,
    state: Mutex<State>,
}

struct State {
    open: Option<Open>,
    guest: Bucket,
    system: Bucket,
    failed: bool,
}

/// What may be written, by a rate.
struct Bucket {
    per_second: u64,
    most: u64,
    tokens: f64,
    filled: Instant,
    dropped: u64,
}

impl Bucket {
    fn new(per_second: u64, most: u64) -> Self {
        Self {
            per_second,
            most,
            tokens: most as f64,
            filled: Instant::now(),
            dropped: 0,
        }
    }

    /// Whether there is room for a line that costs so much; else it is counted.
    fn take(&mut self, cost: f64) -> bool {
        let now = Instant::now();
        let gained = now.duration_since(self.filled).as_secs_f64() * self.per_second as f64;
        self.tokens = (self.tokens + gained).min(self.most as f64);
        self.filled = now;
        if self.tokens < cost {
            self.dropped += 1;
            return false;
        }
        self.tokens -= cost;
        true
    }
}

struct Open {
    file: File,
    size: u64,
    next: u64,
}

impl AppLog {
    /// A log in `dir`, which is made when the first line is written.
    pub fn new(dir: PathBuf, options: LogOptions) -> Self {
        let guest = Bucket::new(options.bytes_per_second, options.burst_bytes);
        let system = Bucket::new(options.system_bytes_per_second, options.system_burst_bytes);
        Self {
            dir,
            options,
            state: Mutex::new(State {
                open: None,
                guest,
                system,
                failed: false,
            }),
        }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A line of the engine itself.
    pub fn system(&self, component: Option<&str>, request_id: Option<&str>, text: &str) {
        self.write(Stream::System, component, request_id, text);
    }

    /// Adds `text`, cut at line ends and at [`MAX_TEXT_BYTES`].
    pub fn write(
        &self,
        stream: Stream,
        component: Option<&str>,
        request_id: Option<&str>,
        text: &str,
    ) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines() {
            for piece in pieces(line) {
                self.write_piece(&mut state, stream, component, request_id, piece);
            }
        }
    }

    fn write_piece(
        &self,
        state: &mut State,
        stream: Stream,
        component: Option<&str>,
        request_id: Option<&str>,
        text: &str,
    ) {
        // 128: the frame of a line (number, time, ids) costs disk space too, so empty lines are not free.
        let cost = (text.len() + 128) as f64;
        let bucket = match stream {
            Stream::System => &mut state.system,
            Stream::Stdout | Stream::Stderr => &mut state.guest,
        };
        if !bucket.take(cost) {
            return;
        }
        self.note_dropped(state);
        self.append(state, stream, component, request_id, text);
    }

    /// Tells what was dropped since the last line.
    fn note_dropped(&self, state: &mut State) {
        let dropped = std::mem::take(&mut state.guest.dropped);
        if dropped > 0 {
            let note = format!(
                "{dropped} lines were dropped: this application writes more than {} bytes per second",
                self.options.bytes_per_second
            );
            self.append(state, Stream::System, None, None, &note);
        }
        let dropped = std::mem::take(&mut state.system.dropped);
        if dropped > 0 {
            let note = format!(
                "{dropped} remarks about this application were dropped: they came to more than {} bytes per second",
                self.options.system_bytes_per_second
            );
            self.append(state, Stream::System, None, None, &note);
        }
    }

    fn append(
        &self,
        state: &mut State,
        stream: Stream,
        component: Option<&str>,
        request_id: Option<&str>,
        text: &str,
    ) {
        if let Err(error) = self.try_append(state, stream, component, request_id, text) {
            state.open = None;
            if !std::mem::replace(&mut state.failed, true) {
                tracing::warn!(dir = %self.dir.display(), %error, "an application's log cannot be written");
            }
        }
    }

    fn try_append(
        &self,
        state: &mut State,
        stream: Stream,
        component: Option<&str>,
        request_id: Option<&str>,
        text: &str,
    ) -> io::Result<()> {
        let mut open = match state.open.take() {
            Some(open) if open.size < self.options.segment_bytes => open,
            Some(full) => self.begin_segment(full.next)?,
            None => self.reopen()?,
        };
        let mut bytes = serde_json::to_vec(&Line {
            n: open.next,
            time: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            stream,
            component: component.map(str::to_owned),
            request_id: request_id.map(str::to_owned),
            text: text.to_owned(),
        })?;
        bytes.push(b'\n');
        // One write per line: a reader sees whole lines, except after a crash, which `reopen` mends.
        open.file.write_all(&bytes)?;
        open.size += bytes.len() as u64;
        open.next += 1;
        state.open = Some(open);
        Ok(())
    }

    fn begin_segment(&self, first: u64) -> io::Result<Open> {
        let segment = Segment::new(&self.dir, first);
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&segment.path)?;
        let segments = Segment::list(&self.dir)?;
        let surplus = segments.len().saturating_sub(self.options.segments.max(1));
        for old in segments.into_iter().take(surplus) {
            std::fs::remove_file(&old.path)?;
        }
        Ok(Open {
            file,
            size: 0,
            next: first,
        })
    }

    /// Goes on where an earlier process stopped. A line it did not finish is cut off.
    fn reopen(&self) -> io::Result<Open> {
        std::fs::create_dir_all(&self.dir)?;
        let Some(segment) = Segment::list(&self.dir)?.pop() else {
            return self.begin_segment(1);
        };
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&segment.path)?;
        let mut whole = 0;
        let mut next = segment.first;
        let mut line = Vec::new();
        let mut reader = BufReader::new(&mut file);
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if length == 0 || line.last() != Some(&b'\n') {
                break;
            }
            whole += length as u64;
            next += 1;
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Open {
            file,
            size: whole,
            next,
        })
    }
}

/// `line` in pieces of at most [`MAX_TEXT_BYTES`], cut between characters.
fn pieces(mut line: &str) -> impl Iterator<Item = &str> {
    let mut first = true;
    std::iter::from_fn(move || {
        if line.is_empty() && !std::mem::take(&mut first) {
            return None;
        }
        first = false;
        let (piece, rest) = line.split_at(line.floor_char_boundary(MAX_TEXT_BYTES));
        line = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    fn small(dir: &Path) -> AppLog {
        let options = LogOptions {
            segment_bytes: 1_000,
            segments: 3,
            ..LogOptions::default()
        };
        AppLog::new(dir.to_owned(), options)
    }

    #[test]
    fn numbers_go_on_after_rotation_and_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = small(dir.path());
        for i in 0..30 {
            log.write(Stream::Stdout, Some("api"), Some("r"), &format!("line {i}"));
        }
        drop(log);
        let log = small(dir.path());
        log.system(None, None, "again");
        let page = read(dir.path(), None, 1_000).expect("readable");
        let last = page.lines.last().expect("lines");
        assert_eq!((last.n, last.text.as_str()), (31, "again"));
        assert!(page.lines.windows(2).all(|pair| pair[1].n == pair[0].n + 1));
        assert!(page.lines[0].n > 1, "old segments are gone");
    }

    #[test]
    fn an_unfinished_line_of_a_crash_is_cut_off() {
        let dir = tempfile::tempdir().expect("a folder");
        small(dir.path()).system(None, None, "one");
        let path = &Segment::list(dir.path()).expect("listed")[0].path;
        let mut file = OpenOptions::new().append(true).open(path).expect("open");
        file.write_all(b"{\"n\":2,\"time\":\"20").expect("written");
        small(dir.path()).system(None, None, "two");
        let page = read(dir.path(), None, 10).expect("readable");
        let texts: Vec<_> = page
            .lines
            .iter()
            .map(|line| (line.n, line.text.as_str()))
            .collect();
        assert_eq!(texts, [(1, "one"), (2, "two")]);
    }

    #[test]
    fn what_is_written_too_fast_is_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = LogOptions {
            bytes_per_second: 1,
            burst_bytes: 1_000,
            ..LogOptions::default()
        };
        let log = AppLog::new(dir.path().to_owned(), options);
        for _ in 0..100 {
            log.write(Stream::Stdout, None, None, "spam");
        }
        log.system(None, None, "end");
        let page = read(dir.path(), None, 1_000).expect("readable");
        assert!(page.lines.len() < 20);
        assert!(
            page.lines
                .iter()
                .any(|line| line.text.contains("lines were dropped"))
        );
    }

    #[test]
    fn remarks_that_a_guest_causes_too_fast_are_counted_too() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = LogOptions {
            system_bytes_per_second: 1,
            system_burst_bytes: 1_000,
            ..LogOptions::default()
        };
        let log = AppLog::new(dir.path().to_owned(), options);
        for _ in 0..100 {
            log.system(None, None, "refused: a request to an address");
        }
        log.write(Stream::Stdout, None, None, "its own words");
        let page = read(dir.path(), None, 1_000).expect("readable");
        assert!(page.lines.len() < 20, "{:#?}", page.lines);
        let has = |words: &str| page.lines.iter().any(|line| line.text.contains(words));
        assert!(has("remarks about this application were dropped"));
        assert!(has("its own words"));
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let line = "é".repeat(MAX_TEXT_BYTES);
        let cut: Vec<_> = pieces(&line).collect();
        assert_eq!(cut.concat(), line);
        assert!(cut.iter().all(|piece| piece.len() <= MAX_TEXT_BYTES));
        assert_eq!(pieces("").collect::<Vec<_>>(), [""]);
    }
}
