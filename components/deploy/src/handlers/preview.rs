//! `POST /deploy/preview`: what a release would come to at the target. Nothing is stored, and nothing applied.

use nokube_api::sidecar::{AppSpec, DesiredState};
use nokube_guest::db::Db;
use nokube_guest::{Caller, Ctx, Response, platform};

use super::deploy::{Plan, plan, proofs_for};
use crate::error::DeployError;
use crate::request::DeployRequest;
use crate::sidecar::preview_app;

/// `POST /deploy/preview`.
pub(crate) async fn preview_deployment(
    mut cx: Ctx,
    caller: Caller,
) -> Result<Response, DeployError> {
    let request = DeployRequest::from_fields(cx.fields().await?)?;
    let db = platform::open(&cx).await?;
    let proofs = proofs_for(&cx, &db, &caller, &request).await?;
    let plan = plan(&cx, &db, &caller, request, &proofs).await?;
    let spec = app_spec(&cx, &db, plan).await?;
    Ok(Response::ok(&preview_app(&cx, &spec).await?))
}

/// What the sidecar would be told.
async fn app_spec(cx: &Ctx, db: &Db, plan: Plan) -> Result<AppSpec, DeployError> {
    let namespace = plan.place.namespace().expected(cx, db).await?;
    let generation = plan.present.map_or(0, |row| row.generation) + 1;
    Ok(AppSpec {
        deployment_id: plan.id.to_string(),
        generation,
        revision: plan.revision,
        desired: DesiredState::Running,
        owner: plan.place.project.owner_name,
        project_id: plan.place.project.id.0,
        project: plan.place.project.slug,
        service: plan.place.service.to_string(),
        environment: plan.place.environment.to_string(),
        namespace,
        image_name: plan.artifact.image_name,
        digest: plan.artifact.digest.unwrap_or_default(),
        artifact: plan.artifact.kind,
        spec: plan.configuration.spec,
        sealed_secrets: plan.configuration.secrets,
    })
}
