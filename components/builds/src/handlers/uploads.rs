//! Builds of an uploaded source. The archive itself goes to the sidecar's blob store: this only
//! says where, and the sidecar reports back (`internal`).

use nokube_domain::ProjectRole;
use nokube_guest::platform::{self, project_for};
use nokube_guest::{Caller, Ctx, Response, once};

use super::builds::insert;
use crate::blobs;
use crate::error::BuildsError;
use crate::request::CreateBuild;
use crate::store::builds::NewSource;
use crate::view::build_view;

/// `POST /builds/upload`: 307 to a one-time address for the same body. Clients that keep the request
/// (307 keeps method and body) end up with the sidecar's answer, which is the build.
pub(crate) async fn create_build_upload(cx: Ctx, caller: Caller) -> Result<Response, BuildsError> {
    let request = CreateBuild::from_query(&cx)?;
    let db = platform::open(&cx).await?;
    once(&cx, &db, &caller, async |tx| {
        let project = project_for(tx, &caller, request.project_id, ProjectRole::Developer).await?;
        let row = insert(&cx, tx, &caller, &project, &request, NewSource::Awaited).await?;
        let address = blobs::source_upload_url(&cx, &row.id.to_string())?;
        Ok(Response::json(307, &build_view(row)).location(address))
    })
    .await
}
