//! Answers that say what is wrong: RFC 9457.

use std::error::Error as StdError;

use nokube_api::problem::{FieldFault, PROBLEM_JSON, ProblemDetails};

use crate::Response;

/// A problem on its way to the client.
///
/// Each component makes its problems in one place, `error.rs`, from an exhaustive match.
#[derive(Debug, Clone)]
pub struct Problem {
    status: u16,
    slug: &'static str,
    title: &'static str,
    detail: Option<String>,
    errors: Vec<FieldFault>,
    headers: Vec<(&'static str, String)>,
    /// What happened inside, for the log alone.
    cause: Option<String>,
}

impl Problem {
    /// A problem. `slug` names its type (`/problems/<slug>`) and never changes; `title` belongs to the slug.
    #[must_use]
    pub fn new(status: u16, slug: &'static str, title: &'static str) -> Self {
        Self {
            status,
            slug,
            title,
            detail: None,
            errors: Vec::new(),
            headers: Vec::new(),
            cause: None,
        }
    }

    /// 500. What happened goes to the log; the client gets general words and the request id.
    #[must_use]
    pub fn internal(error: &dyn StdError) -> Self {
        Self::new(500, "internal", "Internal error")
            .detail("Something went wrong on our side. Quote the request id when asking for help.")
            .cause(error)
    }

    /// 503. A dependency is down: retry.
    #[must_use]
    pub fn unavailable(error: &dyn StdError) -> Self {
        Self::new(503, "unavailable", "Temporarily unavailable")
            .detail("A part of the platform does not answer at the moment. Try again shortly.")
            .header("retry-after", "1")
            .cause(error)
    }

    /// What went wrong this time and what can be done.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The faults of a request.
    #[must_use]
    pub fn errors(mut self, errors: Vec<FieldFault>) -> Self {
        self.errors = errors;
        self
    }

    /// A header; the name in lower case.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Keeps an error and all below it for the log.
    #[must_use]
    pub fn cause(mut self, error: &dyn StdError) -> Self {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            chain.push_str(": ");
            chain.push_str(&inner.to_string());
            source = inner.source();
        }
        self.cause = Some(chain);
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn log_text(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    pub(crate) fn into_response(self, path: &str, request_id: &str) -> Response {
        let details = ProblemDetails {
            r#type: format!("/problems/{}", self.slug),
            title: self.title.to_owned(),
            status: self.status,
            detail: self.detail,
            instance: Some(path.to_owned()),
            request_id: Some(request_id.to_owned()),
            errors: self.errors,
        };
        let bytes = serde_json::to_vec(&details).expect("problem details are plain strings");
        let mut response = Response::bytes(self.status, PROBLEM_JSON, bytes);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response
    }
}
