//! One request and its answer. Whatever was asked, the answer is checked for what every answer has.

use reqwest::Method;
use serde_json::Value;

/// A request to be sent.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) token: Option<String>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Ask {
    pub(crate) fn new(method: &Method, path: &str) -> Self {
        Self {
            method: method.clone(),
            path: path.to_owned(),
            token: None,
            headers: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn token(mut self, token: Option<&str>) -> Self {
        self.token = token.map(str::to_owned);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        if body.is_null() {
            return self;
        }
        self.header("content-type", "application/json")
            .bytes(body.to_string().into_bytes())
    }

    pub(crate) fn bytes(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }
}

/// What came back.
pub(crate) struct Got {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A problem without what differs from request to request.
    pub(crate) fn words(&self) -> Value {
        let mut problem = self.json();
        if let Some(fields) = problem.as_object_mut() {
            fields.remove("request_id");
            fields.remove("instance");
        }
        problem
    }

    /// What it lacks that every answer of the platform has.
    pub(crate) fn lacks(&self, request_id: &str) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, wanted) in [
            ("x-request-id", request_id),
            (
                "content-security-policy",
                "default-src 'none'; frame-ancestors 'none'",
            ),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ] {
            let found = self.header(name);
            if found != Some(wanted) {
                faults.push(format!("{name} is {found:?}"));
            }
        }
        if self.header("cache-control").is_none() {
            faults.push("has no Cache-Control".to_owned());
        }
        if self.status >= 400 && !self.body.is_empty() {
            let problem = self.json();
            let is_problem = self.header("content-type") == Some("application/problem+json");
            if is_problem && problem["request_id"] != request_id {
                faults.push("a problem with another request id".to_owned());
            }
            if is_problem && problem["status"] != self.status {
                faults.push(format!("a problem of status {}", problem["status"]));
            }
        }
        faults
    }
}
