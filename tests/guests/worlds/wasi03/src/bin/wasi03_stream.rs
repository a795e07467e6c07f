//! Sends the request's body back in capitals, piece by piece, while it still comes.

use std::pin::pin;

use futures::{SinkExt, StreamExt};
use spin_sdk::http::body::{self, IncomingBodyExt};
use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let (mut sender, answer) = body::stream::<Vec<u8>>();
    spin_sdk::wasip3::spawn(async move {
        let mut pieces = pin!(request.into_body().stream());
        while let Some(Ok(piece)) = pieces.next().await {
            if sender.send(piece.to_ascii_uppercase()).await.is_err() {
                return;
            }
        }
    });
    Response::new(answer)
}

fn main() {}
