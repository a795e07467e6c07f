//! A proxy in front of the API server that answers chosen requests with chosen faults, and remembers what was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Cluster;

/// A body of the API larger than this is none.
const MAX_BODY_BYTES: usize = 8 << 20;

/// What happens to requests that a fault is for.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Only requests of this method.
    pub method: Method,
    /// Only requests whose path and query contain this.
    pub about: String,
    /// So many of them.
    pub times: u32,
    /// The answer.
    pub answer: Given,
}

/// An answer in place of the API server's.
#[derive(Debug, Clone, Copy)]
pub enum Given {
    /// This status with this reason, as the API server words it.
    Status(StatusCode, &'static str),
    /// The connection is closed before the request is handed on.
    Nothing,
    /// The request is handed on, and the connection closed in place of the answer.
    NothingAfterIt,
}

impl Given {
    /// Somebody else was faster.
    pub const CONFLICT: Self = Self::Status(StatusCode::CONFLICT, "Conflict");
    /// Come back in a second.
    pub const TOO_MANY: Self = Self::Status(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests");
    /// The API server itself is in trouble.
    pub const UNAVAILABLE: Self =
        Self::Status(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
    /// A watch wants to continue from where nothing is remembered.
    pub const EXPIRED: Self = Self::Status(StatusCode::GONE, "Expired");
}

/// One request that passed, or did not.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// What it was answered, when it was.
    pub status: Option<StatusCode>,
}

/// The proxy; gone when dropped.
pub struct FaultyApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    http: reqwest::Client,
    server: String,
    state: Mutex<Told>,
    /// Streams end when this changes.
    cut: watch::Sender<u64>,
}

#[derive(Default)]
struct Told {
    faults: Vec<Fault>,
    asked: Vec<Asked>,
}

impl FaultyApi {
    /// Starts one on a free port of loopback, without TLS.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(cluster: &Cluster) -> Self {
        let root = reqwest::Certificate::from_pem(cluster.certificate().as_bytes())
            .expect("a certificate");
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_built_in_root_certs(false)
            .add_root_certificate(root)
            .build()
            .expect("an HTTP client can be made");
        let shared = Arc::new(Shared {
            http,
            server: cluster.server(),
            state: Mutex::default(),
            cut: watch::Sender::new(0),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port of loopback is free");
        let address = listener.local_addr().expect("a listener has an address");
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the proxy runs");
        });
        Self {
            address,
            shared,
            task,
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has the next requests of this kind go wrong.
    pub fn fail(&self, method: Method, about: &str, times: u32, answer: Given) {
        let about = about.to_owned();
        self.shared.told().faults.push(Fault {
            method,
            about,
            times,
            answer,
        });
    }

    /// How many requests are still to go wrong.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.shared
            .told()
            .faults
            .iter()
            .map(|fault| fault.times)
            .sum()
    }

    /// What was asked since the last call.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.told().asked)
    }

    /// Breaks every answer that is under way: watches.
    pub fn cut(&self) {
        self.shared.cut.send_modify(|times| *times += 1);
    }
}

impl Drop for FaultyApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the fault that is for this request.
    fn fault(&self, method: &Method, path: &str) -> Option<Given> {
        let mut told = self.told();
        let fault = told.faults.iter_mut().find(|fault| {
            fault.times > 0 && fault.method == method && path.contains(&fault.about)
        })?;
        fault.times -= 1;
        Some(fault.answer)
    }

    fn remember(&self, method: Method, path: String, status: Option<StatusCode>) {
        self.told().asked.push(Asked {
            method,
            path,
            status,
        });
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let method = request.method().clone();
    let path = request.uri().to_string();
    let fault = shared.fault(&method, &path);
    match fault {
        Some(Given::Status(status, reason)) => {
            shared.remember(method, path, Some(status));
            return refusal(status, reason);
        }
        Some(Given::Nothing) => {
            shared.remember(method, path, None);
            return broken();
        }
        Some(Given::NothingAfterIt) | None => {}
    }
    let answer = hand_on(&shared, request).await;
    if fault.is_some() || answer.is_none() {
        shared.remember(method, path, None);
        return broken();
    }
    let answer = answer.expect("it was just looked at");
    shared.remember(method, path, Some(answer.status()));
    answer
}

async fn hand_on(shared: &Shared, request: Request) -> Option<Response> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await.ok()?;
    let mut headers = head.headers;
    for name in ["host", "content-length", "connection", "accept-encoding"] {
        headers.remove(name);
    }
    let url = format!("{}{}", shared.server, head.uri);
    let call = shared.http.request(head.method, url).headers(headers);
    let answer = call.body(body).send().await.ok()?;
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        *headers = answer.headers().clone();
        for name in ["content-length", "transfer-encoding", "connection"] {
            headers.remove(name);
        }
    }
    let mut cut = shared.cut.subscribe();
    let ended = async move { cut.changed().await };
    let stream = answer.bytes_stream().take_until(Box::pin(ended));
    response.body(Body::from_stream(stream)).ok()
}

/// A `Status` as the API server makes it.
fn refusal(status: StatusCode, reason: &'static str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("{reason}, says the test"), "reason": reason, "code": status.as_u16(),
    });
    let mut response = (status, axum::Json(body)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let headers = response.headers_mut();
        headers.insert("retry-after", axum::http::HeaderValue::from_static("1"));
    }
    response
}

/// An answer whose first piece is a failure: the connection is closed on it.
fn broken() -> Response {
    let failure = std::io::Error::other("the connection is broken, says the test");
    let body = futures::stream::once(async move { Err::<Bytes, _>(failure) });
    Body::from_stream(body).into_response()
}
