//! What a call of the Kubernetes API came to when it did not go well.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use nokube_sidecar::TargetError;
use serde::Deserialize;

/// What SpinKube's admission says of a `SpinApp` whose executor was made a moment ago: it reads executors from a cache.
const EXECUTOR_UNKNOWN: &str = "executor does not exist in namespace";
/// Bytes of a message that are passed on: some webhooks write pages.
const MOST_MESSAGE_BYTES: usize = 500;

/// A call that failed, after it was repeated where that could help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The cluster answered, and not what was hoped for.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// No answer.
    #[error("the cluster's API {0}")]
    Unreachable(&'static str),
    /// It was not asked: this sidecar does not lead any more.
    #[error("another sidecar has taken over")]
    Superseded,
}

/// An answer that is not 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) why: Why,
    /// In the cluster's words, shortened.
    pub(crate) message: String,
    /// When it may be tried again.
    pub(crate) retry_after: Option<Duration>,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// There is no such object.
    NotFound,
    /// The namespace is not there.
    NoNamespace,
    /// The cluster has no such kind of object.
    NoSuchKind,
    /// Another client changed it at the same time.
    Conflict,
    /// It is there already.
    Exists,
    /// Another field manager holds fields of it.
    FieldsHeld,
    /// The point from which to go on is forgotten: begin anew.
    Gone,
    /// Too much to do, or not well: later.
    Busy,
    /// An admission webhook or policy said no.
    Denied,
    /// The namespace's quota is used up.
    QuotaUsedUp,
    /// The sidecar may not do that.
    NotAllowed,
    /// The namespace is being removed.
    Terminating,
    /// The cluster does not understand it, or finds it wrong.
    Invalid,
}

/// The `Status` object of the API, as far as it is of use.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusBody {
    kind: String,
    message: String,
    reason: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    name: String,
    kind: String,
    causes: Vec<Cause>,
    retry_after_seconds: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Refusal {
    /// Reads an answer. Whatever it is, it is one: some come from proxies and are no `Status`.
    pub(crate) fn read(code: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let status = serde_json::from_slice::<StatusBody>(body)
            .ok()
            .filter(|status| status.kind == "Status");
        let in_header = headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
        let in_body = status
            .as_ref()
            .and_then(|status| status.details.as_ref())
            .map(|details| details.retry_after_seconds)
            .filter(|seconds| *seconds > 0);
        Self {
            why: why(code.as_u16(), status.as_ref()),
            message: match status {
                Some(status) if !status.message.is_empty() => shortened(&status.message),
                _ => format!("the cluster's API answered {}", code.as_u16()),
            },
            retry_after: in_header.or(in_body).map(Duration::from_secs),
        }
    }
}

fn why(code: u16, status: Option<&StatusBody>) -> Why {
    let message = status.map_or("", |status| status.message.as_str());
    let details = status.and_then(|status| status.details.as_ref());
    if message.contains(EXECUTOR_UNKNOWN) {
        return Why::Busy;
    }
    if message.contains("denied the request")
        || message.contains(" denied request: ")
        || message.contains("violates PodSecurity")
    {
        return Why::Denied;
    }
    match code {
        // A path that nothing serves is answered with a line of text, or without a name.
        404 => match details {
            Some(details) if details.name.is_empty() => Why::NoSuchKind,
            Some(details) if details.kind == "namespaces" => Why::NoNamespace,
            Some(_) => Why::NotFound,
            None => Why::NoSuchKind,
        },
        409 if details.is_some_and(|details| {
            details
                .causes
                .iter()
                .any(|cause| cause.reason == "FieldManagerConflict")
        }) =>
        {
            Why::FieldsHeld
        }
        409 if status.is_some_and(|status| status.reason == "AlreadyExists") => Why::Exists,
        409 => Why::Conflict,
        410 => Why::Gone,
        403 if message.contains("exceeded quota") => Why::QuotaUsedUp,
        403 if message.contains("being terminated") => Why::Terminating,
        401 | 403 => Why::NotAllowed,
        408 | 429 | 500..=599 => Why::Busy,
        _ => Why::Invalid,
    }
}

/// The beginning of a message, on one line.
pub(crate) fn shortened(message: &str) -> String {
    let mut text: String = message
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    if text.len() > MOST_MESSAGE_BYTES {
        let end = (0..=MOST_MESSAGE_BYTES)
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

impl CallError {
    /// What the answer means, when there was one.
    pub(crate) fn why(&self) -> Option<Why> {
        match self {
            Self::Refused(refusal) => Some(refusal.why),
            Self::Unreachable(_) | Self::Superseded => None,
        }
    }

    /// For an application's owner: what became of `object`, such as `Service/api`.
    pub(crate) fn about(&self, object: &str) -> TargetError {
        let refusal = match self {
            Self::Unreachable(_) | Self::Superseded => {
                return TargetError::Unavailable(self.to_string());
            }
            Self::Refused(refusal) => refusal,
        };
        let message = &refusal.message;
        match refusal.why {
            Why::Denied => TargetError::Refused(format!(
                "the cluster's admission rules refuse {object}: {message}"
            )),
            Why::Invalid => {
                TargetError::Refused(format!("the cluster refuses {object}: {message}"))
            }
            Why::QuotaUsedUp => TargetError::Unavailable(format!(
                "the quota of the namespace is used up: {message}"
            )),
            Why::NoSuchKind => TargetError::Unavailable(match object.split('/').next() {
                Some("SpinApp" | "SpinAppExecutor") => {
                    "SpinKube is not installed in this cluster: it knows no SpinApp".to_owned()
                }
                Some("HTTPRoute") => {
                    "the Gateway API is not installed in this cluster: it knows no HTTPRoute"
                        .to_owned()
                }
                kind => format!("this cluster knows no {}", kind.unwrap_or(object)),
            }),
            Why::Terminating | Why::NoNamespace => {
                TargetError::Unavailable("the namespace is being removed".to_owned())
            }
            Why::NotAllowed => TargetError::Unavailable(format!(
                "the sidecar may not do this in the cluster: {message}"
            )),
            Why::NotFound
            | Why::Conflict
            | Why::Exists
            | Why::FieldsHeld
            | Why::Gone
            | Why::Busy => {
                TargetError::Unavailable(format!("{object} cannot be written now: {message}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(code: u16, body: &serde_json::Value) -> Refusal {
        let code = StatusCode::from_u16(code).unwrap();
        Refusal::read(code, &HeaderMap::new(), body.to_string().as_bytes())
    }

    fn status(code: u16, message: &str, more: &serde_json::Value) -> Refusal {
        let mut body = json!({ "kind": "Status", "message": message });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        read(code, &body)
    }

    #[test]
    fn answers_are_told_apart() {
        let named = json!({ "details": { "name": "x", "kind": "services" } });
        let held = json!({ "details": { "causes": [{ "reason": "FieldManagerConflict" }] } });
        let cases = [
            (404, "services \"x\" not found", &named, Why::NotFound),
            (
                404,
                "namespaces \"x\" not found",
                &json!({ "details": { "name": "x", "kind": "namespaces" } }),
                Why::NoNamespace,
            ),
            (404, "not found", &json!({}), Why::NoSuchKind),
            (409, "Apply failed with 1 conflict", &held, Why::FieldsHeld),
            (409, "x", &json!({ "reason": "AlreadyExists" }), Why::Exists),
            (409, "x", &json!({ "reason": "Conflict" }), Why::Conflict),
            (410, "too old", &json!({}), Why::Gone),
            (
                403,
                "pods \"x\" is forbidden: exceeded quota: nokube",
                &json!({}),
                Why::QuotaUsedUp,
            ),
            (
                403,
                "forbidden: unable to create new content in namespace x because it is being terminated",
                &json!({}),
                Why::Terminating,
            ),
            (
                403,
                "forbidden: User \"a\" cannot patch resource",
                &json!({}),
                Why::NotAllowed,
            ),
            (
                400,
                "admission webhook \"a.b\" denied the request: no",
                &json!({}),
                Why::Denied,
            ),
            (500, "failed calling webhook \"a.b\"", &json!({}), Why::Busy),
            (
                422,
                "admission webhook \"vspinapp.kb.io\" denied the request: SpinApp.core.spinkube.dev \"a\" is invalid: \
                 spec.executor: Invalid value: \"e\": executor does not exist in namespace",
                &json!({}),
                Why::Busy,
            ),
            (422, "invalid", &json!({}), Why::Invalid),
        ];
        for (code, message, more, why) in cases {
            assert_eq!(status(code, message, more).why, why, "{code} {message}");
        }
    }

    #[test]
    fn a_path_that_nothing_serves_is_a_kind_that_is_not_installed() {
        let refusal = Refusal::read(
            StatusCode::NOT_FOUND,
            &HeaderMap::new(),
            b"404 page not found\n",
        );
        assert_eq!(refusal.why, Why::NoSuchKind);
        let told = CallError::Refused(Box::new(refusal)).about("SpinApp/api");
        assert!(told.to_string().contains("SpinKube is not installed"));
    }

    #[test]
    fn when_to_try_again_is_read_from_the_header_and_the_body() {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, "7".parse().unwrap())]);
        let refusal = Refusal::read(StatusCode::TOO_MANY_REQUESTS, &headers, b"later");
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(7)));
        let refusal = status(
            429,
            "later",
            &json!({ "details": { "retryAfterSeconds": 3 } }),
        );
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(3)));
    }

    #[test]
    fn long_messages_are_cut_and_stay_on_one_line() {
        let text = shortened(&"ä\n".repeat(1000));
        assert!(text.len() <= MOST_MESSAGE_BYTES + '…'.len_utf8());
        assert!(!text.contains('\n'));
    }
}
