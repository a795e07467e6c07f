//! `/healthz`: the process answers. `/readyz`: it can do its work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::server::Shared;

pub(crate) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok", "service": "sidecar", "version": env!("CARGO_PKG_VERSION") }))
}

pub(crate) async fn readyz(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, Problem> {
    if shared.target.is_ready().await {
        Ok(healthz().await)
    } else {
        Err(Problem::Unavailable("the target is not ready"))
    }
}
