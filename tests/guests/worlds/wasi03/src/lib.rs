//! What the programs for WASI 0.3 share: an answer of text, or of what went wrong.

use spin_sdk::http::{Request, StatusCode};

/// 200 with the text, or 502 with the error.
pub fn reply(result: anyhow::Result<String>) -> (StatusCode, String) {
    match result {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:?}")),
    }
}

/// The request's query.
pub fn query(request: &Request) -> &str {
    request.uri().query().unwrap_or_default()
}
