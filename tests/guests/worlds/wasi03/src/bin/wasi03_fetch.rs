//! `wasi:http/client@0.3`: fetches what the query names, from elsewhere or from another component.

use anyhow::Context;
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    wasi03::reply(run(wasi03::query(&request)).await)
}

async fn run(url: &str) -> anyhow::Result<String> {
    let response = spin_sdk::http::get(url).await.context("not sent")?;
    let status = response.status().as_u16();
    let body = response.into_body().bytes().await.context("broke off")?;
    Ok(format!("{status} {}", String::from_utf8_lossy(&body)))
}

fn main() {}
