//! Service chaining: `http://<component>.spin.internal/…` without a network, inside one application.

use std::sync::Weak;

use http::{Request, Response};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::app::App;
use crate::host::outbound_http::{BoxFuture, Chain, ChainDepth};
use crate::request::Client;

/// The components of an application as another one of them reaches them.
pub(crate) struct ChainTo(pub(crate) Weak<App>);

impl Chain for ChainTo {
    fn call(
        &self,
        component: &str,
        request: Request<WasiBody>,
    ) -> BoxFuture<Result<Response<WasiBody>, Error>> {
        let app = self.0.upgrade();
        let component = component.to_owned();
        Box::pin(async move {
            let app = app.ok_or(Error::DestinationUnavailable)?;
            let depth = request
                .extensions()
                .get::<ChainDepth>()
                .copied()
                .unwrap_or_default();
            app.chained(&component, request, depth)
                .await
                .ok_or(Error::DestinationNotFound)
        })
    }

    fn call_self(
        &self,
        request: Request<WasiBody>,
    ) -> BoxFuture<Result<Response<WasiBody>, Error>> {
        let app = self.0.upgrade();
        Box::pin(async move {
            let app = app.ok_or(Error::DestinationUnavailable)?;
            let depth = request
                .extensions()
                .get::<ChainDepth>()
                .copied()
                .unwrap_or_default();
            Ok(app.routed(request, Client::internal(), depth).await)
        })
    }
}
