//! Panics, which is a trap.

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

#[http_component]
fn handle(_: Request) -> Response {
    cause_of_the_trap()
}

#[inline(never)]
fn cause_of_the_trap() -> Response {
    panic!("asked to panic")
}

fn main() {}
