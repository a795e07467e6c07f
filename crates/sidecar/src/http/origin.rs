//! Which request something is done for: one id from the edge to every line of the log and every call that follows.
//!
//! What the front settled (or the platform's component sent on) is taken; alone, the sidecar makes one. It is in the
//! log's span, in every answer, and with `traceparent` (W3C Trace Context) in what the platform is asked.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use nokube_domain::is_harmless_request_id;
use tracing::Instrument as _;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// Version 00 has 55 (W3C Trace Context, section 3.2); later ones may have more.
const TRACE_PARENT_CHARS: usize = 128;

tokio::task_local! {
    static ORIGIN: Origin;
}

#[derive(Clone)]
struct Origin {
    id: String,
    trace_parent: Option<HeaderValue>,
}

/// Runs a request with its id, and puts it into the answer.
pub(crate) async fn settle(request: Request, next: Next) -> Response {
    let origin = Origin::of(request.headers());
    let span = tracing::info_span!("request", request_id = origin.id);
    let id = HeaderValue::from_str(&origin.id);
    let mut response = ORIGIN
        .scope(origin, next.run(request))
        .instrument(span)
        .await;
    if let Ok(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The id of the request that is being answered; outside of one, a new one.
pub(crate) fn request_id() -> String {
    ORIGIN
        .try_with(|origin| origin.id.clone())
        .unwrap_or_else(|_| uuid::Uuid::now_v7().to_string())
}

/// A call that is made because of the request that is being answered.
pub(crate) fn pass_on(call: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    let Ok(origin) = ORIGIN.try_with(Origin::clone) else {
        return call;
    };
    let call = call.header(REQUEST_ID.as_str(), origin.id);
    match origin.trace_parent {
        Some(parent) => call.header(TRACE_PARENT.as_str(), parent),
        None => call,
    }
}

impl Origin {
    fn of(headers: &HeaderMap) -> Self {
        let given = headers
            .get(REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|id| is_harmless_request_id(id));
        Self {
            id: given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned),
            trace_parent: headers
                .get(TRACE_PARENT)
                .filter(|parent| parent.len() <= TRACE_PARENT_CHARS)
                .cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_forge_a_line_of_the_log_is_replaced() {
        let of = |id: &'static str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(id))]);
            Origin::of(&headers).id
        };
        assert_eq!(of("abc-1.2_3"), "abc-1.2_3");
        for id in ["", "a b", "a\"b"] {
            assert_ne!(of(id), id);
        }
    }
}
