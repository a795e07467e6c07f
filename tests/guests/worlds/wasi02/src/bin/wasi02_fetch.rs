//! `wasi:http/outgoing-handler@0.2`: fetches what the query names, from elsewhere or from another component.

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

#[http_component]
async fn handle(request: Request) -> Response {
    wasi02::reply(run(request.query()).await)
}

async fn run(url: &str) -> anyhow::Result<String> {
    let response: Response = spin_sdk::http::send(Request::get(url).build()).await?;
    let text = String::from_utf8_lossy(response.body());
    Ok(format!("{} {text}", response.status()))
}

fn main() {}
