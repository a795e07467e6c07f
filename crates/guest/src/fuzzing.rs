//! What must hold whatever strangers send: for `cargo xtask fuzz`, and for its corpora as ordinary tests.
//!
//! An input is a request in text: method and path, a line per header, an empty line, the body.

use std::cell::RefCell;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::Method;
use nokube_domain::Timestamp;

use crate::address::client_address;
use crate::body::json_object;
use crate::db::DbError;
use crate::host::{
    BodyError, BodyReader, Connection, Headers, Host, InboundRequest, LocalFuture, OutboundAnswer,
    OutboundRequest, SendError,
};
use crate::{Caller, Component, Ctx, Cursor, Error, Paging, Response, Route, bearer, etag};

static ROUTES: &[Route] = crate::routes! {
    public {
        GET "/api/v1/things" => list_things;
        POST "/api/v1/things" => create_thing;
        GET "/api/v1/things/:id/parts/:part" => get_part;
    }
    user {
        GET "/api/v1/things/:id" => for_users;
    }
    runner {
        POST "/api/v1/runner/lease" => for_machines;
    }
    system {
        POST "/internal/tick" => for_machines;
    }
};

static COMPONENT: Component = Component {
    name: "things",
    routes: ROUTES,
};

async fn list_things(cx: Ctx) -> Result<Response, Error> {
    let paging = cx.paging()?;
    let _ = Cursor::from_query(&cx)?;
    Ok(paging.answer(&cx, vec![cx.path().to_owned()], 1_000))
}

async fn create_thing(mut cx: Ctx) -> Result<Response, Error> {
    let fields = cx.fields().await;
    cx.check_if_match(&1)?;
    fields.map(|_| cx.resource(201, &1))
}

async fn get_part(cx: Ctx) -> Result<Response, Error> {
    let part = cx.parameter("part", "part", |text| Ok::<_, Error>(text.to_owned()))?;
    assert!(!part.is_empty(), "a parameter is something");
    Ok(cx.resource(200, &part))
}

async fn for_users(_: Ctx, caller: Caller) -> Result<Response, Error> {
    panic!("a stranger is {caller:?}")
}

async fn for_machines(cx: Ctx) -> Result<Response, Error> {
    panic!("a stranger is a machine: {:?}", cx.headers())
}

/// A host that has secrets which are in no corpus, and else nothing.
#[derive(Default)]
struct Nowhere {
    logged: RefCell<Vec<String>>,
}

impl Host for Nowhere {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }

    fn variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "trusted_proxies" => "10.0.0.0/8, 2001:db8::/32",
            "cors_origins" => "https://app.example.com",
            // The public key of RFC 8037, appendix A.2, whose private one is not used here.
            "jwt_public_keys" => "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "system_token" | "runner_token" => return Some(secret(name)),
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn open_database(&self, _: &str) -> Result<Box<dyn Connection>, DbError> {
        Err(DbError::Unavailable("there is none".to_owned()))
    }

    fn send(&self, _: OutboundRequest) -> LocalFuture<'_, Result<OutboundAnswer, SendError>> {
        Box::pin(async { Err(SendError::NoAnswer("there is nobody".to_owned())) })
    }

    fn sleep(&self, _: u64) -> LocalFuture<'_, ()> {
        Box::pin(async {})
    }

    fn log(&self, line: &str) {
        self.logged.borrow_mut().push(line.to_owned());
    }
}

/// Another one in each process.
fn secret(name: &str) -> String {
    thread_local! {
        static RANDOM: u64 = {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).expect("the machine has randomness");
            u64::from_le_bytes(bytes)
        };
    }
    format!("{name}-{:x}", RANDOM.with(|random| *random))
}

struct InMemory(Vec<u8>);

impl BodyReader for InMemory {
    fn read(self: Box<Self>, limit: usize) -> LocalFuture<'static, Result<Vec<u8>, BodyError>> {
        Box::pin(async move {
            if self.0.len() > limit {
                return Err(BodyError::TooLarge(limit));
            }
            Ok(self.0)
        })
    }
}

/// A request from its first byte to the answer.
pub fn requests(data: &[u8]) {
    let (head, body) = data
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .map_or((data, &b""[..]), |at| (&data[..at], &data[at + 2..]));
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines = head.lines();
    let (method, path) = lines
        .next()
        .and_then(|line| line.split_once(' '))
        .unwrap_or(("GET", "/"));
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = Headers(
        headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
    );
    check_parts(&headers, path, body);

    let host = Rc::new(Nowhere::default());
    let request = InboundRequest {
        method: Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET),
        path_and_query: path.to_owned(),
        headers,
        body: Box::new(InMemory(body.to_vec())),
    };
    let answer = pin!(crate::handle(
        &COMPONENT,
        Rc::clone(&host) as Rc<dyn Host>,
        request
    ));
    let Poll::Ready(answer) = answer.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("nothing here waits");
    };
    assert!(answer.status < 500, "{} {:?}", answer.status, host.logged);
    for (name, value) in &answer.headers {
        assert!(
            !value.contains(['\r', '\n', '\0']),
            "{name}: {value:?} would break the answer"
        );
    }
}

fn check_parts(headers: &Headers, path: &str, body: &[u8]) {
    let peer = client_address(headers, "", false);
    let trusted = "10.0.0.0/8, 2001:db8::/32";
    let behind = client_address(headers, trusted, false);
    if !is_proxy(peer) {
        assert_eq!(behind, peer, "who is no proxy is believed");
    }
    let _ = client_address(headers, trusted, true);
    if let Some(credential) = bearer::bearer(headers) {
        assert_eq!(credential, credential.trim());
        assert!(!credential.is_empty());
    }
    for list in headers.all("if-match") {
        let strong = etag::names(list, "\"tag\"", false);
        assert!(!strong || etag::names(list, "\"tag\"", true), "{list}");
    }
    let text = path.rsplit('=').next().unwrap_or_default();
    if let Some(cursor) = Cursor::parse(text) {
        assert_eq!(cursor.to_string(), text, "one place, one cursor");
    }
    if let Ok(paging) = Paging::from_query(Some(text), Some(text)) {
        assert!((1..=100).contains(&paging.limit()));
    }
    let _ = json_object(headers, body);
}

fn is_proxy(address: Option<IpAddr>) -> bool {
    match address {
        Some(IpAddr::V4(v4)) => v4.octets()[0] == 10,
        Some(IpAddr::V6(v6)) => v6.segments()[..2] == [0x2001, 0xdb8],
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_requests_holds() {
        nokube_corpus::replay("requests", super::requests);
    }
}
