//! The log of one build: lines come in from everywhere, one task sends them on in order.
//!
//! The channel is bounded: when the platform does not answer, a chatty build waits, memory does not
//! grow. Lines are numbered here, per lease, so a batch that is sent twice counts once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nokube_api::logs::LogStream;
use nokube_api::runner::{AppendLogs, RunnerLine};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{CallError, Platform};

/// The platform's bounds (`AppendLogs`, `RunnerLine`).
const BATCH_LINES: usize = 500;
const LINE_BYTES: usize = 16 * 1024;
/// A batch stays far below the platform's limit on bodies, JSON escapes included.
const BATCH_BYTES: usize = 256 * 1024;
/// How long a line waits for company.
const FLUSH_EVERY: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Lines that may wait while the platform does not answer.
const QUEUE_LINES: usize = 2000;

/// Where lines go in. Clones write to the same log.
#[derive(Clone)]
pub(crate) struct BuildLog {
    sender: mpsc::Sender<RunnerLine>,
    written: Arc<AtomicU64>,
    limit: u64,
}

impl BuildLog {
    /// Starts the log of one lease. The task ends when every clone is dropped and everything is sent,
    /// or when `lost` says that nobody listens any more; it cancels `lost` itself on 410.
    pub(crate) fn start(
        platform: Platform,
        build_id: String,
        lease_id: String,
        limit: u64,
        lost: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(QUEUE_LINES);
        let task = tokio::spawn(ship(platform, build_id, lease_id, receiver, lost));
        (
            Self {
                sender,
                written: Arc::default(),
                limit,
            },
            task,
        )
    }

    /// A log that nobody reads.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            sender: mpsc::channel(1).0,
            written: Arc::default(),
            limit: 0,
        }
    }

    /// The runner's own words.
    pub(crate) async fn system(&self, text: impl AsRef<str>) {
        for line in text.as_ref().lines() {
            self.write(LogStream::System, line).await;
        }
    }

    /// One line of a program's output.
    pub(crate) async fn write(&self, stream: LogStream, text: &str) {
        let before = self.written.fetch_add(1, Ordering::Relaxed);
        // The runner's own words (few) are kept past the limit: they say how it ended.
        if before >= self.limit && stream != LogStream::System {
            if before == self.limit {
                let note = format!(
                    "the log has {} lines; the build's further output is not kept",
                    self.limit
                );
                drop(self.sender.send(line(LogStream::System, note)).await);
            }
            return;
        }
        // The task is gone only when the lease is lost: nobody would read it.
        drop(self.sender.send(line(stream, clean(text))).await);
    }
}

fn line(stream: LogStream, text: String) -> RunnerLine {
    RunnerLine {
        time: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        stream,
        text,
    }
}

async fn ship(
    platform: Platform,
    build_id: String,
    lease_id: String,
    mut lines: mpsc::Receiver<RunnerLine>,
    lost: CancellationToken,
) {
    let mut first = 1;
    let mut held: Option<RunnerLine> = None;
    loop {
        let next = match held.take() {
            Some(line) => Some(line),
            None => lines.recv().await,
        };
        let Some(line) = next else { return };
        let mut bytes = line.text.len();
        let mut batch = vec![line];
        let full = async {
            while batch.len() < BATCH_LINES {
                match lines.recv().await {
                    Some(line) if bytes + line.text.len() > BATCH_BYTES => {
                        held = Some(line);
                        return;
                    }
                    Some(line) => {
                        bytes += line.text.len();
                        batch.push(line);
                    }
                    None => return,
                }
            }
        };
        drop(tokio::time::timeout(FLUSH_EVERY, full).await);
        let count = batch.len() as u64;
        let logs = AppendLogs {
            lease_id: lease_id.clone(),
            first,
            lines: batch,
        };
        tokio::select! {
            () = deliver(&platform, &build_id, &logs, &lost) => {}
            () = lost.cancelled() => return,
        }
        first += count;
    }
}

/// Sends one batch until the platform has it.
async fn deliver(platform: &Platform, build_id: &str, logs: &AppendLogs, lost: &CancellationToken) {
    let mut pause = Duration::from_millis(100);
    loop {
        match platform.append_logs(build_id, logs).await {
            Ok(()) => return,
            Err(CallError::Gone) => {
                lost.cancel();
                return;
            }
            Err(CallError::Refused(reason)) => {
                tracing::warn!(
                    build = build_id,
                    first = logs.first,
                    reason,
                    "the platform refused log lines; they are lost"
                );
                return;
            }
            Err(CallError::Unreachable(reason)) => {
                tracing::debug!(build = build_id, reason, "log lines will be sent again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }
}

/// A line as it may be shown: no credentials of addresses, no terminal escapes, no control
/// characters, bounded.
pub(crate) fn clean(text: &str) -> String {
    // What a terminal would show of a line that was overwritten in place.
    let text = text.trim_end_matches('\r');
    let text = text.rsplit('\r').next().unwrap_or(text);
    let mut kept = String::with_capacity(text.len().min(LINE_BYTES));
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if kept.len() + 4 > LINE_BYTES - 2 {
            kept.push('…');
            break;
        }
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\t' => kept.push(c),
            c if c.is_control() => kept.push('\u{fffd}'),
            // Direction overrides make a line read as something else.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => kept.push('\u{fffd}'),
            c => kept.push(c),
        }
    }
    mask_userinfo(kept)
}

/// Skips the rest of an ANSI escape sequence (ECMA-48: CSI ends at `@`…`~`, OSC at BEL or ST).
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            for c in chars.by_ref() {
                if ('@'..='~').contains(&c) {
                    return;
                }
            }
        }
        Some(']') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                    return;
                }
            }
        }
        _ => {}
    }
}

/// `https://user:secret@host` becomes `https://***@host`.
fn mask_userinfo(text: String) -> String {
    if !text.contains("://") {
        return text;
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || "/?#'\"<>`".contains(c))
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rfind('@') {
            Some(host) => {
                masked.push_str("***");
                masked.push_str(&authority[host..]);
            }
            None => masked.push_str(authority),
        }
        rest = tail;
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_addresses_are_masked() {
        assert_eq!(
            clean("fatal: 'https://u:p@h.example/x' and http://t@h2/ http://h3"),
            "fatal: 'https://***@h.example/x' and http://***@h2/ http://h3"
        );
        assert_eq!(clean("https://u:p@ss@h/x"), "https://***@h/x");
        assert_eq!(clean("a@b.example"), "a@b.example");
    }

    #[test]
    fn escapes_and_control_characters_are_removed() {
        assert_eq!(
            clean("\u{1b}[1;32mok\u{1b}[0m\u{1b}]0;title\u{7}!\u{0}"),
            "ok!\u{fffd}"
        );
        assert_eq!(clean("10%\r50%\r100%\r"), "100%");
    }

    #[test]
    fn a_line_is_bounded() {
        let long = clean(&"é".repeat(20_000));
        assert!(
            long.len() <= LINE_BYTES && long.ends_with('…'),
            "{}",
            long.len()
        );
    }
}
