//! Takes what the query names until there is no more of it, or too much of it at once.

use std::hint::black_box;
use std::time::Duration;

use futures::future::poll_immediate;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::time::sleep;
use spin_sdk::wasip3::random::random::get_random_bytes;
use spin_sdk::wasip3::wit_stream;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    wasi03::reply(hoard(wasi03::query(&request)).await)
}

async fn hoard(what: &str) -> anyhow::Result<String> {
    let (kind, count) = what.split_once('/').unwrap_or((what, "0"));
    let count: usize = count.parse()?;
    match kind {
        "streams" => {
            for _ in 0..count {
                std::mem::forget(black_box(wit_stream::new::<u8>()));
            }
        }
        "waits" => {
            let mut waits = Vec::new();
            for _ in 0..count {
                let mut wait = Box::pin(sleep(Duration::from_secs(3600)));
                poll_immediate(wait.as_mut()).await;
                waits.push(wait);
            }
            // Cancelling them is another matter.
            std::mem::forget(waits);
        }
        "call" => {
            let name = "x".repeat(count);
            return Ok(format!(
                "{:?}",
                spin_sdk::variables::get(&name).await.is_ok()
            ));
        }
        _ => return Ok(get_random_bytes(count as u64).len().to_string()),
    }
    Ok(what.to_owned())
}

fn main() {}
