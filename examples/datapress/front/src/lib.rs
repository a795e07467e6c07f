//! The front of the DataPress proof of concept: one page whose version and API address are configuration.

use spin_sdk::http::{Method, Request, Response};
use spin_sdk::{http_component, variables};

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// The page runs its own script only, and may call APIs wherever they are.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[http_component]
fn answer(request: Request) -> Response {
    if !matches!(request.method(), Method::Get | Method::Head) {
        let mut response = send(
            405,
            &request,
            "text/plain; charset=utf-8",
            "method not allowed\n",
        );
        response.set_header("allow", "GET, HEAD");
        return response;
    }
    match request.path() {
        "/" => send(200, &request, "text/html; charset=utf-8", &page()),
        "/page.js" => send(200, &request, "text/javascript; charset=utf-8", SCRIPT),
        "/page.css" => send(200, &request, "text/css; charset=utf-8", STYLE),
        "/health" => send(200, &request, "application/json", r#"{"status":"ok"}"#),
        _ => send(404, &request, "text/plain; charset=utf-8", "not found\n"),
    }
}

fn page() -> String {
    let value = |name| escape(&variables::get(name).unwrap_or_default());
    PAGE.replace("{version}", &value("version"))
        .replace("{api_url}", &value("api_url"))
}

/// Makes text harmless in HTML, inside quoted attributes too.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Else a version could be followed by what takes the place of the address.
            '{' => escaped.push_str("&#123;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

fn send(status: u16, request: &Request, content_type: &str, body: &str) -> Response {
    let length = body.len().to_string();
    let body = if *request.method() == Method::Head {
        ""
    } else {
        body
    };
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("content-length", length)
        .header("cache-control", "no-cache")
        .header("content-security-policy", CONTENT_SECURITY_POLICY)
        .header("x-content-type-options", "nosniff")
        .body(body)
        .build()
}
