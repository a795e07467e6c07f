//! Passing requests on to the tenants' process over its Unix socket.

use http::header::{
    CONNECTION, EXPECT, FORWARDED, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client as HttpClient;
use nokube_engine::server::{CLIENT_ADDR, CLIENT_SCHEME};
use nokube_engine::{Body, Client};

use super::problem::Refusal;
use crate::platform::tenants::HTTP_SOCKET;
use crate::platform::unix::{self, SocketDir, UnixConnector};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// About one connection, not about the request (RFC 9110, section 7.6.1); `keep-alive` and
/// `proxy-connection` have no names in `http`.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What a client may not say about itself.
const OURS_TO_SAY: [HeaderName; 7] = [
    FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
    X_REAL_IP,
    CLIENT_ADDR,
    CLIENT_SCHEME,
];

/// The way to the tenants' process.
pub(super) struct TenantProxy {
    client: HttpClient<UnixConnector, Body>,
}

impl TenantProxy {
    pub(super) fn new(sockets: &SocketDir) -> Self {
        Self {
            client: unix::client(sockets, HTTP_SOCKET),
        }
    }

    /// Passes a request for `host` on. Bodies stream both ways.
    pub(super) async fn pass_on(
        &self,
        host: &str,
        request: Request<Body>,
        client: Client,
    ) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        // What the answer to a failure looks like depends on these.
        let asked = Request::from_parts(parts.clone(), ());
        let Some(uri) = uri_of(parts.uri.path_and_query()) else {
            return Refusal::BadTarget.response(&asked);
        };
        parts.uri = uri;
        let authority = parts.headers.get(HOST).cloned();
        settle_headers(&mut parts.headers, host, authority, client);
        match self.client.request(Request::from_parts(parts, body)).await {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                remove_hop_by_hop(&mut parts.headers);
                Response::from_parts(parts, body.map_err(Into::into).boxed_unsync())
            }
            Err(error) => {
                tracing::debug!(host, %error, "the tenants' process did not answer a request");
                Refusal::Failed.response(&asked)
            }
        }
    }
}

/// The address within the tenants' process; its authority names the pool of connections, no more.
fn uri_of(path: Option<&PathAndQuery>) -> Option<Uri> {
    Uri::builder()
        .scheme("http")
        .authority("tenants")
        .path_and_query(path.filter(|path| path.as_str().starts_with('/'))?.clone())
        .build()
        .ok()
}

fn settle_headers(
    headers: &mut HeaderMap,
    host: &str,
    authority: Option<HeaderValue>,
    client: Client,
) {
    remove_hop_by_hop(headers);
    headers.remove(EXPECT);
    for name in &OURS_TO_SAY {
        headers.remove(name);
    }
    // One host, the one that was looked up: with its port when it has the same name.
    let same = authority.filter(|value| {
        value
            .to_str()
            .is_ok_and(|value| super::host_name::normalized(value) == host)
    });
    let mut set = |name: HeaderName, value: Option<HeaderValue>| {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    };
    let scheme = if client.https { "https" } else { "http" };
    let host = same.or_else(|| HeaderValue::from_str(host).ok());
    let addr = client.addr;
    set(
        X_FORWARDED_FOR,
        HeaderValue::from_str(&addr.ip().to_string()).ok(),
    );
    set(X_FORWARDED_PROTO, Some(HeaderValue::from_static(scheme)));
    set(X_FORWARDED_HOST, host.clone());
    set(CLIENT_ADDR, HeaderValue::from_str(&addr.to_string()).ok());
    set(CLIENT_SCHEME, Some(HeaderValue::from_static(scheme)));
    set(HOST, host);
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_about_itself_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("8.8.8.8"));
        headers.insert(CLIENT_ADDR, HeaderValue::from_static("8.8.8.8:1"));
        headers.insert(CONNECTION, HeaderValue::from_static("x-private, close"));
        headers.insert("x-private", HeaderValue::from_static("1"));
        headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        headers.insert("accept", HeaderValue::from_static("*/*"));
        let client = Client::new(([192, 0, 2, 7], 99).into());
        let authority = HeaderValue::from_static("API.shop.ada.localhost:3000");
        settle_headers(
            &mut headers,
            "api.shop.ada.localhost",
            Some(authority),
            client,
        );
        let mut got: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        got.sort();
        assert_eq!(
            got,
            [
                "accept: */*",
                "host: API.shop.ada.localhost:3000",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: API.shop.ada.localhost:3000",
                "x-forwarded-proto: http",
                "x-nokube-client-addr: 192.0.2.7:99",
                "x-nokube-client-scheme: http",
            ]
        );
    }

    #[test]
    fn a_host_other_than_the_one_looked_up_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("other.shop.eve.localhost"));
        headers.append(HOST, HeaderValue::from_static("third.localhost"));
        let authority = headers.get(HOST).cloned();
        settle_headers(
            &mut headers,
            "api.shop.ada.localhost",
            authority,
            Client::new(([127, 0, 0, 1], 1).into()),
        );
        let hosts: Vec<_> = headers.get_all(HOST).iter().collect();
        assert_eq!(hosts, ["api.shop.ada.localhost"]);
    }
}
