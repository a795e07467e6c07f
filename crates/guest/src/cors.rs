//! Which web pages may call the API: none, unless `cors_origins` names their origin.
//!
//! Tokens travel in the Authorization header and never in cookies, so credentials are not allowed for.

use crate::Response;

const ALLOWED_HEADERS: &str =
    "authorization, content-type, if-match, if-none-match, idempotency-key, x-request-id";
const EXPOSED_HEADERS: &str =
    "etag, link, location, ratelimit, ratelimit-policy, retry-after, x-request-id";
/// Browsers cap it at 2 h or less anyway.
const PREFLIGHT_SECONDS: &str = "7200";

/// Adds what lets the page at `origin` read the answer, if it may.
pub(crate) fn allow(response: Response, origin: Option<&str>, allowed: &str) -> Response {
    if allowed.is_empty() {
        return response;
    }
    let response = response.header("vary", "origin");
    let listed = |origin: &str| {
        allowed
            .split(',')
            .map(|known| known.trim().trim_end_matches('/'))
            .any(|known| known == "*" || known == origin)
    };
    match origin.filter(|origin| listed(origin)) {
        Some(origin) => response
            .header("access-control-allow-origin", origin)
            .header("access-control-expose-headers", EXPOSED_HEADERS),
        None => response,
    }
}

/// The answer to `OPTIONS`: which methods there are, and for a preflight what a page may send.
pub(crate) fn options(allow: &str) -> Response {
    Response::no_content()
        .header("allow", allow)
        .header("access-control-allow-methods", allow)
        .header("access-control-allow-headers", ALLOWED_HEADERS)
        .header("access-control-max-age", PREFLIGHT_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_origins_may_read() {
        let origin = Some("https://app.example.com");
        let allowed = |list: &str| {
            allow(Response::no_content(), origin, list)
                .header_value("access-control-allow-origin")
                .map(str::to_owned)
        };
        assert_eq!(allowed(""), None);
        assert_eq!(allowed("https://other.example.com"), None);
        assert_eq!(
            allowed("https://other.example.com, https://app.example.com/").as_deref(),
            origin
        );
        assert_eq!(allowed("*").as_deref(), origin);
    }
}
