//! `wasi:config/store@0.2.0-draft-2024-09-27`: the value that the query names, and how many there are.

use anyhow::Context;
use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;
use spin_sdk::wit::wasi::config::store;

#[http_component]
fn handle(request: Request) -> Response {
    wasi02::reply(run(request.query()))
}

fn run(name: &str) -> anyhow::Result<String> {
    let value = store::get(name)?.context("Undefined")?;
    Ok(format!("{value} of {}", store::get_all()?.len()))
}

fn main() {}
