//! Whether builds work.

use nokube_guest::{Ctx, Response, health, platform};

use crate::error::BuildsError;

/// `GET /builds/health`.
pub(crate) async fn get_builds_health(cx: Ctx) -> Result<Response, BuildsError> {
    let database = platform::open(&cx).await;
    Ok(health(&cx, Some(database)).await)
}
