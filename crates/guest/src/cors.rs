//! Which web pages may call the API: none, unless `cors_origins` names their origin.
//!
//! Tokens travel in the Authorization header and never in cookies, so credentials are not allowed for.

use crate::Response;

const ALLOWED_HEADERS: &str = "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, \
     traceparent, x-request-id";
const EXPOSED_HEADERS: &str = "allow, etag, idempotency-replayed, link, location, ratelimit, ratelimit-policy, \
     retry-after, www-authenticate, x-request-id";
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
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Names of headers that the API's document has anywhere.
    fn documented(of_answers: bool) -> BTreeSet<String> {
        fn collect(value: &Value, of_answers: bool, names: &mut BTreeSet<String>) {
            let Value::Object(object) = value else {
                for one in value.as_array().into_iter().flatten() {
                    collect(one, of_answers, names);
                }
                return;
            };
            if of_answers && object.contains_key("description") {
                let headers = object.get("headers").and_then(Value::as_object);
                names.extend(
                    headers
                        .into_iter()
                        .flat_map(|headers| headers.keys().cloned()),
                );
            }
            if !of_answers && object.get("in").is_some_and(|place| place == "header") {
                names.extend(object["name"].as_str().map(str::to_owned));
            }
            for one in object.values() {
                collect(one, of_answers, names);
            }
        }
        let document = include_str!("../../../docs/openapi.json");
        let document = serde_json::from_str(document).expect("the document is JSON");
        let mut names = BTreeSet::new();
        collect(&document, of_answers, &mut names);
        assert!(names.len() > 2, "{names:?}");
        names.into_iter().map(|name| name.to_lowercase()).collect()
    }

    #[test]
    fn a_page_may_send_and_read_every_header_that_the_document_has() {
        let has = |list: &str, name: &str| list.split(", ").any(|listed| listed == name);
        for name in documented(false) {
            assert!(has(ALLOWED_HEADERS, &name), "{name} cannot be sent");
        }
        // What every page may read: the Fetch standard's safelist.
        for name in documented(true)
            .into_iter()
            .filter(|name| name != "cache-control")
        {
            assert!(has(EXPOSED_HEADERS, &name), "{name} cannot be read");
        }
    }

    #[test]
    fn a_page_may_say_what_its_request_belongs_to() {
        for name in ["traceparent", "x-request-id", "last-event-id"] {
            assert!(
                ALLOWED_HEADERS.split(", ").any(|listed| listed == name),
                "{name}"
            );
        }
    }

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
