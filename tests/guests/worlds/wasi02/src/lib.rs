//! What the programs for WASI 0.2 share: an answer of text, or of what went wrong.

use spin_sdk::http::Response;

/// 200 with the text, or 502 with the error.
pub fn reply(result: anyhow::Result<String>) -> Response {
    match result {
        Ok(text) => Response::new(200, text),
        Err(error) => Response::new(502, format!("{error:?}")),
    }
}
