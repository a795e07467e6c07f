//! The public listener: who a request is for, by its host name and path, and nothing else.
//!
//! | host | path | who answers |
//! |---|---|---|
//! | of a deployment | any | the tenants' process, through [`proxy`] |
//! | any other | `/blobs/…` | the sidecar's blob store |
//! | any other | any other | the platform's application, if it runs in this process |

pub(crate) mod caller;
mod host_name;
pub(crate) mod hosts;
mod problem;
mod proxy;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body as AxumBody;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use nokube_engine::problem::finish;
use nokube_engine::registry::host_of;
use nokube_engine::server::Handler;
use nokube_engine::{App, Body, BodyError, Client, holding, settle_request_id};
use tower_service::Service as _;

use caller::{Caller, Proxies};
use hosts::{HostTable, Readiness};
use problem::Refusal;
use proxy::TenantProxy;

use super::unix::SocketDir;

const BLOBS: &str = "/blobs/";

/// The public listener's handler.
pub(crate) struct Front {
    hosts: Arc<HostTable>,
    proxies: Proxies,
    tenants: TenantProxy,
    blobs: Option<Router>,
    platform: Option<Arc<App>>,
}

impl Front {
    /// A front for applications alone.
    pub(crate) fn new(hosts: Arc<HostTable>, sockets: &SocketDir, proxies: Proxies) -> Self {
        Self {
            hosts,
            proxies,
            tenants: TenantProxy::new(sockets),
            blobs: None,
            platform: None,
        }
    }

    /// With the platform's application and the blob store.
    pub(crate) fn with_platform(mut self, platform: Arc<App>, blobs: Router) -> Self {
        self.platform = Some(platform);
        self.blobs = Some(blobs);
        self
    }

    async fn tenant(&self, host: String, request: Request<Body>, caller: Caller) -> Response<Body> {
        let place = match self.hosts.place(&host, &caller).transpose() {
            Ok(place) => place,
            Err(hosts::Full) => return Refusal::Busy.response(&request),
        };
        // Until the answer's head is here: then the tenants' process counts it.
        let _passing = self.hosts.pass(&host);
        match self.hosts.wait_until_ready(&host, &caller).await {
            Readiness::Serves => {
                let response = self.tenants.pass_on(&host, request, caller.client).await;
                response.map(|body| holding(body, place))
            }
            Readiness::Unknown => Refusal::NoSuchApplication.response(&request),
            Readiness::Down(why) => Refusal::Unavailable(why).response(&request),
        }
    }

    async fn blob(router: &Router, request: Request<Body>, request_id: &str) -> Response<Body> {
        let request = request.map(AxumBody::new);
        let mut response = match router.clone().call(request).await {
            Ok(response) => response.map(|body| {
                body.map_err(|error| BodyError::InternalError(Some(error.to_string())))
                    .boxed_unsync()
            }),
            Err(never) => match never {},
        };
        finish(response.headers_mut(), request_id);
        response
    }
}

impl Handler for Front {
    async fn handle(&self, mut request: Request<Body>, client: Client) -> Response<Body> {
        // One id, whoever answers.
        let request_id = settle_request_id(request.headers_mut());
        let host = host_of(&request)
            .map(host_name::normalized)
            .unwrap_or_default();
        if self.hosts.is_tenants(&host) {
            let caller = self.proxies.caller(request.headers(), client);
            return self.tenant(host, request, caller).await;
        }
        if let Some(blobs) = &self.blobs
            && request.uri().path().starts_with(BLOBS)
        {
            return Self::blob(blobs, request, &request_id).await;
        }
        match &self.platform {
            Some(platform) => platform.handle(request, client).await,
            None => Refusal::NoSuchApplication.response(&request),
        }
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.trusts(address)
    }
}
