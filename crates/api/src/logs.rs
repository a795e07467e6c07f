//! Log lines, of builds and of deployments alike.

use serde::{Deserialize, Serialize};

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// The program's standard output.
    Stdout,
    /// The program's standard error.
    Stderr,
    /// The platform itself.
    System,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogLine {
    /// Its number in this log, from 1, without gaps.
    pub n: u64,
    /// When it was written, RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub time: String,
    /// Where it came from.
    pub stream: LogStream,
    /// The component of the application that wrote it or that it is about; builds have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The request it belongs to, as `X-Request-Id` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Its text without a line end, at most 16 KiB.
    pub text: String,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogPage {
    /// The lines after the asked cursor, oldest first.
    pub lines: Vec<LogLine>,
    /// To be given back for what follows.
    pub cursor: String,
    /// Nothing will ever follow.
    pub complete: bool,
}
