//! Sends the request's body back in capitals, piece by piece, while it still comes.

use futures::{SinkExt, StreamExt};
use spin_sdk::http::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};
use spin_sdk::http_component;

#[http_component]
async fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let mut body = response.take_body();
    out.set(response);
    let mut pieces = Box::pin(request.into_body_stream());
    while let Some(Ok(mut piece)) = pieces.next().await {
        piece.make_ascii_uppercase();
        if body.send(piece).await.is_err() {
            return;
        }
    }
}

fn main() {}
