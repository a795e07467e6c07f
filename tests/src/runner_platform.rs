//! A platform as a runner sees it: leases, heartbeats, logs, results and the blob store, in memory, for
//! tests of the runner alone.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Json, Router};
use nokube_api::runner::{
    AppendLogs, BuildOutcome, BuildResult, Job, JobSource, LeaseProof, LeaseRequest, LeaseState,
    RunnerLine,
};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::wait::until;

/// The runner token it wants.
pub const TOKEN: &str = "runner-token-of-the-test";

/// The platform; gone when dropped.
pub struct RunnerPlatform {
    address: std::net::SocketAddr,
    state: Shared,
    task: JoinHandle<()>,
}

type Shared = Arc<Mutex<Seen>>;

/// What it was told.
#[derive(Default)]
pub struct Seen {
    queue: VecDeque<Job>,
    /// By build id.
    pub builds: HashMap<String, SeenBuild>,
    sources: HashMap<String, Vec<u8>>,
    /// How many calls to fail with 503 from now on, leases aside.
    pub outage: u32,
    /// Leases that were asked for.
    pub polls: u32,
    /// Ids of the runners that said they had just started, in turn.
    pub started: Vec<String>,
}

/// What it was told of one build.
#[derive(Default, Clone)]
pub struct SeenBuild {
    lease_id: String,
    /// The start was acknowledged so often.
    pub starts: u32,
    /// Heartbeats.
    pub heartbeats: u32,
    /// Its log, by line number from 1.
    pub log: Vec<RunnerLine>,
    /// How it ended.
    pub result: Option<BuildResult>,
    /// The artifact, as uploaded.
    pub artifact: Option<Vec<u8>>,
    gone: bool,
}

impl SeenBuild {
    /// The log as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.log
            .iter()
            .map(|line| format!("{}\n", line.text))
            .collect()
    }

    /// The digest of a build that went well.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn digest(&self) -> &str {
        match self.result.as_ref().map(|result| &result.outcome) {
            Some(BuildOutcome::Success { digest }) => digest,
            other => panic!("the build did not succeed: {other:?}\n{}", self.text()),
        }
    }

    /// The message of a build that failed.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn failure(&self) -> &str {
        match self.result.as_ref().map(|result| &result.outcome) {
            Some(BuildOutcome::Failed { error_message, .. }) => error_message,
            other => panic!("the build did not fail: {other:?}\n{}", self.text()),
        }
    }
}

impl RunnerPlatform {
    /// Starts on a free port of loopback.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start() -> Self {
        let state = Shared::default();
        let router = Router::new()
            .route("/api/v1/runner/lease", post(lease))
            .route("/api/v1/runner/builds/{id}/start", post(start_build))
            .route("/api/v1/runner/builds/{id}/heartbeat", post(heartbeat))
            .route("/api/v1/runner/builds/{id}/logs", post(logs))
            .route("/api/v1/runner/builds/{id}/result", post(result))
            .route("/blobs/{name}", put(upload).get(download))
            .layer(DefaultBodyLimit::max(256 << 20))
            .with_state(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port of loopback is free");
        let address = listener.local_addr().expect("a listener has an address");
        let task = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("the platform runs")
        });
        Self {
            address,
            state,
            task,
        }
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was told so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.state)
    }

    /// A job of the builder `runner` that fetches from Git, to be changed and queued.
    #[must_use]
    pub fn job(&self, id: &str, url: &str) -> Job {
        Job {
            build_id: id.to_owned(),
            lease_id: format!("lease-of-{id}"),
            attempt: 1,
            lease_seconds: 3,
            builder: "runner".to_owned(),
            owner: "ada".to_owned(),
            project: "shop".to_owned(),
            project_id: 7,
            service_name: "web".to_owned(),
            source: JobSource::Git {
                url: url.to_owned(),
                branch: None,
                commit: None,
            },
            subdirectory: None,
            image_full_name: "registry.localhost/nokube/ada-shop-web:latest".to_owned(),
            build_args: Default::default(),
            artifact_upload_url: format!("{}/blobs/artifact-{id}", self.url()),
            timeout_seconds: 600,
        }
    }

    /// Keeps an archive and says where a runner finds it.
    #[must_use]
    pub fn archive(&self, name: &str, bytes: Vec<u8>) -> JobSource {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        self.seen().sources.insert(name.to_owned(), bytes);
        JobSource::Archive {
            url: format!("{}/blobs/{name}", self.url()),
            digest,
        }
    }

    /// Queues a job.
    pub fn queue(&self, job: Job) {
        self.seen().queue.push_back(job);
    }

    /// Queues a job and waits for its end.
    pub async fn build(&self, job: Job, limit: Duration) -> SeenBuild {
        let id = job.build_id.clone();
        self.queue(job);
        self.end_of(&id, limit).await
    }

    /// Waits for the result of a build.
    pub async fn end_of(&self, id: &str, limit: Duration) -> SeenBuild {
        until(&format!("the result of {id}"), limit, || async {
            self.seen()
                .builds
                .get(id)
                .filter(|build| build.result.is_some())
                .cloned()
        })
        .await
    }

    /// Waits until the log of a build holds a text.
    pub async fn line_of(&self, id: &str, text: &str, limit: Duration) {
        until(&format!("{text:?} in the log of {id}"), limit, || async {
            self.seen()
                .builds
                .get(id)
                .filter(|build| build.text().contains(text))
                .map(|_| ())
        })
        .await;
    }

    /// From now on every call about this build is answered 410.
    pub fn cancel(&self, id: &str) {
        self.seen().builds.entry(id.to_owned()).or_default().gone = true;
    }
}

impl Drop for RunnerPlatform {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(state: &Shared) -> MutexGuard<'_, Seen> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The build a call is about, or the answer when there is none, as the real platform would.
fn with_build<T: IntoResponse>(
    state: &Shared,
    headers: &HeaderMap,
    id: &str,
    lease_id: &str,
    act: impl FnOnce(&mut SeenBuild) -> T,
) -> Response {
    let mut seen = lock(state);
    if headers
        .get("authorization")
        .is_none_or(|value| *value != format!("Bearer {TOKEN}"))
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if seen.outage > 0 {
        seen.outage -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match seen.builds.get_mut(id) {
        Some(build) if !build.gone && build.lease_id == lease_id => act(build).into_response(),
        _ => StatusCode::GONE.into_response(),
    }
}

async fn lease(
    State(state): State<Shared>,
    headers: HeaderMap,
    Json(request): Json<LeaseRequest>,
) -> Response {
    if headers
        .get("authorization")
        .is_none_or(|value| *value != format!("Bearer {TOKEN}"))
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut seen = lock(&state);
    seen.polls += 1;
    if request.starts {
        seen.started.extend(request.runner_id);
    }
    let Some(job) = seen.queue.pop_front() else {
        return StatusCode::NO_CONTENT.into_response();
    };
    seen.builds
        .entry(job.build_id.clone())
        .or_default()
        .lease_id = job.lease_id.clone();
    Json(job).into_response()
}

async fn start_build(
    State(state): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(proof): Json<LeaseProof>,
) -> Response {
    with_build(&state, &headers, &id, &proof.lease_id, |build| {
        build.starts += 1;
        Json(LeaseState { lease_seconds: 3 })
    })
}

async fn heartbeat(
    State(state): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(proof): Json<LeaseProof>,
) -> Response {
    with_build(&state, &headers, &id, &proof.lease_id, |build| {
        build.heartbeats += 1;
        Json(LeaseState { lease_seconds: 3 })
    })
}

async fn logs(
    State(state): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(logs): Json<AppendLogs>,
) -> Response {
    with_build(&state, &headers, &id, &logs.lease_id, |build| {
        assert!(logs.lines.len() <= 500, "a batch has at most 500 lines");
        assert!(
            logs.first <= build.log.len() as u64 + 1,
            "no line is left out"
        );
        let known = build.log.len() - (logs.first as usize - 1);
        build.log.extend(logs.lines.into_iter().skip(known));
        StatusCode::NO_CONTENT
    })
}

async fn result(
    State(state): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(result): Json<BuildResult>,
) -> Response {
    with_build(&state, &headers, &id, &result.lease_id.clone(), |build| {
        build.result = Some(result);
        StatusCode::NO_CONTENT
    })
}

async fn upload(State(state): State<Shared>, Path(name): Path<String>, body: Bytes) -> StatusCode {
    let id = name.trim_start_matches("artifact-");
    lock(&state)
        .builds
        .entry(id.to_owned())
        .or_default()
        .artifact = Some(body.to_vec());
    StatusCode::CREATED
}

async fn download(State(state): State<Shared>, Path(name): Path<String>) -> Response {
    lock(&state).sources.remove(&name).map_or_else(
        || StatusCode::GONE.into_response(),
        IntoResponse::into_response,
    )
}
