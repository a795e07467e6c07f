//! What a cluster is given for a deployment, and what it would be given for a spec.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use nokube_api::deploy::ManifestList;
use nokube_api::sidecar::{AppSpec, ArtifactKind};

use super::problem::Problem;
use crate::check::check_spec;
use crate::render::render;
use crate::server::Shared;

/// `POST /v1/preview`.
pub(crate) async fn preview(
    State(shared): State<Arc<Shared>>,
    body: Result<Json<AppSpec>, JsonRejection>,
) -> Result<Json<ManifestList>, Problem> {
    let Json(spec) = body.map_err(|rejection| Problem::BadBody(rejection.body_text()))?;
    let faults = check_spec(&spec);
    if !faults.is_empty() {
        return Err(Problem::Invalid(faults));
    }
    shared.render(&spec)
}

/// `GET /v1/apps/{deployment_id}/manifests`: of what is wanted now.
pub(crate) async fn get_app_manifests(
    State(shared): State<Arc<Shared>>,
    Path(deployment_id): Path<String>,
) -> Result<Json<ManifestList>, Problem> {
    let desired = shared
        .store
        .get(&deployment_id)
        .filter(|desired| desired.deletion.is_none())
        .ok_or(Problem::NotFound)?;
    shared.render(&desired.wanted)
}

impl Shared {
    fn render(&self, app: &AppSpec) -> Result<Json<ManifestList>, Problem> {
        let settings = self.target.manifest_settings().unwrap_or_default();
        render(app, self.neighbours(app), &settings)
            .map(Json)
            .map_err(Problem::Invalid)
    }

    /// The kinds of the other deployments in the same namespace.
    fn neighbours(&self, app: &AppSpec) -> Vec<ArtifactKind> {
        let shares = |other: &AppSpec| {
            !app.namespace.is_empty()
                && other.namespace == app.namespace
                && other.deployment_id != app.deployment_id
        };
        self.store
            .all()
            .iter()
            .filter(|other| other.deletion.is_none() && shares(&other.wanted))
            .map(|other| other.wanted.artifact)
            .collect()
    }
}
