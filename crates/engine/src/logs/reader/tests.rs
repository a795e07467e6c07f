//! Reading logs.

use super::super::{AppLog, LogOptions, MAX_TEXT_BYTES, Stream};
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

/// `count` lines of which every hundredth says `error`, in segments of some ten lines.
fn long_log(dir: &Path, count: u64) {
    let options = LogOptions {
        segment_bytes: 1_000,
        segments: 10_000,
        burst_bytes: 100 << 20,
        ..LogOptions::default()
    };
    let log = AppLog::new(dir.to_owned(), options);
    for i in 1..=count {
        let text = if i % 100 == 0 { "An Error" } else { "fine" };
        log.write(Stream::Stdout, None, None, text);
    }
}

fn numbers(page: &Page) -> Vec<u64> {
    page.lines.iter().map(|line| line.n).collect()
}

#[test]
fn what_is_looked_for_is_found_behind_any_number_of_other_lines() {
    let dir = tempfile::tempdir().expect("a folder");
    long_log(dir.path(), 1_000);
    let query = Query {
        contains: Some("ERROR"),
        limit: 3,
        ..Query::default()
    };
    let first = find(dir.path(), &query).expect("readable");
    assert_eq!(numbers(&first), [100, 200, 300]);
    let query = Query {
        cursor: Some(&first.cursor),
        limit: 100,
        ..query
    };
    let rest = find(dir.path(), &query).expect("readable");
    assert_eq!(numbers(&rest).len(), 7);
    let query = Query {
        cursor: Some(&rest.cursor),
        ..query
    };
    let end = find(dir.path(), &query).expect("readable");
    assert_eq!((numbers(&end), end.cursor), (vec![], rest.cursor));
}

#[test]
fn a_page_reads_a_bounded_piece_and_its_cursor_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = LogOptions {
        burst_bytes: 100 << 20,
        ..LogOptions::default()
    };
    let log = AppLog::new(dir.path().to_owned(), options);
    let long = "x".repeat(MAX_TEXT_BYTES);
    // 10 MiB, then what is looked for; in between a piece that is no log.
    for _ in 0..600 {
        log.write(Stream::Stdout, None, None, &long);
    }
    let damaged = &Segment::list(dir.path()).expect("listed")[1].path;
    let size = std::fs::metadata(damaged).expect("a file").len();
    let garbage = "garbage\n".repeat(usize::try_from(size / 8).expect("small"));
    std::fs::write(damaged, garbage).expect("written");
    log.write(Stream::Stdout, None, None, "needle");
    let (mut cursor, mut pages) = (None::<String>, 0);
    let found = loop {
        let query = Query {
            cursor: cursor.as_deref(),
            contains: Some("needle"),
            limit: 10,
            ..Query::default()
        };
        let page = find(dir.path(), &query).expect("readable");
        if !page.lines.is_empty() {
            break page;
        }
        assert_ne!(cursor.as_ref(), Some(&page.cursor), "it goes on");
        cursor = Some(page.cursor);
        pages += 1;
    };
    assert_eq!(numbers(&found), [601]);
    assert!((2..=4).contains(&pages), "{pages} pages");
}

#[test]
fn lines_since_a_time_are_sought_and_not_scanned_for() {
    let dir = tempfile::tempdir().expect("a folder");
    // Ten segments of 1.9 MB, one line each, one second apart.
    for n in 1..=10_u64 {
        let line = Line {
            n,
            time: format!("2026-01-31T09:30:{n:02}.000Z"),
            stream: Stream::Stdout,
            component: None,
            request_id: None,
            text: "x".repeat(100_000),
        };
        let mut json = serde_json::to_vec(&line).expect("JSON");
        json.extend(b"\n");
        let padding = "padding\n".repeat(225_000);
        json.extend(padding.as_bytes());
        std::fs::write(Segment::new(dir.path(), n).path, json).expect("written");
    }
    let since = DateTime::parse_from_rfc3339("2026-01-31T10:30:09+01:00").expect("a time");
    let query = Query {
        since_ms: Some(since.timestamp_millis()),
        limit: 10,
        ..Query::default()
    };
    let page = find(dir.path(), &query).expect("readable");
    assert_eq!(numbers(&page)[0], 9, "one page is enough");
    let late = Query {
        since_ms: Some(since.timestamp_millis() + 60_000),
        ..query
    };
    assert!(find(dir.path(), &late).expect("readable").lines.is_empty());
}

#[test]
fn a_log_may_be_begun_some_lines_before_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    long_log(dir.path(), 250);
    let tail = |tail, contains| {
        let query = Query {
            tail: Some(tail),
            contains,
            limit: 1_000,
            ..Query::default()
        };
        numbers(&find(dir.path(), &query).expect("readable"))
    };
    assert_eq!(tail(3, None), [248, 249, 250]);
    assert_eq!(tail(0, None), Vec::<u64>::new());
    assert_eq!(tail(1_000, None).len(), 250);
    assert_eq!(tail(100, Some("error")), [200]);
    let empty = Query {
        tail: Some(1),
        limit: 1,
        ..Query::default()
    };
    let page = find(&dir.path().join("none"), &empty).expect("empty");
    assert!(page.lines.is_empty());
}
