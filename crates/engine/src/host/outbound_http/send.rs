//! The way of one request: may it go, where to, and what comes back.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use http::{Method, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::{RequestBody, ResponseBody};
use super::chain::{ITSELF, Target};
use super::connect::ConnectError;
use super::{Origin, OutboundHttp};

/// A guest may ask for shorter times than the limit.
fn at_most(limit: Duration, asked: Option<Duration>) -> Duration {
    asked.map_or(limit, |asked| asked.min(limit))
}

impl OutboundHttp {
    pub(super) async fn send(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
        in_flight: Arc<Semaphore>,
        origin: &Origin,
    ) -> Result<Response<WasiBody>, Error> {
        let uri = request.uri();
        let Some(scheme) = uri.scheme().cloned() else {
            return Err(self.denied(origin, "a request without a scheme"));
        };
        // `user:password@host` is not sent, and hides which host is meant.
        let has_user = uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'));
        if has_user || request.method() == Method::CONNECT {
            return Err(self.denied(origin, "a request with user information, or CONNECT"));
        }
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let default_port = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default_port);
        let target = Target::of(&host);
        let asked = match target {
            Target::Itself => "self",
            Target::Component(_) | Target::Elsewhere => &host,
        };
        // Asked for by its name it would be let through by the entry that stands for the application.
        if target == Target::Elsewhere && asked == "self" {
            let what = format!(
                "a request to {scheme}://self:{port}: no machine is called so here; the application itself is {ITSELF}"
            );
            return Err(self.denied(origin, &what));
        }
        if !(self.allowed)(scheme.as_str(), asked, port) {
            let what = format!(
                "a request to {scheme}://{asked}:{port}, which is not in allowed_outbound_hosts"
            );
            return Err(self.denied(origin, &what));
        }

        let limits = &self.limits;
        let connect = at_most(limits.connect_timeout, options.connect_timeout);
        let first_byte = at_most(limits.first_byte_timeout, options.first_byte_timeout);
        let between_bytes = at_most(limits.between_bytes_timeout, options.between_bytes_timeout);
        let mut permits = vec![wait_for(in_flight, connect).await?];

        let component = match target {
            Target::Component(component) => Some(component),
            Target::Itself => None,
            Target::Elsewhere => {
                permits.push(wait_for(Arc::clone(&self.connections), connect).await?);
                let server = format!("{scheme}://{host}:{port}");
                let response = self
                    .send_elsewhere(request, &server, connect + first_byte, origin)
                    .await?;
                return Ok(self.bounded(response, between_bytes, permits));
            }
        };
        let response = timeout(first_byte, self.send_within(component, request, origin))
            .await
            .unwrap_or(Err(Error::HttpResponseTimeout))?;
        Ok(self.bounded(response, between_bytes, permits))
    }

    async fn send_elsewhere(
        &self,
        request: Request<WasiBody>,
        server: &str,
        patience: Duration,
        origin: &Origin,
    ) -> Result<Response<Incoming>, Error> {
        let max = self.limits.max_request_body_bytes;
        let mut request = request.map(|body| RequestBody::new(body, max).boxed_unsync());
        *request.version_mut() = Version::HTTP_11;
        timeout(patience, self.client.request(request))
            .await
            .map_err(|_elapsed| Error::ConnectionReadTimeout)?
            .map_err(|error| self.explain(&error, server, origin))
    }

    fn bounded<B>(
        &self,
        response: Response<B>,
        between_bytes: Duration,
        permits: Vec<OwnedSemaphorePermit>,
    ) -> Response<WasiBody>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
        B::Error: Into<Error>,
    {
        let max = self.limits.max_response_body_bytes;
        response.map(|body| ResponseBody::new(body, max, between_bytes, permits).boxed_unsync())
    }

    /// Tells the guest no, and its developer why.
    pub(super) fn denied(&self, origin: &Origin, what: &str) -> Error {
        self.remark(origin, &format!("refused: {what}"));
        Error::HttpRequestDenied
    }

    /// A line in the application's log.
    pub(super) fn remark(&self, origin: &Origin, text: &str) {
        self.log.system(origin.request_id.as_deref(), text);
    }

    /// The client's error in the guest's terms.
    fn explain(&self, error: &legacy::Error, target: &str, origin: &Origin) -> Error {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<ConnectError>() {
                return self.explain_connect(error, target, origin);
            }
            if let Some(Error::HttpRequestBodySize(max)) = error.downcast_ref() {
                return Error::HttpRequestBodySize(*max);
            }
            if let Some(error) = error.downcast_ref::<hyper::Error>()
                && (error.is_incomplete_message() || error.is_closed() || error.is_canceled())
            {
                return Error::ConnectionTerminated;
            }
            if error.is::<std::io::Error>() {
                return Error::ConnectionTerminated;
            }
            cause = error.source();
        }
        tracing::debug!(%error, target, "an outgoing request failed");
        Error::HttpProtocolError
    }

    fn explain_connect(&self, error: &ConnectError, target: &str, origin: &Origin) -> Error {
        match error {
            ConnectError::Prohibited(address) => {
                let what = format!(
                    "a request to {target}: {address} belongs to this machine or a private network"
                );
                self.denied(origin, &what)
            }
            ConnectError::Name(_) => Error::DnsError {
                rcode: None,
                info_code: None,
            },
            ConnectError::Io(error) => Error::Connect(error.kind().into()),
            ConnectError::Tls(error) => {
                let what = format!("a request to {target} failed: TLS: {error}");
                self.remark(origin, &what);
                Error::Tls(std::io::Error::new(error.kind(), error.to_string()))
            }
            ConnectError::Crowded => {
                let what = format!("a request to {target} failed: too many connections are open");
                self.remark(origin, &what);
                Error::ConnectionLimitReached
            }
            ConnectError::Timeout => Error::ConnectionTimeout,
            ConnectError::Address => Error::HttpRequestUriInvalid,
        }
    }
}

async fn wait_for(
    places: Arc<Semaphore>,
    patience: Duration,
) -> Result<OwnedSemaphorePermit, Error> {
    match timeout(patience, places.acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(Error::ConnectionLimitReached),
    }
}
