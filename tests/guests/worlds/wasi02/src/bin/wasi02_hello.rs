//! Answers.

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

#[http_component]
fn handle(_: Request) -> Response {
    Response::new(200, "hello")
}

fn main() {}
