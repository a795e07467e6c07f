//! Seeing and removing deployments.

use nokube_domain::deploy::{DeploymentStatus, Desired};
use nokube_domain::{DeploymentId, Invalid, ProjectId, ProjectRole};
use nokube_guest::db::Db;
use nokube_guest::platform::{self, project_for};
use nokube_guest::{Caller, Ctx, Error, Response};
use serde_json::json;

use super::deploy::audit;
use crate::error::DeployError;
use crate::sidecar::{acknowledge, app_status, hand_over_now};
use crate::store::deployments::{
    DeploymentFilter, DeploymentRow, deployment_find, deployment_list, deployment_want_deleted,
};
use crate::view::{check_if_match, deployment_answer, deployment_view};

/// `GET /deployments`.
pub(crate) async fn list_deployments(cx: Ctx, caller: Caller) -> Result<Response, DeployError> {
    let paging = cx.paging()?;
    let project_id = cx.query_as("project_id", ProjectId::parse)?;
    let all = cx.flag("all")?;
    let filter = DeploymentFilter {
        project_id,
        service_name: cx.query("service_name"),
        environment: cx.query("environment"),
        status: cx.query_as("status", |text| {
            DeploymentStatus::parse(text).ok_or(Invalid::new(
                "must be pending, deploying, running, failed, stopped or deleting",
            ))
        })?,
        everywhere: project_id.is_some() || all,
    };
    let db = platform::open(&cx).await?;
    if let Some(id) = project_id {
        project_for(&db, &caller, id, ProjectRole::Viewer).await?;
    }
    let (rows, total) = deployment_list(&db, &caller, &filter, paging).await?;
    let views: Vec<_> = rows.iter().map(deployment_view).collect::<Result<_, _>>()?;
    Ok(paging.answer(&cx, views, total))
}

/// `GET /deployments/{id}`. One that is on its way is asked after at the target, so that nobody has
/// to wait for the next tick to see it run.
pub(crate) async fn get_deployment(cx: Ctx, caller: Caller) -> Result<Response, DeployError> {
    let id = deployment_id(&cx)?;
    let db = platform::open(&cx).await?;
    let row = visible(&db, &caller, id).await?;
    let on_its_way = row.acknowledged_generation == row.generation && !row.status().is_settled();
    if on_its_way
        && let Ok(Some(app)) = app_status(&cx, id).await
        && app.generation == row.generation
    {
        acknowledge(&cx, &db, &row.standing(), &app).await?;
        let row = visible(&db, &caller, id).await?;
        return Ok(deployment_answer(&cx, 200, &row)?);
    }
    Ok(deployment_answer(&cx, 200, &row)?)
}

/// `DELETE /deployments/{id}`: 202; it is gone once the target has confirmed that.
pub(crate) async fn delete_deployment(cx: Ctx, caller: Caller) -> Result<Response, DeployError> {
    let id = deployment_id(&cx)?;
    let db = platform::open(&cx).await?;
    let response = db
        .transaction(async |tx| {
            let row = visible(tx, &caller, id).await?;
            project_for(tx, &caller, row.project_id, ProjectRole::Developer).await?;
            if row.desired() == Desired::Deleted {
                return deployment_answer(&cx, 202, &row).map_err(DeployError::from);
            }
            check_if_match(&cx, &row)?;
            if !deployment_want_deleted(tx, &row, cx.now()).await? {
                return Err(DeployError::ChangedMeanwhile);
            }
            let detail =
                json!({ "service_name": row.service_name, "environment": row.environment });
            audit(
                &cx,
                tx,
                &caller,
                "deployment.delete",
                id,
                row.project_id,
                detail,
            )
            .await?;
            let row = visible(tx, &caller, id).await?;
            Ok(deployment_answer(&cx, 202, &row)?)
        })
        .await?;
    hand_over_now(&cx, &db, id).await;
    Ok(response)
}

pub(super) fn deployment_id(cx: &Ctx) -> Result<DeploymentId, Error> {
    cx.parameter("id", "deployment", DeploymentId::parse)
}

/// The deployment, which to those who may not see its project does not exist.
pub(super) async fn visible(
    db: &Db,
    caller: &Caller,
    id: DeploymentId,
) -> Result<DeploymentRow, DeployError> {
    let row = deployment_find(db, caller, id).await?;
    Ok(row.ok_or(Error::NotFound("deployment"))?)
}

/// The deployment, for someone who wants to change what is wanted of it.
pub(super) async fn changeable(
    cx: &Ctx,
    db: &Db,
    caller: &Caller,
    id: DeploymentId,
) -> Result<DeploymentRow, DeployError> {
    let row = visible(db, caller, id).await?;
    project_for(db, caller, row.project_id, ProjectRole::Developer).await?;
    if row.desired() == Desired::Deleted {
        return Err(DeployError::BeingDeleted);
    }
    check_if_match(cx, &row)?;
    Ok(row)
}
