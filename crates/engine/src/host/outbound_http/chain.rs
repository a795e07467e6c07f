//! Requests that stay within the application: to a component by name, or to whatever serves a path.

use std::pin::Pin;
use std::sync::Arc;

use http::uri::Scheme;
use http::{HeaderValue, Request, Response};
use wasmtime_wasi_http::{Error, WasiBody};

use super::{Origin, OutboundHttp};
use crate::request::REQUEST_ID;

/// How often a chained call may chain again before it is taken for a loop.
const MAX_CHAIN_DEPTH: u32 = 16;

/// The names of an application's own components.
const COMPONENTS: &str = ".spin.internal";

/// The name of the application itself, for SDKs that can't send a request without a host.
pub(super) const ITSELF: &str = "self.alt";

/// A future that owns what it needs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Local service chaining: calls another component of the same application without a network.
pub trait Chain: Send + Sync {
    /// Sends `request` to the component with the id `component`, of which the manifest of the caller allows to know.
    ///
    /// The request's extensions hold its [`ChainDepth`], for the state of the instance that serves it. Unknown
    /// components are answered with [`Error::DestinationNotFound`].
    fn call(
        &self,
        component: &str,
        request: Request<WasiBody>,
    ) -> BoxFuture<Result<Response<WasiBody>, Error>>;

    /// Sends `request` to whatever component of the application serves its path. Refused unless implemented.
    fn call_self(
        &self,
        request: Request<WasiBody>,
    ) -> BoxFuture<Result<Response<WasiBody>, Error>> {
        drop(request);
        Box::pin(async { Err(Error::HttpRequestDenied) })
    }
}

/// How many chained calls led to a request; 0, or absent, for one that came from outside.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct ChainDepth(pub u32);

/// Where a request leads.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Target<'a> {
    /// To the component with this id.
    Component(&'a str),
    /// To the application itself.
    Itself,
    /// To another machine, or another program on this one.
    Elsewhere,
}

impl<'a> Target<'a> {
    /// What the host of a request means, in lower case and empty when there is none.
    pub(super) fn of(host: &'a str) -> Self {
        match host.strip_suffix(COMPONENTS) {
            Some(component) => Self::Component(component),
            None if host.is_empty() || host == ITSELF => Self::Itself,
            None => Self::Elsewhere,
        }
    }
}

impl OutboundHttp {
    /// Sends `request` to `component`, or to the application itself.
    pub(super) async fn send_within(
        &self,
        component: Option<&str>,
        mut request: Request<WasiBody>,
        origin: &Origin,
    ) -> Result<Response<WasiBody>, Error> {
        let Some(chain) = self.chain.as_ref().map(Arc::clone) else {
            let what = "a request within the application, which has no other components";
            return Err(self.denied(origin, what));
        };
        let ChainDepth(depth) = origin.depth;
        if depth >= MAX_CHAIN_DEPTH {
            let what = format!(
                "refused: a request within the application, after {depth} components called each other"
            );
            self.remark(origin, &what);
            return Err(Error::LoopDetected);
        }
        request.extensions_mut().insert(ChainDepth(depth + 1));
        // One id for all that a request causes, unless the guest has its own ideas.
        let id = origin.request_id.as_deref();
        if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
            request.headers_mut().entry(REQUEST_ID).or_insert(id);
        }
        match component {
            Some(_) if request.uri().scheme() != Some(&Scheme::HTTP) => {
                Err(self.denied(origin, "a request to another component that is not http://"))
            }
            Some(component) => chain.call(component, request).await,
            None => chain.call_self(request).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_within_the_application_are_told_from_others() {
        assert_eq!(Target::of("auth.spin.internal"), Target::Component("auth"));
        assert_eq!(Target::of("self.alt"), Target::Itself);
        assert_eq!(Target::of(""), Target::Itself);
        assert_eq!(Target::of("spin.internal"), Target::Elsewhere);
        assert_eq!(Target::of("auth.spin.internal.example"), Target::Elsewhere);
    }
}
