//! Answers of the front itself: a small page for browsers, problem+json (RFC 9457) for programs.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use nokube_engine::Body;
use serde_json::json;

/// An answer with `title` as its words; `slug` names the kind of problem.
pub(super) fn problem<B>(
    request: &Request<B>,
    status: StatusCode,
    slug: &str,
    title: &str,
) -> Response<Body> {
    let wants_page = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let (content_type, body) = if wants_page {
        ("text/html; charset=utf-8", page(status, title))
    } else {
        let body = json!({
            "type": format!("/problems/{slug}"),
            "title": title,
            "status": status.as_u16(),
        });
        ("application/problem+json", body.to_string())
    };
    let body = Full::new(Bytes::from(body))
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

/// Every text in it is one of ours.
fn page(status: StatusCode, title: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>body{{font:1rem/1.5 system-ui;margin:20vh auto;max-width:30rem;padding:0 1rem;text-align:center}}</style>\
         <h1>{}</h1><p>{title}.</p></html>",
        status.as_u16()
    )
}
