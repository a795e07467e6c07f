//! `spin:key-value@3.0`: sets, reads, lists and deletes a key.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::key_value::Store;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    wasi03::reply(run(wasi03::query(&request)).await)
}

async fn run(label: &str) -> anyhow::Result<String> {
    let store = Store::open(label).await?;
    let before = store.get("a").await?;
    store.set("a", [1, 2]).await?;
    let read = store.get("a").await?;
    let keys = store.get_keys().await.collect().await?;
    let there = store.exists("a").await?;
    store.delete("a").await?;
    let after = store.exists("a").await?;
    Ok(format!("{before:?} {read:?} {keys:?} {there} {after}"))
}

fn main() {}
