//! Answers of the front itself: a small page for browsers, problem+json (RFC 9457) for programs.

use http::{HeaderValue, Request, Response, StatusCode, header};
use nokube_engine::Body;
use nokube_engine::problem::{Problem, answer};

/// A page of our own making may have its own style, and nothing else.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
/// `X-Request-Id`, which the front has settled before anybody answers.
const REQUEST_ID: &str = "x-request-id";

/// Why the front answers in the place of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The host name belongs to nobody.
    NoSuchApplication,
    /// The application is there and does not serve, for this reason.
    Unavailable(&'static str),
    /// Too many requests are under way to the application.
    Busy,
    /// The tenants' process broke off.
    Failed,
    /// The request's target cannot be passed on.
    BadTarget,
}

impl Refusal {
    fn words(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Self::NoSuchApplication => (
                StatusCode::NOT_FOUND,
                "no-such-application",
                "No application answers here",
                "No application has this host name.",
            ),
            Self::Unavailable(why) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "application-unavailable",
                "The application does not answer",
                why,
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "Too many requests at once",
                "The application has as many requests as it may have at once.",
            ),
            Self::Failed => (
                StatusCode::BAD_GATEWAY,
                "application-failed",
                "The application failed",
                "It ended before it answered. The request may be sent again.",
            ),
            Self::BadTarget => (
                StatusCode::BAD_REQUEST,
                "bad-request",
                "The request cannot be understood",
                "The path cannot be asked for.",
            ),
        }
    }

    /// The answer to `request`.
    pub(super) fn response<B>(self, request: &Request<B>) -> Response<Body> {
        let (status, slug, title, detail) = self.words();
        let text = |name| request.headers().get(name)?.to_str().ok();
        let request_id = text(REQUEST_ID).unwrap_or_default();
        let wants_page = text("accept").is_some_and(|accept| accept.contains("text/html"));
        let mut response = if wants_page {
            let page = page(status, title, detail, request_id);
            let mut response = answer(status, "text/html; charset=utf-8", page, request_id);
            response.headers_mut().insert(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(PAGE_POLICY),
            );
            response
        } else {
            let problem = Problem {
                status,
                slug,
                title,
                detail,
                instance: request.uri().path(),
                request_id,
            };
            problem.response()
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let retry = HeaderValue::from_static("2");
            response.headers_mut().insert(header::RETRY_AFTER, retry);
        }
        response
    }
}

/// Every text in it is one of ours; a settled id has no character that means something in HTML.
fn page(status: StatusCode, title: &str, detail: &str, request_id: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>body{{font:1rem/1.5 system-ui;margin:20vh auto;max-width:30rem;padding:0 1rem;text-align:center}}</style>\
         <h1>{}</h1><p>{title}.</p><p>{detail}</p><p><small>Request {request_id}</small></p></html>",
        status.as_u16()
    )
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const ALL: [Refusal; 5] = [
        Refusal::NoSuchApplication,
        Refusal::Unavailable("The application is stopped."),
        Refusal::Busy,
        Refusal::Failed,
        Refusal::BadTarget,
    ];

    async fn ask(refusal: Refusal, accept: &str) -> (http::response::Parts, String) {
        let request = Request::get("http://x.test/pay?card=1")
            .header("accept", accept)
            .header("x-request-id", "r-1")
            .body(())
            .unwrap();
        let (parts, body) = refusal.response(&request).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_program_gets_a_whole_problem() {
        for refusal in ALL {
            let (head, body) = ask(refusal, "*/*").await;
            let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(problem["status"], head.status.as_u16());
            assert_eq!(problem["instance"], "/pay");
            assert_eq!(problem["request_id"], "r-1");
            for field in ["type", "title", "detail"] {
                assert!(problem[field].is_string(), "{field}: {problem}");
            }
            assert_eq!(
                head.headers[header::CONTENT_TYPE],
                "application/problem+json"
            );
        }
    }

    #[tokio::test]
    async fn every_answer_has_its_security_headers_and_the_requests_id() {
        for refusal in ALL {
            for accept in ["text/html,*/*", "application/json"] {
                let (head, _) = ask(refusal, accept).await;
                assert_eq!(head.headers["x-request-id"], "r-1");
                assert_eq!(head.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
                let policy = head.headers[header::CONTENT_SECURITY_POLICY].to_str();
                assert!(policy.unwrap().starts_with("default-src 'none';"));
            }
        }
    }

    #[tokio::test]
    async fn who_is_told_that_something_is_down_is_told_when_to_come_back() {
        for refusal in ALL {
            let (head, _) = ask(refusal, "*/*").await;
            let is_down = head.status == StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!(head.headers.contains_key(header::RETRY_AFTER), is_down);
        }
    }

    #[test]
    fn every_problem_is_in_the_document() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/PROBLEMS.md");
        let document = std::fs::read_to_string(path).unwrap();
        let (_, document) = document.split_once("In front of the applications").unwrap();
        let (document, _) = document.split_once("At the one-time addresses").unwrap();
        for refusal in ALL {
            let (status, slug, ..) = refusal.words();
            let row = format!("| `{slug}` | {} |", status.as_u16());
            assert!(document.contains(&row), "{row}");
        }
    }
}
