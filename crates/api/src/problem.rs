//! Errors on the wire: RFC 9457, "Problem Details for HTTP APIs".

use serde::{Deserialize, Serialize};

/// The media type of [`ProblemDetails`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// An error, as every part of the platform answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Problem"))]
pub struct ProblemDetails {
    /// A stable relative URI, `/problems/<slug>`.
    pub r#type: String,
    /// The kind of problem in a few words, always the same for a type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time and what can be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The path that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// What to quote when asking for help; in the platform's log, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Every fault of a request that was not valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldFault>,
}

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldFault {
    /// Where it is: a JSON pointer (RFC 6901) into the body, or `/<name>` of a parameter.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
    /// `query` or `path` when it is a parameter of either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#in: Option<String>,
}
