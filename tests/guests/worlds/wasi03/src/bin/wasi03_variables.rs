//! `spin:variables@3.0`: the variable that the query names.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let found = spin_sdk::variables::get(wasi03::query(&request)).await;
    wasi03::reply(found.map_err(Into::into))
}

fn main() {}
