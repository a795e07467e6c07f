//! The runner's side of `/api/v1/runner/…` (`nokube_api::runner`) and of the one-time blob addresses.
//!
//! One method per call, no retries: who calls knows how long it may wait.

use std::path::Path;
use std::time::Duration;

use nokube_api::runner::{AppendLogs, BuildResult, Job, LeaseProof, LeaseRequest, LeaseState};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use serde::Serialize;
use tokio::io::AsyncWriteExt;

/// Small calls answer in milliseconds; a platform that needs longer is restarting.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A blob of 256 MiB on a slow disk or line.
const BLOB_TIMEOUT: Duration = Duration::from_secs(600);

/// Why a call did not do what it should.
#[derive(Debug)]
pub(crate) enum CallError {
    /// 410, or 404: the lease is not ours any more.
    Gone,
    /// Another 4xx: asking again won't help.
    Refused(String),
    /// No answer, or 5xx: asking again may help.
    Unreachable(String),
}

impl CallError {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Gone => "the lease is lost",
            Self::Refused(text) | Self::Unreachable(text) => text,
        }
    }
}

/// The platform, as a runner sees it.
#[derive(Clone)]
pub(crate) struct Platform {
    http: Client,
    base: String,
    token: String,
}

impl Platform {
    pub(crate) fn new(platform_url: &str, token: &str) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()?;
        let base = format!("{}/api/v1/runner", platform_url.trim_end_matches('/'));
        Ok(Self {
            http,
            base,
            token: token.to_owned(),
        })
    }

    /// Asks for work; nothing when there is none.
    pub(crate) async fn lease(&self, request: &LeaseRequest) -> Result<Option<Job>, CallError> {
        let answer = self.post("lease", request).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        answer
            .json()
            .await
            .map(Some)
            .map_err(|error| CallError::Unreachable(chain(&error)))
    }

    pub(crate) async fn start(
        &self,
        build_id: &str,
        lease_id: &str,
    ) -> Result<LeaseState, CallError> {
        self.prove(build_id, lease_id, "start").await
    }

    pub(crate) async fn heartbeat(
        &self,
        build_id: &str,
        lease_id: &str,
    ) -> Result<LeaseState, CallError> {
        self.prove(build_id, lease_id, "heartbeat").await
    }

    async fn prove(
        &self,
        build_id: &str,
        lease_id: &str,
        call: &str,
    ) -> Result<LeaseState, CallError> {
        let proof = LeaseProof {
            lease_id: lease_id.to_owned(),
        };
        let answer = self
            .post(&format!("builds/{build_id}/{call}"), &proof)
            .await?;
        answer
            .json()
            .await
            .map_err(|error| CallError::Unreachable(chain(&error)))
    }

    pub(crate) async fn append_logs(
        &self,
        build_id: &str,
        logs: &AppendLogs,
    ) -> Result<(), CallError> {
        self.post(&format!("builds/{build_id}/logs"), logs)
            .await
            .map(drop)
    }

    pub(crate) async fn result(
        &self,
        build_id: &str,
        result: &BuildResult,
    ) -> Result<(), CallError> {
        self.post(&format!("builds/{build_id}/result"), result)
            .await
            .map(drop)
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<Response, CallError> {
        let request = self
            .http
            .post(format!("{}/{path}", self.base))
            .timeout(CALL_TIMEOUT);
        send(request.bearer_auth(&self.token).json(body)).await
    }

    /// `PUT`s a file to a one-time address; the address is the credential.
    pub(crate) async fn upload(&self, url: &str, file: &Path) -> Result<(), CallError> {
        let unreadable = |error: std::io::Error| {
            CallError::Unreachable(format!("cannot read what was packed: {error}"))
        };
        let file = tokio::fs::File::open(file).await.map_err(unreadable)?;
        let size = file.metadata().await.map_err(unreadable)?.len();
        let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::with_capacity(
            file,
            256 * 1024,
        ));
        let request = self
            .http
            .put(url)
            .timeout(BLOB_TIMEOUT)
            .header("content-type", "application/x-tar");
        send(request.header("content-length", size).body(body))
            .await
            .map(drop)
    }

    /// `GET`s a one-time address into a file of at most `limit` bytes.
    pub(crate) async fn download(
        &self,
        url: &str,
        file: &Path,
        limit: u64,
    ) -> Result<(), CallError> {
        let mut answer = send(self.http.get(url).timeout(BLOB_TIMEOUT)).await?;
        let unwritable = |error: std::io::Error| {
            CallError::Unreachable(format!("cannot keep the source: {error}"))
        };
        let mut file = tokio::fs::File::create(file).await.map_err(unwritable)?;
        let mut size = 0;
        while let Some(piece) = answer
            .chunk()
            .await
            .map_err(|error| CallError::Unreachable(chain(&error)))?
        {
            size += piece.len() as u64;
            if size > limit {
                return Err(CallError::Refused(format!(
                    "the source archive is larger than {limit} bytes"
                )));
            }
            file.write_all(&piece).await.map_err(unwritable)?;
        }
        file.flush().await.map_err(unwritable)
    }
}

async fn send(request: RequestBuilder) -> Result<Response, CallError> {
    let answer = request
        .send()
        .await
        .map_err(|error| CallError::Unreachable(chain(&error.without_url())))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    if matches!(status, StatusCode::GONE | StatusCode::NOT_FOUND) {
        return Err(CallError::Gone);
    }
    let again = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        );
    let body = answer.text().await.unwrap_or_default();
    let text = format!("{status} {}", body.chars().take(300).collect::<String>());
    Err(if again {
        CallError::Unreachable(text)
    } else {
        CallError::Refused(text)
    })
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
