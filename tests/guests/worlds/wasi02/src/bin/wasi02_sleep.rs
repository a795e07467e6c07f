//! Sleeps without end.

use std::time::Duration;

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

#[http_component]
fn handle(_: Request) -> Response {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn main() {}
