//! `/v1/artifacts/{digest}`: whether an artifact is here.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use nokube_api::sidecar::ArtifactInfo;
use nokube_artifact::Digest;

use super::problem::Problem;
use crate::server::Shared;

pub(crate) async fn get_artifact(
    State(shared): State<Arc<Shared>>,
    Path(digest): Path<String>,
) -> Result<Json<ArtifactInfo>, Problem> {
    let digest: Digest = digest.parse().map_err(|_| Problem::NotFound)?;
    shared
        .on_blobs(move |blobs| blobs.artifact(&digest))
        .await?
        .map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, %digest, "an artifact cannot be read");
            Problem::Internal
        })?
        .map(Json)
        .ok_or(Problem::NotFound)
}
