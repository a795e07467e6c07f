//! Every error answer: RFC 9457, made here and nowhere else.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::origin;
use crate::check::SpecFault;
use crate::space::is_of_the_disk;

/// What went wrong, for the caller. The inner reasons of a 5xx go to the log where they are met.
#[derive(Debug)]
pub(crate) enum Problem {
    /// No token, or another one.
    Unauthorized,
    /// No such thing.
    NotFound,
    /// Not for this kind of thing.
    MethodNotAllowed,
    /// The body is not what the call wants.
    BadBody(String),
    /// The spec has faults.
    Invalid(Vec<SpecFault>),
    /// Something newer is wanted.
    Conflict(String),
    /// The ticket is altered, of another platform or past its time.
    BadTicket,
    /// The ticket does not allow this.
    WrongTicket,
    /// The ticket was used.
    SpentTicket,
    /// The ticket is being used by another request.
    BusyTicket,
    /// More bytes than the ticket allows.
    TooLarge { max_bytes: u64 },
    /// The body stalled or broke off.
    Incomplete,
    /// The stored bytes are not what they were said to be.
    BadArtifact(String),
    /// Something the sidecar needs does not answer; the caller may try again.
    Unavailable(&'static str),
    /// The disk is full, read-only or failing; the caller may try again later.
    StorageFull,
    /// The sidecar failed.
    Internal,
}

impl Problem {
    /// What becomes of a fault of the file system, which is said in the log here.
    pub(crate) fn of_files(what: &'static str, error: &std::io::Error) -> Self {
        tracing::error!(%error, what);
        if is_of_the_disk(error) {
            Self::StorageFull
        } else if error.kind() == std::io::ErrorKind::NotConnected {
            Self::Unavailable(what)
        } else {
            Self::Internal
        }
    }

    fn parts(&self) -> (StatusCode, &'static str, &'static str, Option<String>) {
        use StatusCode as S;
        match self {
            Self::Unauthorized => (
                S::UNAUTHORIZED,
                "unauthorized",
                "Credentials are needed",
                None,
            ),
            Self::NotFound => (S::NOT_FOUND, "not-found", "Not found", None),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                None,
            ),
            Self::BadBody(detail) => (
                S::BAD_REQUEST,
                "bad-request",
                "The body cannot be read",
                Some(detail.clone()),
            ),
            Self::Invalid(_) => (
                S::UNPROCESSABLE_ENTITY,
                "validation",
                "The spec has faults",
                None,
            ),
            Self::Conflict(detail) => (
                S::CONFLICT,
                "conflict",
                "Conflict with the present state",
                Some(detail.clone()),
            ),
            Self::BadTicket => (
                S::FORBIDDEN,
                "ticket-invalid",
                "The address is not valid or no longer valid",
                None,
            ),
            Self::WrongTicket => (
                S::FORBIDDEN,
                "ticket-other-use",
                "The address is for something else",
                None,
            ),
            Self::SpentTicket => (
                S::GONE,
                "ticket-spent",
                "The address was used already",
                None,
            ),
            Self::BusyTicket => (
                S::CONFLICT,
                "ticket-busy",
                "The address is being used",
                None,
            ),
            Self::TooLarge { max_bytes } => (
                S::PAYLOAD_TOO_LARGE,
                "too-large",
                "Too large",
                Some(format!("at most {max_bytes} bytes are allowed")),
            ),
            Self::Incomplete => (
                S::REQUEST_TIMEOUT,
                "incomplete",
                "The body stalled or broke off",
                None,
            ),
            Self::BadArtifact(detail) => (
                S::UNPROCESSABLE_ENTITY,
                "artifact-invalid",
                "Not a usable artifact",
                Some(detail.clone()),
            ),
            Self::Unavailable(what) => (
                S::SERVICE_UNAVAILABLE,
                "unavailable",
                "Try again",
                Some((*what).to_owned()),
            ),
            Self::StorageFull => (
                S::SERVICE_UNAVAILABLE,
                "storage-full",
                "No space to store it",
                Some("the platform's disk is full or cannot be written now".to_owned()),
            ),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error", None),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, slug, title, detail) = self.parts();
        let request_id = origin::request_id();
        let mut body = json!({
            "type": format!("/problems/{slug}"),
            "title": title,
            "status": status.as_u16(),
            "detail": detail.as_deref().unwrap_or(title),
            // Not the path, as elsewhere: a blob's holds its ticket, and answers are kept and shown.
            "instance": format!("urn:nokube:request:{request_id}"),
            "request_id": request_id,
        });
        if let Self::Invalid(faults) = &self {
            body["errors"] = faults
                .iter()
                .map(|fault| json!({ "pointer": fault.pointer, "detail": fault.detail }))
                .collect();
        }
        if status.is_server_error() {
            tracing::warn!(
                request_id,
                status = status.as_u16(),
                slug,
                "answered an error"
            );
        } else {
            tracing::info!(request_id, status = status.as_u16(), slug, "refused");
        }
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            headers.insert("x-request-id", value);
        }
        match self {
            Self::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Unavailable(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::StorageFull => {
                // Somebody has to make room first.
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
            }
            _ => {}
        }
        response
    }
}

pub(crate) async fn not_found() -> Problem {
    Problem::NotFound
}

pub(crate) async fn method_not_allowed() -> Problem {
    Problem::MethodNotAllowed
}
