//! A fake target, a fake platform and a sidecar between them, over real HTTP.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use nokube_api::deploy::DeploymentEvent;
use nokube_api::logs::LogPage;
use nokube_api::sidecar::{AppSpec, AppStatus, DesiredState};
use nokube_keys::Secret;
use nokube_sidecar::{
    Adopted, Health, LogQuery, Observed, Sidecar, SidecarOptions, SpecFault, StorageOptions,
    Target, TargetError, TargetEvent,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

pub(crate) const SIDECAR_TOKEN: &str = "sidecar-token";
pub(crate) const SYSTEM_TOKEN: &str = "system-token";
/// 32 zero bytes.
pub(crate) const SEALING_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
pub(crate) const APP_ID: &str = "01940000-0000-7000-8000-000000000001";

/// A target in memory. Its state outlives the sidecar, as a cluster's does.
#[derive(Default)]
pub(crate) struct FakeTarget {
    pub(crate) apps: Mutex<HashMap<String, FakeApp>>,
    /// What the next calls of `apply` answer, before they do as they are told.
    pub(crate) faults: Mutex<Vec<TargetError>>,
    /// What of a spec the target cannot have.
    pub(crate) refuses: Mutex<Option<&'static str>>,
    /// While set, `apply` never returns.
    pub(crate) hangs: Mutex<bool>,
    /// How often it still says that what was applied is to be applied again.
    pub(crate) stale: Mutex<u32>,
    pub(crate) applied: Mutex<Vec<u64>>,
    /// The generation of the last restart, as it was told last.
    pub(crate) restarted: Mutex<u64>,
    pub(crate) secrets: Mutex<BTreeMap<String, String>>,
    /// Generations, and whether they had been reached.
    pub(crate) adopted: Mutex<Vec<(u64, bool)>>,
    /// What was asked of logs.
    pub(crate) queries: Mutex<Vec<LogQuery>>,
    /// What the target says that it saw; nothing when it cannot say.
    pub(crate) events: Mutex<Option<Vec<DeploymentEvent>>>,
    pub(crate) changed: Notify,
}

#[derive(Clone)]
pub(crate) struct FakeApp {
    pub(crate) generation: u64,
    pub(crate) serving: Option<u64>,
    pub(crate) health: Health,
}

#[async_trait]
impl Target for FakeTarget {
    async fn adopt(&self, apps: &[Adopted]) {
        *self.adopted.lock().unwrap() = apps
            .iter()
            .map(|app| (app.wanted.generation, app.settled))
            .collect();
    }

    fn check(&self, app: &AppSpec) -> Vec<SpecFault> {
        self.refuses
            .lock()
            .unwrap()
            .map_or_else(Vec::new, |pointer| {
                assert_eq!(app.deployment_id, APP_ID);
                vec![SpecFault {
                    pointer: pointer.to_owned(),
                    detail: "is not possible here".to_owned(),
                }]
            })
    }

    async fn apply(
        &self,
        app: &AppSpec,
        restarted: u64,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<(), TargetError> {
        self.applied.lock().unwrap().push(app.generation);
        *self.restarted.lock().unwrap() = restarted;
        if *self.hangs.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        if let Some(fault) = self.faults.lock().unwrap().pop() {
            return Err(fault);
        }
        *self.secrets.lock().unwrap() = secrets
            .iter()
            .map(|(name, secret)| (name.clone(), secret.expose().to_owned()))
            .collect();
        let running = app.desired == DesiredState::Running;
        self.apps.lock().unwrap().insert(
            app.deployment_id.clone(),
            FakeApp {
                generation: app.generation,
                serving: running.then_some(app.generation),
                health: if running {
                    Health::Ready
                } else {
                    Health::Stopped
                },
            },
        );
        Ok(())
    }

    async fn remove(&self, app: &AppSpec) -> Result<(), TargetError> {
        self.apps.lock().unwrap().remove(&app.deployment_id);
        Ok(())
    }

    async fn observe(&self, app: &AppSpec) -> Result<Observed, TargetError> {
        let apps = self.apps.lock().unwrap();
        let is_stale = {
            let mut stale = self.stale.lock().unwrap();
            let is_stale = *stale > 0;
            *stale = stale.saturating_sub(1);
            is_stale
        };
        Ok(apps
            .get(&app.deployment_id)
            .map_or_else(Observed::absent, |there| Observed {
                present: true,
                applied: Some(there.generation),
                serving: there.serving,
                stale: is_stale,
                health: there.health.clone(),
                replicas_ready: u32::from(there.serving.is_some()),
                objects: vec!["Application"],
            }))
    }

    fn access_url(&self, app: &AppSpec) -> Option<String> {
        Some(format!("http://{}.localhost/", app.service))
    }

    async fn logs(&self, _app: &AppSpec, query: LogQuery) -> Result<LogPage, TargetError> {
        self.queries.lock().unwrap().push(query.clone());
        match query.cursor.as_deref() {
            Some("bad") => Err(TargetError::Refused("not a cursor".to_owned())),
            _ => Ok(LogPage {
                lines: Vec::new(),
                cursor: "1".to_owned(),
                complete: false,
            }),
        }
    }

    async fn events(&self, _app: &AppSpec) -> Result<Vec<DeploymentEvent>, TargetError> {
        let events = self.events.lock().unwrap().clone();
        events.ok_or_else(|| TargetError::Unavailable("the watch is broken".to_owned()))
    }

    async fn next_event(&self) -> TargetEvent {
        self.changed.notified().await;
        TargetEvent::Everything
    }
}

/// What the platform heard.
#[derive(Default)]
pub(crate) struct FakePlatform {
    pub(crate) ticks: AtomicUsize,
    pub(crate) sources: Mutex<Vec<Value>>,
    pub(crate) down: Mutex<bool>,
    /// What it answers when asked whether a source is of use; otherwise that any is.
    pub(crate) awaited: Mutex<Option<(u16, Value)>>,
    /// What must stay, page by page, by path; without any it answers 503.
    pub(crate) kept: Mutex<HashMap<&'static str, Vec<Value>>>,
    /// `X-Request-Id` and `traceparent` of what it was asked and told about sources.
    pub(crate) origins: Mutex<Vec<(String, String)>>,
    /// How often it was asked for the first page of artifacts.
    pub(crate) asked: AtomicUsize,
}

impl FakePlatform {
    pub(crate) async fn serve(self: &Arc<Self>) -> String {
        let router = Router::new()
            .route("/internal/tick", post(tick))
            .route("/internal/builds/{id}/source", post(source).get(awaited))
            .route("/internal/artifacts", get(kept_artifacts))
            .route("/internal/builds/sources", get(kept_sources))
            .with_state(Arc::clone(self));
        serve(router).await
    }
}

async fn tick(State(platform): State<Arc<FakePlatform>>, headers: HeaderMap) -> StatusCode {
    assert_eq!(headers["authorization"], format!("Bearer {SYSTEM_TOKEN}"));
    platform.ticks.fetch_add(1, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

async fn source(
    State(platform): State<Arc<FakePlatform>>,
    headers: HeaderMap,
    axum::extract::Path(id): axum::extract::Path<String>,
    axum::Json(body): axum::Json<Value>,
) -> (StatusCode, axum::Json<Value>) {
    assert_eq!(headers["authorization"], format!("Bearer {SYSTEM_TOKEN}"));
    platform.note_origin(&headers);
    if *platform.down.lock().unwrap() {
        return (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(json!({})));
    }
    let mut sources = platform.sources.lock().unwrap();
    if sources
        .first()
        .is_some_and(|first| first["digest"] != body["digest"])
    {
        return (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(json!({})));
    }
    sources.push(body);
    (StatusCode::ACCEPTED, axum::Json(json!({ "build_id": id })))
}

async fn awaited(
    State(platform): State<Arc<FakePlatform>>,
    headers: HeaderMap,
) -> (StatusCode, axum::Json<Value>) {
    platform.note_origin(&headers);
    if *platform.down.lock().unwrap() {
        return (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(json!({})));
    }
    let answer = platform.awaited.lock().unwrap().clone();
    let (status, body) = answer.unwrap_or((200, json!({ "digest": null })));
    (StatusCode::from_u16(status).unwrap(), axum::Json(body))
}

async fn kept_artifacts(
    State(platform): State<Arc<FakePlatform>>,
    query: axum::extract::RawQuery,
) -> (StatusCode, axum::Json<Value>) {
    platform.page("/internal/artifacts", query)
}

async fn kept_sources(
    State(platform): State<Arc<FakePlatform>>,
    query: axum::extract::RawQuery,
) -> (StatusCode, axum::Json<Value>) {
    platform.page("/internal/builds/sources", query)
}

impl FakePlatform {
    fn note_origin(&self, headers: &HeaderMap) {
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let origin = (header("x-request-id"), header("traceparent"));
        self.origins.lock().unwrap().push(origin);
    }

    /// The page after the one that ends with the name that the query has.
    fn page(
        &self,
        path: &str,
        axum::extract::RawQuery(query): axum::extract::RawQuery,
    ) -> (StatusCode, axum::Json<Value>) {
        let after = query.unwrap_or_default().replace("%3A", ":");
        let after = after.strip_prefix("after=").unwrap_or_default().to_owned();
        if path == "/internal/artifacts" && after.is_empty() {
            self.asked.fetch_add(1, Ordering::SeqCst);
        }
        let kept = self.kept.lock().unwrap();
        let pages = kept.get(path).map_or(&[][..], Vec::as_slice);
        let number = if after.is_empty() {
            Some(0)
        } else {
            let ends = |page: &Value| {
                page["kept"].as_array().and_then(|names| names.last()) == Some(&json!(after))
            };
            pages.iter().position(ends).map(|number| number + 1)
        };
        match number.and_then(|number| pages.get(number)) {
            Some(page) => (StatusCode::OK, axum::Json(page.clone())),
            None => (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({}))),
        }
    }
}

pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A sidecar over HTTP.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    _sidecar: Sidecar,
}

impl Running {
    pub(crate) async fn start(data: &Path, target: &Arc<FakeTarget>, platform_url: &str) -> Self {
        Self::start_with(data, target, platform_url, StorageOptions::default()).await
    }

    /// With a DNS server of the test's.
    pub(crate) async fn start_asking(
        data: &Path,
        target: &Arc<FakeTarget>,
        dns_server: SocketAddr,
    ) -> Self {
        let mut options = options(data, "http://127.0.0.1:9", StorageOptions::default());
        options.dns_server = Some(dns_server);
        Self::start_so(options, target).await
    }

    pub(crate) async fn start_with(
        data: &Path,
        target: &Arc<FakeTarget>,
        platform_url: &str,
        storage: StorageOptions,
    ) -> Self {
        Self::start_so(options(data, platform_url, storage), target).await
    }

    async fn start_so(options: SidecarOptions, target: &Arc<FakeTarget>) -> Self {
        let target: Arc<dyn Target> = Arc::<FakeTarget>::clone(target);
        let sidecar = Sidecar::start(options, target).unwrap();
        let url = serve(sidecar.api_router().merge(sidecar.blob_router())).await;
        Self {
            url,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            _sidecar: sidecar,
        }
    }

    pub(crate) async fn put(&self, spec: &Value) -> (u16, Value) {
        let id = spec["deployment_id"].as_str().unwrap().to_owned();
        self.call(
            self.client
                .put(format!("{}/v1/apps/{id}", self.url))
                .json(spec),
        )
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call(self.client.get(format!("{}{path}", self.url)))
            .await
    }

    pub(crate) async fn call(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.bearer_auth(SIDECAR_TOKEN).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// Waits until the app's status is as `wanted` finds it.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&AppStatus) -> bool) -> AppStatus {
        for _ in 0..500 {
            let (_, body) = self.get(&format!("/v1/apps/{APP_ID}")).await;
            if let Ok(status) = serde_json::from_value::<AppStatus>(body)
                && wanted(&status)
            {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not within five seconds");
    }
}

fn options(data: &Path, platform_url: &str, storage: StorageOptions) -> SidecarOptions {
    SidecarOptions {
        data_dir: data.join("sidecar"),
        artifacts_dir: data.join("artifacts"),
        platform_url: platform_url.to_owned(),
        sidecar_token: SIDECAR_TOKEN.to_owned(),
        system_token: SYSTEM_TOKEN.to_owned(),
        sealing_key: SEALING_KEY.to_owned(),
        storage,
        dns_server: None,
    }
}

/// An ordinary spec of a generation.
pub(crate) fn spec(generation: u64) -> Value {
    let text = include_str!("spec.json").replace("\"GENERATION\"", &generation.to_string());
    serde_json::from_str(&text).unwrap()
}
