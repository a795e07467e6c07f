//! The API of the DataPress proof of concept: what time it is, and whether it is well.

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};
use spin_sdk::http::{Method, Request, Response};
use spin_sdk::{http_component, variables};

#[http_component]
fn answer(request: Request) -> Response {
    match (request.method(), request.path()) {
        (Method::Get | Method::Head, "/") => send(200, &request, &describe()),
        (Method::Get | Method::Head, "/health") => send(200, &request, &json!({ "status": "ok" })),
        (Method::Options, "/" | "/health") => preflight(),
        (_, "/" | "/health") => {
            let mut response = send(405, &request, &json!({ "error": "method not allowed" }));
            response.set_header("allow", "GET, HEAD, OPTIONS");
            response
        }
        _ => send(404, &request, &json!({ "error": "not found" })),
    }
}

/// Who answers, and when; where and with which words only if somebody said so.
fn describe() -> Value {
    let mut description = json!({
        "service": "api",
        "ts": Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
    });
    for name in ["app_env", "banner"] {
        if let Some(value) = variables::get(name).ok().filter(|value| !value.is_empty()) {
            description[name] = value.into();
        }
    }
    description
}

fn send(status: u16, request: &Request, value: &Value) -> Response {
    let body = value.to_string();
    let length = body.len().to_string();
    let body = if *request.method() == Method::Head {
        String::new()
    } else {
        body
    };
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("content-length", length)
        .header("cache-control", "no-store")
        // The front is another origin. Nothing here is private, so any page may read it.
        .header("access-control-allow-origin", "*")
        .body(body)
        .build()
}

fn preflight() -> Response {
    Response::builder()
        .status(204)
        .header("access-control-allow-origin", "*")
        .header("access-control-allow-methods", "GET, HEAD, OPTIONS")
        .header("access-control-max-age", "86400")
        .build()
}
