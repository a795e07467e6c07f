//! What the front process and the tenants' process say to each other: HTTP with JSON over a Unix socket.
//!
//! | call | answer |
//! |---|---|
//! | `PUT /apps/{id}` [`ApplyApp`] | 200 once the application serves; 422 [`Refusal`] when it cannot, and what served before still does |
//! | `DELETE /apps/{id}` | 204, also when there is none |
//! | `GET /apps` | the applications that serve |

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use nokube_engine::{AppConfig, AppInfo};
use serde::{Deserialize, Serialize};

use super::CONTROL_SOCKET;
use crate::platform::unix::{self, SocketDir, UnixConnector};

/// An answer is a list of applications at most.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// The process may be starting: its socket takes connections before it does.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Serve this application, in place of what had its id.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ApplyApp {
    /// The application. May hold secrets.
    pub(crate) config: AppConfig,
    /// It serves only once this succeeds.
    pub(crate) probe: Option<Probe>,
}

/// How an application shows that it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    /// The path that is asked for.
    pub(crate) path: String,
    /// One answer may take this long.
    pub(crate) timeout_ms: u64,
    /// Pause between two attempts.
    pub(crate) period_ms: u64,
    /// It must have succeeded within this time.
    pub(crate) within_ms: u64,
}

/// Why an application cannot serve.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// For the application's owner.
    pub(crate) message: String,
}

/// Why a call did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// The application is at fault.
    #[error("{0}")]
    Refused(String),
    /// The tenants' process did not answer, or not as it should.
    #[error("the tenants' process does not answer: {0}")]
    Unavailable(String),
}

/// The front process' side.
#[derive(Clone)]
pub(crate) struct ControlClient {
    client: Client<UnixConnector, Full<Bytes>>,
}

impl ControlClient {
    pub(crate) fn new(sockets: &SocketDir) -> Self {
        Self {
            client: unix::client(sockets, CONTROL_SOCKET),
        }
    }

    /// Puts an application in place. `body` is an [`ApplyApp`] in JSON.
    pub(crate) async fn put(
        &self,
        id: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<(), ControlError> {
        let (status, answer) = self
            .call(
                Method::PUT,
                &format!("/apps/{id}"),
                body,
                within + ANSWER_WITHIN,
            )
            .await?;
        if status == StatusCode::OK {
            return Ok(());
        }
        if status == StatusCode::UNPROCESSABLE_ENTITY
            && let Ok(refusal) = serde_json::from_slice::<Refusal>(&answer)
        {
            return Err(ControlError::Refused(refusal.message));
        }
        Err(unexpected(status, &answer))
    }

    /// Takes an application away.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), ControlError> {
        let (status, answer) = self
            .call(
                Method::DELETE,
                &format!("/apps/{id}"),
                Bytes::new(),
                ANSWER_WITHIN,
            )
            .await?;
        match status {
            StatusCode::NO_CONTENT => Ok(()),
            status => Err(unexpected(status, &answer)),
        }
    }

    /// The applications that serve.
    pub(crate) async fn list(&self) -> Result<Vec<AppInfo>, ControlError> {
        let (status, answer) = self
            .call(Method::GET, "/apps", Bytes::new(), ANSWER_WITHIN)
            .await?;
        match status {
            StatusCode::OK => serde_json::from_slice(&answer)
                .map_err(|error| ControlError::Unavailable(error.to_string())),
            status => Err(unexpected(status, &answer)),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<(StatusCode, Bytes), ControlError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://tenants{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| ControlError::Unavailable(error.to_string()))?;
        let exchange = async {
            let answer = self
                .client
                .request(request)
                .await
                .map_err(|error| ControlError::Unavailable(error.to_string()))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
                .collect()
                .await
                .map_err(|error| ControlError::Unavailable(error.to_string()))?;
            Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(within, exchange)
            .await
            .map_err(|_| ControlError::Unavailable(format!("no answer within {within:?}")))?
    }
}

fn unexpected(status: StatusCode, answer: &[u8]) -> ControlError {
    let words = String::from_utf8_lossy(&answer[..answer.len().min(500)]);
    ControlError::Unavailable(format!("it answered {status}: {words}"))
}
