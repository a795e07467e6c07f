//! Sleeps without end.

use std::time::Duration;

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(_: Request) -> impl IntoResponse {
    spin_sdk::time::sleep(Duration::from_secs(24 * 3600)).await;
    "rested"
}

fn main() {}
