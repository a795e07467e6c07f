//! The HTTP side: what needs the bearer token, what needs a ticket, and what needs nothing are three
//! routers, so that none slips into another.

mod apps;
mod artifacts;
mod blobs;
mod dns;
mod health;
mod manifests;
mod origin;
mod problem;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};

pub(crate) use problem::Problem;

use crate::server::Shared;

/// A spec carries at most 512 KiB of variables, which JSON may double, and as much of secrets, sealed
/// and in base64.
const MAX_SPEC_BYTES: usize = 4 << 20;

/// For callers with the sidecar's token, and health for all.
pub(crate) fn api(shared: &Arc<Shared>) -> Router {
    let with_token = Router::new()
        .route("/v1/apps", get(apps::list_apps))
        .route(
            "/v1/apps/{deployment_id}",
            get(apps::get_app)
                .put(apps::put_app)
                .delete(apps::delete_app),
        )
        .route("/v1/apps/{deployment_id}/logs", get(apps::get_app_logs))
        .route("/v1/apps/{deployment_id}/events", get(apps::get_app_events))
        .route(
            "/v1/apps/{deployment_id}/manifests",
            get(manifests::get_app_manifests),
        )
        .route("/v1/preview", post(manifests::preview))
        .route("/v1/dns/txt", get(dns::get_txt_records))
        .route("/v1/artifacts/{digest}", get(artifacts::get_artifact))
        .layer(DefaultBodyLimit::max(MAX_SPEC_BYTES))
        .route_layer(from_fn_with_state(Arc::clone(shared), token::require_token));
    let open = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz));
    with_token
        .merge(open)
        .with_state(Arc::clone(shared))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn(origin::settle))
}

/// For holders of a ticket.
pub(crate) fn blobs(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route(
            "/blobs/{ticket}",
            get(blobs::get_blob)
                .put(blobs::put_blob)
                .post(blobs::put_blob),
        )
        .route("/blobs/{ticket}/{*rest}", any(problem::not_found))
        // The ticket says how much may be stored.
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(shared))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn(origin::settle))
}
