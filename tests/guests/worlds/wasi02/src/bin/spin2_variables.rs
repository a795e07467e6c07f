//! `fermyon:spin/variables@2.0.0`: the variable that the query names.

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

#[http_component]
fn handle(request: Request) -> Response {
    wasi02::reply(spin_sdk::variables::get(request.query()).map_err(Into::into))
}

fn main() {}
