//! Whether `projects` works.

use nokube_guest::{Ctx, Response, platform};

use crate::error::ProjectsError;

/// `GET /projects/health`.
pub(crate) async fn get_projects_health(cx: Ctx) -> Result<Response, ProjectsError> {
    Ok(nokube_guest::health(&cx, Some(platform::open(&cx).await)).await)
}
