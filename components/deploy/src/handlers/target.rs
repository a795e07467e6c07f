//! What the target has of a deployment, and what it saw happen to it.

use nokube_guest::{Caller, Ctx, Response, platform};

use super::deployments::{deployment_id, visible};
use crate::error::DeployError;
use crate::sidecar::{app_events, app_manifests};

/// `GET /deployments/{id}/manifests`: none while the target does not know the deployment.
pub(crate) async fn get_deployment_manifests(
    cx: Ctx,
    caller: Caller,
) -> Result<Response, DeployError> {
    let id = deployment_id(&cx)?;
    let db = platform::open(&cx).await?;
    visible(&db, &caller, id).await?;
    let manifests = app_manifests(&cx, id).await?;
    Ok(Response::ok(&manifests.unwrap_or_default()))
}

/// `GET /deployments/{id}/events`: none while the target does not know the deployment.
pub(crate) async fn get_deployment_events(
    cx: Ctx,
    caller: Caller,
) -> Result<Response, DeployError> {
    let id = deployment_id(&cx)?;
    let db = platform::open(&cx).await?;
    visible(&db, &caller, id).await?;
    let events = app_events(&cx, id).await?;
    Ok(Response::ok(&events.unwrap_or_default()))
}
