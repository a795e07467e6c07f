//! Tells how many requests it serves at once, and the how-manieth this one is, after some milliseconds.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

static INSIDE: AtomicU32 = AtomicU32::new(0);
static SERVED: AtomicU32 = AtomicU32::new(0);

#[http_component]
fn handle(request: Request) -> Response {
    let inside = INSIDE.fetch_add(1, Ordering::Relaxed) + 1;
    let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    std::thread::sleep(Duration::from_millis(request.query().parse().unwrap_or(0)));
    INSIDE.fetch_sub(1, Ordering::Relaxed);
    Response::new(200, format!("{inside} {served}"))
}

fn main() {}
