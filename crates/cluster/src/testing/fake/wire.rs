//! Paths, selectors and answers as they are on the wire.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use super::{FakeBody, Rule};

/// A path, taken apart.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) group: String,
    pub(super) collection: String,
    pub(super) resource: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

impl Target {
    pub(super) fn of(path: &str) -> Self {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match parts[0] {
            "api" => ("", &parts[2..]),
            _ => (parts[1], &parts[3..]),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let deep = rest.len();
        let collection = parts[..parts.len() - (deep - 1)].join("/");
        Self {
            group: group.to_owned(),
            collection: format!("/{collection}"),
            resource: rest[0].to_owned(),
            namespace: namespace.map(str::to_owned),
            name: rest.get(1).map(|name| (*name).to_owned()),
            subresource: rest.get(2).map(|name| (*name).to_owned()),
        }
    }
}

pub(super) fn verb(
    method: &Method,
    target: &Target,
    query: &BTreeMap<String, String>,
) -> &'static str {
    match method.as_str() {
        "GET" if query.contains_key("watch") => "WATCH",
        "GET" if target.name.is_some() => "GET",
        "GET" => "LIST",
        "POST" => "CREATE",
        "PUT" => "REPLACE",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        other => panic!("{other} is not called"),
    }
}

/// `a=b` and `a!=b`, with commas.
pub(super) fn matches(object: &Value, labels: &str) -> bool {
    labels
        .split(',')
        .filter(|part| !part.is_empty())
        .all(|part| {
            let (name, wanted, equal) = match part.split_once("!=") {
                Some((name, value)) => (name, value, false),
                None => {
                    let (name, value) = part.split_once('=').unwrap();
                    (name, value, true)
                }
            };
            (object["metadata"]["labels"][name].as_str() == Some(wanted)) == equal
        })
}

pub(super) fn scripted(rule: &Rule) -> Response<FakeBody> {
    let mut response = json_answer(rule.status, &rule.body);
    if let Some(after) = rule.retry_after {
        let headers = response.headers_mut();
        headers.insert("retry-after", after.parse().unwrap());
    }
    response
}

pub(super) fn status(
    code: u16,
    reason: &str,
    message: &str,
    details: Option<Value>,
) -> Response<FakeBody> {
    json_answer(
        code,
        &json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "reason": reason, "message": message, "details": details,
        }),
    )
}

pub(super) fn json_answer(code: u16, body: &Value) -> Response<FakeBody> {
    let mut response = text_answer(&body.to_string());
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

pub(super) fn text_answer(text: &str) -> Response<FakeBody> {
    Response::new(Full::new(Bytes::from(text.to_owned())).boxed_unsync())
}
