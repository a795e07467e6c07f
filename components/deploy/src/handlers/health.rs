//! Whether deployments work.

use nokube_guest::{Ctx, Response, health, platform};

use crate::error::DeployError;

/// `GET /deploy/health`.
pub(crate) async fn get_deploy_health(cx: Ctx) -> Result<Response, DeployError> {
    let database = platform::open(&cx).await;
    Ok(health(&cx, Some(database)).await)
}
