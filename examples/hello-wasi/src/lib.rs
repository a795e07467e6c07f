//! A function on plain `wasi:http`: every request is answered with a greeting.

wit_bindgen::generate!({
    world: "hello",
    path: "wit",
    generate_all,
});

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Hello;

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let text = format!("Hello from wasi:http! You asked for {target}\n");

        let headers = Fields::new();
        for (name, value) in [
            ("content-type", "text/plain; charset=utf-8".to_owned()),
            ("content-length", text.len().to_string()),
        ] {
            headers
                .append(name, &value.into_bytes())
                .expect("these headers may be set");
        }
        let response = OutgoingResponse::new(headers);
        if matches!(request.method(), Method::Head) {
            ResponseOutparam::set(out, Ok(response));
            return;
        }
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        send(body, text.as_bytes());
    }
}

/// Sends a body in the pieces the host takes, 4096 bytes at most each; ends early when the client is gone.
fn send(body: OutgoingBody, bytes: &[u8]) {
    let stream = body.write().expect("the stream is taken once");
    let sent = bytes
        .chunks(4096)
        .all(|piece| stream.blocking_write_and_flush(piece).is_ok());
    // The stream must be given back before its body ends.
    drop(stream);
    if sent {
        // An error means that the client left, which is its right.
        let _ = OutgoingBody::finish(body, None);
    }
}

export!(Hello);
