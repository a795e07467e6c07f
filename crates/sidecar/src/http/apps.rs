//! `/v1/apps…`: what shall run, and how far it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use nokube_api::deploy::DeploymentEvents;
use nokube_api::logs::LogPage;
use nokube_api::sidecar::{AppList, AppSpec, AppStatus};
use nokube_domain::{DeploymentId, Timestamp};
use serde::Deserialize;

use super::problem::Problem;
use crate::check::{SpecFault, check_spec};
use crate::desired::PutError;
use crate::events::by_time;
use crate::server::Shared;
use crate::target::{LogQuery, TargetError};

const DEFAULT_LOG_LINES: usize = 200;
const MAX_LOG_LINES: usize = 1000;

pub(crate) async fn put_app(
    State(shared): State<Arc<Shared>>,
    Path(deployment_id): Path<String>,
    body: Result<Json<AppSpec>, JsonRejection>,
) -> Result<(StatusCode, Json<AppStatus>), Problem> {
    let Json(spec) = body.map_err(|rejection| Problem::BadBody(rejection.body_text()))?;
    let mut faults = check_spec(&spec);
    if spec.deployment_id != deployment_id {
        faults.push(SpecFault {
            pointer: "/deployment_id".to_owned(),
            detail: "is not the one of the path".to_owned(),
        });
    }
    // The target's rules hold what has passed the others, and tell the same faults again.
    if faults.is_empty() {
        faults = shared.target.check(&spec);
    }
    if !faults.is_empty() {
        return Err(Problem::Invalid(faults));
    }
    nokube_faults::crash_point("sidecar.app_received");
    shared
        .on_store(move |store| store.put(spec))
        .await?
        .map_err(|error| match error {
            PutError::Io(error) => Problem::of_files("desired state cannot be written", &error),
            conflict @ (PutError::Stale { .. } | PutError::Deleted) => {
                Problem::Conflict(conflict.to_string())
            }
        })?;
    nokube_faults::crash_point("sidecar.app_stored");
    tracing::info!(deployment = deployment_id, "is wanted so from now on");
    shared.reconciler.wake(&deployment_id);
    let status = shared
        .reconciler
        .status(&deployment_id)
        .ok_or(Problem::NotFound)?;
    Ok((StatusCode::ACCEPTED, Json(status)))
}

pub(crate) async fn get_app(
    State(shared): State<Arc<Shared>>,
    Path(deployment_id): Path<String>,
) -> Result<Json<AppStatus>, Problem> {
    shared
        .reconciler
        .status(&deployment_id)
        .map(Json)
        .ok_or(Problem::NotFound)
}

pub(crate) async fn list_apps(State(shared): State<Arc<Shared>>) -> Json<AppList> {
    let apps = shared
        .store
        .all()
        .iter()
        .filter_map(|app| shared.reconciler.status(&app.wanted.deployment_id))
        .collect();
    Json(AppList { apps })
}

pub(crate) async fn delete_app(
    State(shared): State<Arc<Shared>>,
    Path(deployment_id): Path<String>,
) -> Result<(StatusCode, Json<AppStatus>), Problem> {
    DeploymentId::parse(&deployment_id).map_err(|_| Problem::NotFound)?;
    let id = deployment_id.clone();
    let known = shared
        .on_store(move |store| store.delete(&id))
        .await?
        .map_err(|error| Problem::of_files("a deletion cannot be written", &error))?;
    if !known {
        return Err(Problem::NotFound);
    }
    shared.reconciler.wake(&deployment_id);
    let status = shared
        .reconciler
        .status(&deployment_id)
        .ok_or(Problem::NotFound)?;
    Ok((StatusCode::ACCEPTED, Json(status)))
}

#[derive(Debug, Deserialize)]
pub(crate) struct LogsQuery {
    cursor: Option<String>,
    limit: Option<usize>,
    tail: Option<u64>,
    since: Option<String>,
    q: Option<String>,
}

pub(crate) async fn get_app_logs(
    State(shared): State<Arc<Shared>>,
    Path(deployment_id): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<Json<LogPage>, Problem> {
    let desired = shared
        .store
        .get(&deployment_id)
        .filter(|desired| desired.deletion.is_none())
        .ok_or(Problem::NotFound)?;
    let since = match query.since.as_deref().map(Timestamp::parse).transpose() {
        Ok(since) => since,
        Err(fault) => return Err(Problem::BadBody(format!("since {fault}"))),
    };
    let query = LogQuery {
        cursor: query.cursor,
        tail: query.tail,
        since,
        contains: query.q,
        limit: query
            .limit
            .unwrap_or(DEFAULT_LOG_LINES)
            .clamp(1, MAX_LOG_LINES),
    };
    match shared.target.logs(&desired.wanted, query).await {
        Ok(page) => Ok(Json(page)),
        Err(TargetError::Refused(message)) => Err(Problem::BadBody(message)),
        Err(TargetError::Unavailable(message)) => {
            tracing::warn!(deployment = deployment_id, message, "logs cannot be read");
            Err(Problem::Unavailable("the log cannot be read now"))
        }
    }
}

/// What the sidecar did with it and the target saw of it.
pub(crate) async fn get_app_events(
    State(shared): State<Arc<Shared>>,
    Path(deployment_id): Path<String>,
) -> Result<Json<DeploymentEvents>, Problem> {
    let desired = shared
        .store
        .get(&deployment_id)
        .filter(|desired| !desired.is_gone())
        .ok_or(Problem::NotFound)?;
    let of_target = shared
        .target
        .events(&desired.wanted)
        .await
        .map_err(|error| {
            tracing::warn!(deployment = deployment_id, %error, "events cannot be read");
            Problem::Unavailable("the target's events cannot be read now")
        })?;
    let own = shared.reconciler.events(&deployment_id);
    Ok(Json(DeploymentEvents {
        events: by_time(own, of_target),
    }))
}
