//! The policy for `wasi:http` requests that a component sends.
//!
//! [`OutboundHttpState`] takes the place of `wasmtime-wasi-http`'s own way of sending. A request goes out when the
//! component's manifest allows its address; `*.spin.internal` is handed to the application's other components; else the
//! name is resolved once, and only addresses that [`Egress`] permits are connected to, so that a name which changes its
//! address in between (DNS rebinding) gains nothing. Refusals are `HTTP-request-denied` for the guest, with the reason
//! in the application's log.

mod address;
mod body;
mod chain;
mod connect;
mod limits;
mod send;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

pub use self::address::is_public;
pub use self::chain::{BoxFuture, Chain, ChainDepth};
use self::connect::{Connector, SystemResolver};
pub use self::connect::{Resolve, Resolving};
pub use self::limits::Limits;
use super::LogSink;
use crate::threads::Share;

/// Idle connections that are kept open to one address.
const MAX_IDLE_PER_HOST: usize = 16;

/// The largest piece of a body that is taken from a guest at once. Up to two are kept for each body until they are
/// sent on.
const BODY_CHUNK_BYTES: usize = 64 << 10;

/// Where a component may connect to, whatever its manifest allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Egress {
    /// Addresses of the public internet: not this machine, nor its private networks, nor metadata services.
    Public,
    /// Anywhere.
    Any,
}

/// Tells whether the manifest allows a scheme, a host (an IPv6 address in brackets) and a port. Requests to the
/// application itself are asked for as host `self`.
pub type AllowList = Arc<dyn Fn(&str, &str, u16) -> bool + Send + Sync>;

/// What the outgoing requests of one application share.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// Where names are looked up.
    pub names: Share,
    /// Places for open connections, of each of which a connection takes one: the application's own, all
    /// applications'.
    pub connections: Vec<Arc<Semaphore>>,
}

/// What the instances of one component share for their outgoing requests.
#[derive(Clone)]
pub struct OutboundHttp {
    allowed: AllowList,
    chain: Option<Arc<dyn Chain>>,
    log: Arc<dyn LogSink>,
    limits: Limits,
    connections: Arc<Semaphore>,
    client: Client<Connector, WasiBody>,
}

impl fmt::Debug for OutboundHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundHttp")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl OutboundHttp {
    /// The outgoing requests of a component that may call what `allowed` says, within `egress` and `limits`. Refusals
    /// are explained in `log`. Without `chain`, `*.spin.internal` is refused.
    #[must_use]
    pub fn new(
        allowed: AllowList,
        egress: Egress,
        chain: Option<Arc<dyn Chain>>,
        log: Arc<dyn LogSink>,
        limits: Limits,
        allowance: Allowance,
    ) -> Self {
        let resolver = Arc::new(SystemResolver::new(allowance.names));
        let places = allowance.connections;
        Self::with_resolver(allowed, egress, chain, log, limits, places, resolver)
    }

    /// The same with another source of addresses than the system's.
    #[must_use]
    fn with_resolver(
        allowed: AllowList,
        egress: Egress,
        chain: Option<Arc<dyn Chain>>,
        log: Arc<dyn LogSink>,
        limits: Limits,
        places: Vec<Arc<Semaphore>>,
        resolver: Arc<dyn Resolve>,
    ) -> Self {
        let connector = Connector::new(egress, resolver, places, limits.connect_timeout);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.idle_timeout)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .build(connector);
        Self {
            allowed,
            chain,
            log,
            connections: Arc::new(Semaphore::new(limits.max_connections)),
            limits,
            client,
        }
    }
}

/// The request on whose behalf a guest sends others.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Its id: refusals are logged with it, and calls within the application carry it on.
    pub request_id: Option<Arc<str>>,
    /// How deep in a chain of calls it is.
    pub depth: ChainDepth,
}

/// The outgoing requests of one instance: the `hooks` of its `WasiHttpCtxView`.
#[derive(Debug)]
pub struct OutboundHttpState {
    shared: Arc<OutboundHttp>,
    in_flight: Arc<Semaphore>,
    origin: Origin,
}

impl OutboundHttpState {
    /// A state for an instance that has served nothing yet.
    #[must_use]
    pub fn new(shared: Arc<OutboundHttp>) -> Self {
        let in_flight = Arc::new(Semaphore::new(shared.limits.max_requests_per_instance));
        Self {
            shared,
            in_flight,
            origin: Origin::default(),
        }
    }

    /// Notes for which requests the instance works now: of several the deepest, and no id.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }
}

/// Fields that guests neither see nor set. The constant itself would be made, and dropped, for each field that is looked at.
static FORBIDDEN: [HeaderName; 9] = DEFAULT_FORBIDDEN_HEADERS;

/// What sends the rest of the exchange after the response's head has come; the connections' own tasks do that here.
type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for OutboundHttpState {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        FORBIDDEN.contains(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| FORBIDDEN.contains(name))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _body_sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Rest), Error>> + Send> {
        let shared = Arc::clone(&self.shared);
        let in_flight = Arc::clone(&self.in_flight);
        let origin = self.origin.clone();
        Box::new(async move {
            let response = shared
                .send(request, options.unwrap_or_default(), in_flight, &origin)
                .await?;
            let rest: Rest = Box::new(async { Ok(()) });
            Ok((response, rest))
        })
    }
}
