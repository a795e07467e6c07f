//! What other parts of the platform may ask.

use nokube_api::auth::UserForgotten;
use nokube_domain::UserId;
use nokube_guest::{Audit, Ctx, Response, platform};
use serde_json::json;

use crate::error::ProjectsError;
use crate::store::users::{projects_owned_count, user_forget};

/// `DELETE /internal/owners/{id}`: forgets a user whose account is about to be deleted. While it owns
/// projects nothing is done, and how many they are is the answer.
pub(crate) async fn forget_user(cx: Ctx) -> Result<Response, ProjectsError> {
    let id = cx.parameter("id", "user", UserId::parse)?;
    let db = platform::open(&cx).await?;
    let owned_projects = db
        .transaction(async |tx| {
            let owned = projects_owned_count(tx, id).await?;
            if owned == 0 {
                user_forget(tx, id).await?;
                let audit = Audit {
                    action: "user.forget",
                    target: format!("user:{id}"),
                    project_id: None,
                    detail: json!({}),
                    actor: None,
                };
                audit.write(&cx, tx).await?;
            }
            Ok::<_, ProjectsError>(owned)
        })
        .await?;
    Ok(Response::ok(&UserForgotten { owned_projects }))
}
