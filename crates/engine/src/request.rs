//! One request inside the engine: its id, what bounds it, why it failed, and Spin's headers.

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::task::AtomicWaker;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use uuid::Uuid;

use crate::failure::Failure;
use crate::gate::InFlight;
use crate::host::outbound_http::ChainDepth;
use crate::ticker::Busy;

/// The header that names a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request on its way through one component.
///
/// Whoever works for it holds it: the caller until the answer's last byte is sent, the worker until the guest has
/// returned. When both let go, its place in the component's queue is free again.
pub(crate) struct RequestState {
    pub(crate) id: Arc<str>,
    /// How many services called each other to get here.
    pub(crate) depth: ChainDepth,
    failure: OnceLock<Failure>,
    cancelled: AtomicBool,
    /// Wakes the worker that has this request.
    worker: AtomicWaker,
    returned: AtomicBool,
    over: AtomicBool,
    /// Others run in the same instance, which looks for what is over among them.
    is_shared: AtomicBool,
    ended: AtomicBool,
    ended_notify: Notify,
    started: OnceLock<Instant>,
    answered: AtomicBool,
    logged: AtomicBool,
    _place: Place,
}

/// What a request occupies while it is served.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _in_flight: InFlight,
    _busy: Busy,
}

impl Place {
    pub(crate) fn new(permit: OwnedSemaphorePermit, in_flight: InFlight, busy: Busy) -> Self {
        Self {
            _permit: permit,
            _in_flight: in_flight,
            _busy: busy,
        }
    }
}

impl RequestState {
    pub(crate) fn new(id: Arc<str>, depth: ChainDepth, place: Place) -> Self {
        Self {
            id,
            depth,
            failure: OnceLock::new(),
            cancelled: AtomicBool::new(false),
            worker: AtomicWaker::new(),
            returned: AtomicBool::new(false),
            over: AtomicBool::new(false),
            is_shared: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            ended_notify: Notify::new(),
            started: OnceLock::new(),
            answered: AtomicBool::new(false),
            logged: AtomicBool::new(false),
            _place: place,
        }
    }

    /// The answer's head is out: a failure from now on breaks the answer off.
    pub(crate) fn answered(&self) {
        self.answered.store(true, Ordering::Release);
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }

    /// True once.
    pub(crate) fn first_to_log(&self) -> bool {
        !self.logged.swap(true, Ordering::AcqRel)
    }

    /// Keeps the first reason: later ones follow from it.
    pub(crate) fn fail(&self, failure: Failure) {
        let _ = self.failure.set(failure);
    }

    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.failure.get()
    }

    /// The guest begins now; `is_shared` tells whether its instance may serve others beside it.
    pub(crate) fn start(&self, is_shared: bool) {
        self.is_shared.store(is_shared, Ordering::Release);
        let _ = self.started.set(Instant::now());
    }

    pub(crate) fn deadline(&self, wall: Duration) -> Option<Instant> {
        self.started.get()?.checked_add(wall)
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.worker.wake();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// The guest's function has returned, or been dropped; it may still send the answer's body.
    pub(crate) fn returned(&self) {
        self.returned.store(true, Ordering::Release);
    }

    /// The answer is sent, or nothing of it is wanted.
    pub(crate) fn over(&self) {
        self.over.store(true, Ordering::Release);
        // Where it runs alone, nothing is done about it before the guest comes to rest.
        if self.is_shared.load(Ordering::Acquire) {
            self.worker.wake();
        }
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Whether nothing is left to do for it.
    pub(crate) fn is_over(&self) -> bool {
        self.returned.load(Ordering::Acquire) && (self.is_sent() || self.is_cancelled())
    }

    pub(crate) fn register_worker(&self, waker: &std::task::Waker) {
        self.worker.register(waker);
    }

    /// The guest's work for it is over, well or not.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.ended_notify.notify_waiters();
    }

    /// Waits for [`Self::end`], but no longer than `limit`.
    pub(crate) async fn ended(&self, limit: Duration) {
        let notified = self.ended_notify.notified();
        if !self.ended.load(Ordering::Acquire) {
            let _ = tokio::time::timeout(limit, notified).await;
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Their address; `0.0.0.0:0` for calls among an application's own components, as Spin has it.
    pub addr: SocketAddr,
    /// Whether the connection to the outside was encrypted.
    pub https: bool,
}

impl Client {
    /// Somebody at `addr` over plain HTTP.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, https: false }
    }

    /// The engine itself or another component of the same application.
    pub const fn internal() -> Self {
        let unspecified = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        Self {
            addr: SocketAddr::new(unspecified, 0),
            https: false,
        }
    }

    pub(crate) fn scheme(&self) -> Scheme {
        if self.https {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        }
    }
}

/// The client's request id when it is sane (letters, digits, `-_.:`), else a new one; either way it is in `headers`
/// afterwards.
pub fn settle_request_id(headers: &mut HeaderMap) -> String {
    let sane = |id: &&str| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(sane);
    if let Some(id) = given {
        return id.to_owned();
    }
    let id = new_request_id().to_string();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    id
}

/// An id of version 7 that nobody can guess. `Uuid::now_v7` would ask the kernel for randomness each time, while it
/// holds a lock of the whole process.
fn new_request_id() -> Uuid {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut random = [0; 10];
    let (first, second) = random.split_at_mut(8);
    // A keyed hash of a number that does not come again.
    first.copy_from_slice(&KEY.hash_one((number, 0)).to_ne_bytes());
    second.copy_from_slice(&KEY.hash_one((number, 1)).to_ne_bytes()[..2]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// Removes what only the engine may say.
pub(crate) fn strip_spin_headers(headers: &mut HeaderMap) {
    let spin: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("spin-"))
        .cloned()
        .collect();
    for name in spin {
        headers.remove(name);
    }
}

/// What Spin tells a component about the route that led to it.
pub(crate) struct RouteFacts<'a> {
    /// What the trailing wildcard matched, with its slash; empty without one.
    pub(crate) path_info: &'a str,
    /// The route with a leading and without a trailing slash.
    pub(crate) matched_route: &'a str,
    /// The route as the manifest has it, such as `/api/:id/...`.
    pub(crate) raw_route: &'a str,
    /// The same without the wildcard at its end.
    pub(crate) component_route: &'a str,
    /// Values of `:name` segments.
    pub(crate) named: &'a [(&'a str, &'a str)],
}

const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");
/// How many of them every request gets.
const SPIN_HEADERS: usize = 7;

/// Adds Spin's headers (spin `crates/trigger-http/src/headers.rs`). Client-sent ones must be gone already.
pub(crate) fn add_spin_headers(
    headers: &mut HeaderMap,
    uri: &Uri,
    host: &str,
    client: Client,
    facts: &RouteFacts<'_>,
) {
    headers.reserve(SPIN_HEADERS);
    let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
    let full_url = format!("{}://{host}{path_and_query}", client.scheme());
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(PATH_INFO, facts.path_info);
    put(FULL_URL, &full_url);
    put(MATCHED_ROUTE, facts.matched_route);
    put(BASE_PATH, "/");
    put(RAW_COMPONENT_ROUTE, facts.raw_route);
    put(COMPONENT_ROUTE, facts.component_route);
    put(CLIENT_ADDR, &client.addr.to_string());
    for (name, value) in facts.named {
        let name = name.to_ascii_lowercase().replace('_', "-");
        if let Ok(name) = format!("spin-path-match-{name}").parse() {
            put(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_request_ids_are_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("abc-1.2_3"));
        assert_eq!(settle_request_id(&mut headers), "abc-1.2_3");
        headers.insert(REQUEST_ID, HeaderValue::from_static("a b"));
        let made = settle_request_id(&mut headers);
        assert_ne!(made, "a b");
        assert_eq!(headers[REQUEST_ID], made.as_str());
        let [made, another] = [made.parse::<Uuid>(), Ok(new_request_id())].map(Result::unwrap);
        assert_eq!(
            (made.get_version_num(), made.get_variant()),
            (7, uuid::Variant::RFC4122)
        );
        let random = |id: Uuid| id.as_bytes()[8..].to_owned();
        assert_ne!(random(made), random(another));
    }

    #[test]
    fn a_client_cannot_speak_for_the_engine() {
        let mut headers = HeaderMap::new();
        headers.append("spin-client-addr", HeaderValue::from_static("1.2.3.4:5"));
        headers.append("spin-client-addr", HeaderValue::from_static("1.2.3.4:6"));
        headers.append("Spin-Full-Url", HeaderValue::from_static("x"));
        headers.append("accept", HeaderValue::from_static("x"));
        strip_spin_headers(&mut headers);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn spin_headers_are_those_of_spin() {
        let mut headers = HeaderMap::new();
        let uri: Uri = "http://fermyon.dev/foo/42/bar?key1=value1"
            .parse()
            .expect("a URI");
        let client = Client {
            addr: ([127, 0, 0, 1], 8777).into(),
            https: true,
        };
        let facts = RouteFacts {
            path_info: "/bar",
            matched_route: "/foo/:userid/...",
            raw_route: "/foo/:userid/...",
            component_route: "/foo/:userid",
            named: &[("userid", "42")],
        };
        add_spin_headers(&mut headers, &uri, "fermyon.dev", client, &facts);
        let expected = [
            (
                "spin-full-url",
                "https://fermyon.dev/foo/42/bar?key1=value1",
            ),
            ("spin-path-info", "/bar"),
            ("spin-matched-route", "/foo/:userid/..."),
            ("spin-base-path", "/"),
            ("spin-raw-component-route", "/foo/:userid/..."),
            ("spin-component-route", "/foo/:userid"),
            ("spin-client-addr", "127.0.0.1:8777"),
            ("spin-path-match-userid", "42"),
        ];
        for (name, value) in expected {
            assert_eq!(headers[name], value, "{name}");
        }
        assert_eq!(headers.len(), expected.len());
    }
}
