//! The front of a replica: the API of whoever leads is served or passed on, health and metrics are each
//! replica's own.

use std::io;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use nokube_sidecar::Sidecar;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::metrics::Metrics;

/// A request that was passed on once is not passed on again.
const PASSED_ON: HeaderName = HeaderName::from_static("x-nokube-passed-on");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The other replica is given up when so long nothing came of either body, nor the answer: longer than anything takes
/// here that is asked for. (`reqwest`'s own limit counts from the start of an upload.)
const IDLE: Duration = Duration::from_secs(90);
/// Headers about one connection (RFC 9110, section 7.6.1), and the host of the first.
const OF_A_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// What answers the API now.
#[derive(Clone, Default)]
pub(crate) enum Serving {
    /// Nobody is known to lead.
    #[default]
    Nobody,
    /// The replica at this address.
    Other(String),
    /// This one.
    Own(Arc<Own>),
}

/// The sidecar of the replica that leads.
pub(crate) struct Own {
    pub(crate) sidecar: Sidecar,
    router: Router,
}

impl Own {
    pub(crate) fn new(sidecar: Sidecar) -> Self {
        let router = sidecar.api_router().merge(sidecar.blob_router());
        Self { sidecar, router }
    }
}

/// What requests share.
pub(crate) struct Front {
    serving: RwLock<Serving>,
    metrics: Arc<Metrics>,
    client: reqwest::Client,
}

impl Front {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Result<Self, reqwest::Error> {
        // To another replica of this cluster, never through a proxy that the environment names. Uploads
        // take as long as they take.
        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            serving: RwLock::default(),
            metrics,
            client,
        })
    }

    /// Returns what answered before.
    pub(crate) fn set(&self, serving: Serving) -> Serving {
        self.metrics.set_leading(matches!(serving, Serving::Own(_)));
        let mut known = self
            .serving
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(&mut known, serving)
    }

    fn serving(&self) -> Serving {
        self.serving
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

/// Everything that is answered.
pub(crate) fn router(front: Arc<Front>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(api)
        .with_state(front)
}

/// The process answers.
async fn healthz() -> Response {
    axum::Json(json!({
        "status": "ok", "service": "sidecar", "version": env!("CARGO_PKG_VERSION"),
    }))
    .into_response()
}

/// The API is answered here, or passed on to where it is.
async fn readyz(State(front): State<Arc<Front>>, request: Request) -> Response {
    match front.serving() {
        Serving::Own(own) => answer(&own, request).await,
        Serving::Other(_) => healthz().await,
        Serving::Nobody => unavailable("no sidecar leads yet"),
    }
}

async fn metrics(State(front): State<Arc<Front>>) -> Response {
    let phases = match front.serving() {
        Serving::Own(own) => own.sidecar.phases(),
        _ => Vec::new(),
    };
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(header::CONTENT_TYPE, kind)], front.metrics.text(&phases)).into_response()
}

async fn api(State(front): State<Arc<Front>>, request: Request) -> Response {
    match front.serving() {
        Serving::Own(own) => answer(&own, request).await,
        Serving::Other(address) if !request.headers().contains_key(PASSED_ON) => {
            pass_on(&front.client, &address, request).await
        }
        Serving::Other(_) | Serving::Nobody => unavailable("no sidecar leads yet"),
    }
}

async fn answer(own: &Own, request: Request) -> Response {
    match own.router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn pass_on(client: &reqwest::Client, address: &str, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = parts.headers;
    for name in OF_A_CONNECTION {
        headers.remove(name);
    }
    headers.insert(PASSED_ON, HeaderValue::from_static("1"));
    let (moves, mut moved) = watch::channel(());
    let body = body
        .into_data_stream()
        .inspect(move |_| moves.send_replace(()));
    let sent = client
        .request(parts.method, format!("http://{address}{path}"))
        .headers(headers)
        .body(reqwest::Body::wrap_stream(body))
        .send();
    tokio::pin!(sent);
    let sent = loop {
        tokio::select! {
            sent = &mut sent => break sent,
            // Not any more once the body was sent.
            Ok(()) = moved.changed() => {}
            () = tokio::time::sleep(IDLE) => {
                tracing::warn!("the leading sidecar does not answer in time");
                return unavailable("the leading sidecar does not answer");
            }
        }
    };
    let answer = match sent {
        Ok(answer) => answer,
        Err(error) => {
            let error = error.without_url();
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the leading sidecar does not answer"
            );
            return unavailable("the leading sidecar does not answer");
        }
    };
    let status = answer.status();
    let mut headers = answer.headers().clone();
    for name in OF_A_CONNECTION {
        headers.remove(name);
    }
    let body = answer.bytes_stream().map_err(reqwest::Error::without_url);
    let body = Body::from_stream(unless_idle(body.map_err(io::Error::other)));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A body that breaks off when nothing comes for too long.
fn unless_idle<T>(
    body: impl Stream<Item = io::Result<T>> + Unpin,
) -> impl Stream<Item = io::Result<T>> {
    stream::unfold(Some(body), |body| async {
        let mut body = body?;
        match timeout(IDLE, body.next()).await {
            Ok(piece) => Some((piece?, Some(body))),
            Err(late) => Some((Err(late.into()), None)),
        }
    })
}

/// The caller may try again soon.
fn unavailable(detail: &str) -> Response {
    let body = json!({
        "type": "/problems/unavailable", "title": "Try again", "status": 503, "detail": detail,
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        ),
        (header::RETRY_AFTER, HeaderValue::from_static("1")),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn front(serving: Serving) -> Router {
        let front = Front::new(Arc::default()).unwrap();
        front.set(serving);
        router(Arc::new(front))
    }

    async fn ask(router: &Router, path: &str, passed_on: bool) -> (StatusCode, String) {
        // What is asked of the API has a body.
        let method = if path.starts_with("/v1/") {
            "PUT"
        } else {
            "GET"
        };
        let request = Request::builder().method(method).uri(path);
        let mut request = request.body(Body::from("body")).unwrap();
        if passed_on {
            let one = HeaderValue::from_static("1");
            request.headers_mut().insert(PASSED_ON, one);
        }
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn health_and_metrics_are_answered_by_every_replica() {
        let nobody = front(Serving::Nobody);
        assert_eq!(ask(&nobody, "/healthz", false).await.0, StatusCode::OK);
        assert_eq!(ask(&nobody, "/readyz", false).await.0, 503);
        let (status, text) = ask(&nobody, "/metrics", false).await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("nokube_leader 0"));
        assert_eq!(ask(&nobody, "/v1/apps", false).await.0, 503);
    }

    #[tokio::test]
    async fn a_follower_passes_the_api_on_once_and_streams_it() {
        let leader = Router::new().fallback(|request: Request| async move {
            let path = request.uri().to_string();
            let passed_on = request.headers().contains_key(PASSED_ON);
            let body = request.into_body().collect().await.unwrap().to_bytes();
            format!("{path} {passed_on} {}", body.len())
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, leader).await });
        let follower = front(Serving::Other(address));
        let answer = ask(&follower, "/v1/apps?x=1", false).await;
        assert_eq!(answer, (StatusCode::OK, "/v1/apps?x=1 true 4".to_owned()));
        assert_eq!(ask(&follower, "/v1/apps", true).await.0, 503);
        assert_eq!(ask(&follower, "/readyz", false).await.0, StatusCode::OK);
    }

    async fn listening(leader: Router) -> Router {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, leader).await });
        front(Serving::Other(address))
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_says_nothing_is_given_up_and_one_that_is_told_much_is_not() {
        let mute = Router::new().fallback(std::future::pending::<()>);
        let follower = listening(mute).await;
        let (status, text) = ask(&follower, "/v1/apps", false).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
        // An upload takes as long as it takes.
        let reads = Router::new().fallback(|request: Request| async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            body.len().to_string()
        });
        let follower = listening(reads).await;
        let slow = stream::iter(0..5).then(|_| async {
            tokio::time::sleep(IDLE / 2).await;
            io::Result::Ok("piece")
        });
        let request = Request::builder().method("PUT").uri("/blobs/x");
        let request = request.body(Body::from_stream(slow)).unwrap();
        let response = follower.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "25");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_stops_coming_breaks_off() {
        let pieces = stream::iter(0..3).then(|_| async {
            tokio::time::sleep(IDLE / 2).await;
            io::Result::Ok("piece")
        });
        let stuck = Box::pin(pieces.chain(stream::pending()));
        let told: Vec<_> = unless_idle(stuck).collect().await;
        assert_eq!(told.len(), 4);
        let error = told.into_iter().next_back().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
