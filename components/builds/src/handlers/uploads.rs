//! Builds of an uploaded source. The archive itself goes to the sidecar's blob store: this only
//! says where, and the sidecar reports back (`internal`).

use nokube_domain::ProjectRole;
use nokube_guest::platform::{self, project_for};
use nokube_guest::{Caller, Ctx, Error, Response, once};
use serde_json::Value;

use super::builds::insert;
use crate::blobs;
use crate::error::BuildsError;
use crate::request::CreateBuild;
use crate::store::builds::NewSource;
use crate::view::build_view;

/// `POST /builds/upload`: 307 to a one-time address for the same body. Clients that keep the request
/// (307 keeps method and body) end up with the sidecar's answer, which is the build.
///
/// The same `Idempotency-Key` gives the same build and an address of its own each time: a one-time address is never
/// kept. The body does not come by here; `put_build_source` is told its digest and refuses another one's.
pub(crate) async fn create_build_upload(cx: Ctx, caller: Caller) -> Result<Response, BuildsError> {
    let request = CreateBuild::from_query(&cx)?;
    let db = platform::open(&cx).await?;
    let response = once(&cx, &db, &caller, async |tx| {
        let project = project_for(tx, &caller, request.project_id, ProjectRole::Developer).await?;
        let row = insert(&cx, tx, &caller, &project, &request, NewSource::Awaited).await?;
        Ok::<_, BuildsError>(Response::json(307, &build_view(row)))
    })
    .await?;
    let build: Value = response
        .body_bytes()
        .and_then(|bytes| serde_json::from_slice(bytes).ok())
        .unwrap_or_default();
    let id = build["build_id"]
        .as_str()
        .ok_or(Error::Contradiction("an answer without its build"))?;
    let address = blobs::source_upload_url(&cx, id)?;
    Ok(response.location(address))
}
