//! An application's log: JSON lines in segments, written here, read by anyone who knows the folder.
//!
//! ```text
//! <log_dir>/00000000000000000001.jsonl      named by the number of its first line
//! <log_dir>/00000000000000004711.jsonl      the one being written
//! ```
//!
//! A line is numbered from 1 without gaps over the life of the folder, rotation and restarts included. The
//! oldest segments are deleted; a reader whose cursor points into them goes on with the oldest line there is.

mod pipe;
mod reader;
mod segment;
mod writer;

use serde::{Deserialize, Serialize};

pub(crate) use pipe::GuestPipe;
pub use reader::{LogError, Query, find, read};
pub use writer::{AppLog, LogOptions};

/// The longest text of one line, in bytes; longer ones are cut into several.
pub const MAX_TEXT_BYTES: usize = 16 << 10;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// The guest's standard output.
    Stdout,
    /// The guest's standard error.
    Stderr,
    /// The engine: what failed and why.
    System,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number in this log, from 1, without gaps.
    pub n: u64,
    /// When it was written, RFC 3339 UTC with milliseconds.
    pub time: String,
    /// Where it came from.
    pub stream: Stream,
    /// The component that wrote it or that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The request it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Its text, without a line end.
    pub text: String,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The lines after the cursor, oldest first.
    pub lines: Vec<Line>,
    /// To be given back for what follows. Its form is private.
    pub cursor: String,
}
