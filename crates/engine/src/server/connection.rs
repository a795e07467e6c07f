//! One connection: hyper with our bounds, and what is done to every request before anybody answers it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::connections::{Entry, Order};
use super::rest::Rest;
use super::stream::{Socket, Stream};
use super::{CLIENT_ADDR, CLIENT_SCHEME, Handler, Peer, ServerOptions};
use crate::holding::holding;
use crate::pace::PaceLimits;
use crate::request::{Client, strip_spin_headers};

/// The connection is being closed to make room for another.
#[derive(Debug, thiserror::Error)]
#[error("the connection idled, and others need its place")]
struct Dismissed;

pub(super) async fn serve<H: Handler>(
    socket: Socket,
    peer: Peer,
    entry: Entry,
    handler: Arc<H>,
    options: Arc<ServerOptions>,
) {
    let stall = Duration::from_millis(options.write_stall_ms);
    let pace = PaceLimits {
        stall,
        grace: stall,
        bytes_per_second: options.min_write_rate,
    };
    let stream = Stream::new(socket, pace);
    let activity = Arc::clone(&entry.activity);
    activity.idle();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let handler = Arc::clone(&handler);
        let busy = activity.begin();
        async move {
            let busy = busy.ok_or(Dismissed)?;
            let headers = request.headers_mut();
            let client = client_of(headers, peer);
            strip_spin_headers(headers);
            let (request, rest) = Rest::of(request);
            let mut response = handler.handle(request, client).await;
            if rest.is_some_and(|rest| rest.is_unread()) {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Dismissed>(response.map(|body| holding(body, busy)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(options.header_read_ms))
        .max_buf_size(options.max_header_bytes.max(8_192))
        .max_headers(options.max_headers)
        .keep_alive(true)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut is_finishing = false;
    let result = std::future::poll_fn(|cx| {
        match entry.activity.order(cx.waker()) {
            Order::Serve => {}
            Order::Finish if is_finishing => {}
            Order::Finish => {
                is_finishing = true;
                connection.as_mut().graceful_shutdown();
            }
            // What is made and not sent is lost, as when a client idles too long.
            Order::Drop => return Poll::Ready(Ok(())),
        }
        connection.as_mut().poll(cx)
    })
    .await;
    if let Err(error) = result {
        // Clients go away in the middle every day.
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Who asks: the peer itself, or whom our front process names. The headers for that are removed.
fn client_of(headers: &mut HeaderMap, peer: Peer) -> Client {
    let addr = headers.remove(CLIENT_ADDR);
    let scheme = headers.remove(CLIENT_SCHEME);
    match peer {
        Peer::Client(addr) => Client::new(addr),
        Peer::Front => {
            let addr = addr.and_then(|value| value.to_str().ok()?.parse::<SocketAddr>().ok());
            Client {
                addr: addr.unwrap_or(Client::internal().addr),
                https: scheme.is_some_and(|value| value == "https"),
            }
        }
    }
}
