//! A loaded application: routing, and the way of a request through one component.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, Uri, header, uri};
use http_body_util::{BodyExt, Empty};
use nokube_spinapp::routes::Router;
use wasmtime_wasi_http::handler::InstantiationError;

use crate::answer::{Answer, CancelOnDrop};
use crate::body;
use crate::closing::Closing;
use crate::component::{Component, ComponentShared};
use crate::failure::{Crowd, Failure};
use crate::gate::Flights;
use crate::host::outbound_http::ChainDepth;
use crate::instance::{NoSlot, SlowStart};
use crate::logs::AppLog;
use crate::problem::answer;
use crate::registry::host_of;
use crate::request::{
    Client, Place, RequestState, RouteFacts, add_spin_headers, settle_request_id,
    strip_spin_headers,
};
use crate::{Body, Engine};

/// Paths that Spin answers itself.
const WELL_KNOWN: &str = "/.well-known/spin/";

/// An application that can answer.
pub struct App {
    pub(crate) id: String,
    pub(crate) generation: u64,
    pub(crate) hosts: Vec<String>,
    pub(crate) engine: Engine,
    pub(crate) router: Router,
    pub(crate) components: HashMap<String, Component>,
    pub(crate) log: Arc<AppLog>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) closing: Arc<Closing>,
}

/// Why an application is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// It answered with a status that is not a success or redirection.
    #[error("{path} answered {status}")]
    Status {
        /// The path that was asked.
        path: String,
        /// The answer.
        status: StatusCode,
    },
    /// It did not answer in time.
    #[error("{path} did not answer within {limit:?}")]
    Timeout {
        /// The path that was asked.
        path: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The path cannot be asked for.
    #[error("{0:?} is not a path")]
    Path(String),
}

impl App {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The generation of its configuration.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Host names it answers to.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Its log.
    pub fn log(&self) -> &Arc<AppLog> {
        &self.log
    }

    /// Requests being answered, chained ones included.
    pub fn in_flight(&self) -> usize {
        self.flights.count()
    }

    /// Waits until nothing is in flight, for at most `limit`. False when time ran out.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.flights.drained(limit).await
    }

    /// Ends its idle instances; those at work end with their request.
    pub fn close(&self) {
        self.closing.close();
    }

    pub(crate) fn components(&self) -> impl Iterator<Item = &Component> {
        self.components.values()
    }

    /// Asks `path` as a readiness probe does: from inside, on a public route, for at most `limit`.
    ///
    /// # Errors
    ///
    /// When the answer is not 2xx or 3xx or does not come in time.
    pub async fn probe(
        self: &Arc<Self>,
        path: &str,
        limit: Duration,
    ) -> Result<StatusCode, ProbeError> {
        let host = self.hosts.first().map_or("localhost", String::as_str);
        let request = Request::builder()
            .uri(path)
            .header(header::HOST, host)
            .header(header::USER_AGENT, "nokube-probe")
            .body(Empty::new().map_err(|never| match never {}).boxed_unsync())
            .ok()
            .filter(|_| path.starts_with('/'))
            .ok_or_else(|| ProbeError::Path(path.to_owned()))?;
        let asked = async {
            let response = self.handle(request, Client::internal()).await;
            let status = response.status();
            // To its end: an answer that breaks off is none. What is in it does not matter.
            let _ = response.into_body().collect().await;
            status
        };
        match tokio::time::timeout(limit, asked).await {
            Ok(status) if status.is_success() || status.is_redirection() => Ok(status),
            Ok(status) => Err(ProbeError::Status {
                path: path.to_owned(),
                status,
            }),
            Err(_) => Err(ProbeError::Timeout {
                path: path.to_owned(),
                limit,
            }),
        }
    }

    /// Answers a request from outside. Never fails: what goes wrong becomes an answer with a problem in it, and a
    /// line in the application's log.
    pub async fn handle(
        self: &Arc<Self>,
        request: Request<Body>,
        client: Client,
    ) -> Response<Body> {
        self.routed(request, client, ChainDepth(0)).await
    }

    /// Answers a request by its path; the application's own components may ask like this too (`self`).
    pub(crate) async fn routed(
        self: &Arc<Self>,
        mut request: Request<Body>,
        client: Client,
        depth: ChainDepth,
    ) -> Response<Body> {
        strip_spin_headers(request.headers_mut());
        let id = settle_request_id(request.headers_mut());
        let asked = request.uri().clone();
        let path = asked.path();
        if let Some(well_known) = path.strip_prefix(WELL_KNOWN) {
            return match well_known {
                "health" => answer(StatusCode::OK, "text/plain", "OK".to_owned(), &id),
                _ => Failure::NoRoute.response(path, &id),
            };
        }
        let host = match settle_host(&mut request, client) {
            Ok(host) => host,
            Err(failure) => return failure.response(path, &id),
        };
        let Some(found) = self.router.find(path) else {
            return Failure::NoRoute.response(path, &id);
        };
        let Some(component) = self.components.get(found.component) else {
            return Failure::NoRoute.response(path, &id);
        };
        let facts = RouteFacts {
            path_info: &found.trailing,
            matched_route: found.route.matched(),
            raw_route: found.route.raw(),
            component_route: found.route.prefix(),
            named: &found.parameters,
        };
        add_spin_headers(request.headers_mut(), &asked, &host, client, &facts);
        self.serve(component, request, id, depth).await
    }

    /// Answers a request of another component of this application. `None` when there is no such component.
    pub(crate) async fn chained(
        self: &Arc<Self>,
        component: &str,
        mut request: Request<Body>,
        depth: ChainDepth,
    ) -> Option<Response<Body>> {
        let component = self.components.get(component)?;
        strip_spin_headers(request.headers_mut());
        let id = settle_request_id(request.headers_mut());
        let client = Client::internal();
        let host = match settle_host(&mut request, client) {
            Ok(host) => host,
            Err(failure) => return Some(failure.response(request.uri().path(), &id)),
        };
        // As Spin does: the whole path is below a route that matches everything.
        let uri = request.uri().clone();
        let facts = RouteFacts {
            path_info: uri.path(),
            matched_route: "/...",
            raw_route: "/...",
            component_route: "",
            named: &[],
        };
        add_spin_headers(request.headers_mut(), &uri, &host, client, &facts);
        Some(self.serve(component, request, id, depth).await)
    }

    async fn serve(
        self: &Arc<Self>,
        component: &Component,
        request: Request<Body>,
        id: String,
        depth: ChainDepth,
    ) -> Response<Body> {
        let uri = request.uri().clone();
        match self.try_serve(component, request, &id, depth).await {
            Ok(response) => response,
            Err(failure) => {
                if failure.is_worth_a_line() {
                    let line = format!(
                        "request failed with {}: {failure}",
                        failure.status().as_u16()
                    );
                    self.log
                        .system(Some(&component.shared.id), Some(&id), &line);
                }
                failure.response(uri.path(), &id)
            }
        }
    }

    async fn try_serve(
        self: &Arc<Self>,
        component: &Component,
        request: Request<Body>,
        id: &str,
        depth: ChainDepth,
    ) -> Result<Response<Body>, Failure> {
        let shared = &component.shared;
        let limit_bytes = shared.limits.request_body_bytes;
        let announced = body::Announced::of(&request);
        let in_flight = self.flights.begin();
        let (parts, body) = request.into_parts();
        // A chained request's body is written by a guest that may want an answer's head first.
        let body = if depth == ChainDepth(0) && announced.comes_ahead(limit_bytes) {
            body::ahead(body).await?
        } else {
            body
        };
        let request = Request::from_parts(parts, body);
        let permit = component.gate.enter().await.map_err(Failure::Busy)?;
        if let Err(errors) = shared.open().await {
            let reasons: Vec<_> = errors.iter().map(ToString::to_string).collect();
            return Err(Failure::Start(reasons.join("; ")));
        }
        let place = Place::new(permit, in_flight, self.engine.ticker().busy());
        let state = Arc::new(RequestState::new(id.into(), depth, place));
        let request = request.map(|body| body::bounded(body, announced, limit_bytes, &state));
        let is_head = request.method() == Method::HEAD;
        let waiting = CancelOnDrop::new(Arc::clone(&state));
        let result = component.handler.handle(Arc::clone(&state), request).await;
        waiting.disarm();
        match result {
            // The guest's own words about a body that broke off are worth less than the reason.
            Ok(response) => match state.failure() {
                Some(failure @ (Failure::BodyTooLarge { .. } | Failure::BodyTooSlow)) => {
                    state.over();
                    Err(failure.clone())
                }
                _ => Ok(Answer::wrap(response, is_head, state, Arc::clone(shared))),
            },
            Err(error) => {
                state.over();
                Err(reason(shared, &state, error).await)
            }
        }
    }
}

/// How long the instance that failed is waited for: it is being dropped and tells why.
const POST_MORTEM: Duration = Duration::from_secs(2);

/// Why there is no answer.
async fn reason(
    component: &ComponentShared,
    state: &RequestState,
    error: wasmtime::Error,
) -> Failure {
    if let Some(error) = error.downcast_ref::<InstantiationError<Arc<RequestState>>>() {
        let error = &error.error;
        let no_place = error.downcast_ref::<NoSlot>().is_some()
            || error
                .downcast_ref::<wasmtime::PoolConcurrencyLimitError>()
                .is_some();
        return if no_place {
            Failure::Busy(Crowd::Instances)
        } else if error.downcast_ref::<SlowStart>().is_some() {
            Failure::Wall {
                limit_ms: component.limits.wall_ms,
            }
        } else if error.downcast_ref::<crate::meter::OverBudget>().is_some() {
            Failure::Cpu {
                limit_ms: component.limits.cpu_ms,
            }
        } else if error.downcast_ref::<wasmtime::Trap>().is_some() {
            Failure::from_error(error)
        } else {
            Failure::Start(format!("{error:#}"))
        };
    }
    state.ended(POST_MORTEM).await;
    match state.failure() {
        Some(failure) => failure.clone(),
        None if error.downcast_ref::<wasmtime::WasmBacktrace>().is_some() => {
            Failure::from_error(&error)
        }
        None => Failure::NoAnswer(error.root_cause().to_string()),
    }
}

/// Gives the request a complete URI, as Spin does, and tells the host.
fn settle_host(request: &mut Request<Body>, client: Client) -> Result<String, Failure> {
    let host = host_of(request)
        .ok_or(Failure::BadRequest("The Host field is missing."))?
        .to_owned();
    let path = request
        .uri()
        .path_and_query()
        .ok_or(Failure::BadRequest("The path is missing."))?
        .clone();
    let mut parts = uri::Parts::default();
    parts.scheme = Some(client.scheme());
    parts.authority = host.parse().ok();
    parts.path_and_query = Some(path);
    // Refused without an authority.
    *request.uri_mut() =
        Uri::from_parts(parts).map_err(|_| Failure::BadRequest("The Host field is not a host."))?;
    Ok(host)
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("id", &self.id)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // Idle instances hold what their component shares, not the application.
        self.closing.close();
    }
}
