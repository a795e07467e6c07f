//! Answers that are not an application's but of what runs it: problems (RFC 9457) and the headers of all of them.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};

use crate::Body;
use crate::request::REQUEST_ID;

/// What an answer of ours has unless it says otherwise: it is for whoever asked and changes, and it is data. No page,
/// no script, no frame, even where a browser thinks otherwise.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Adds the headers of an answer of ours that it does not have yet, and the id of its request.
pub fn finish(headers: &mut HeaderMap, request_id: &str) {
    for (name, value) in HEADERS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.entry(REQUEST_ID).or_insert(id);
    }
}

/// A problem on its way to a client. None of its words tell what is inside an application.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// Status of the answer.
    pub status: StatusCode,
    /// The last part of its type, which programs go by.
    pub slug: &'a str,
    /// The same words for every problem of this type.
    pub title: &'a str,
    /// A sentence for people.
    pub detail: &'a str,
    /// The path that was asked for.
    pub instance: &'a str,
    /// The request, as the log names it.
    pub request_id: &'a str,
}

impl Problem<'_> {
    /// The answer.
    pub fn response(&self) -> Response<Body> {
        let body = serde_json::json!({
            "type": format!("/problems/{}", self.slug),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "instance": self.instance,
            "request_id": self.request_id,
        });
        answer(
            self.status,
            "application/problem+json",
            body.to_string(),
            self.request_id,
        )
    }
}

/// An answer of ours of another type.
pub fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: String,
    request_id: &str,
) -> Response<Body> {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    finish(headers, request_id);
    response
}
