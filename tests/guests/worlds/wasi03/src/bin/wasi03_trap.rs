//! Panics, which is a trap.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(_: Request) -> impl IntoResponse {
    cause_of_the_trap()
}

#[inline(never)]
fn cause_of_the_trap() -> String {
    panic!("asked to panic")
}

fn main() {}
