//! Answers, with the answer's length.

use spin_sdk::http::{HeaderMap, HeaderValue, IntoResponse, Request, StatusCode};
use spin_sdk::http_service;

const TEXT: &str = "hello";

#[http_service]
async fn handle(_: Request) -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    headers.insert("content-length", HeaderValue::from(TEXT.len()));
    (StatusCode::OK, headers, TEXT.to_owned())
}

fn main() {}
