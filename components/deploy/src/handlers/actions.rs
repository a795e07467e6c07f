//! What can be wanted without a revision: copies, stop, start, restart.

use nokube_domain::Faults;
use nokube_domain::deploy::{Change, Desired, Spec, SpecChange};
use nokube_guest::{Caller, Ctx, Response, platform};
use serde_json::json;

use super::deploy::audit;
use super::deployments::{changeable, deployment_id, visible};
use crate::error::DeployError;
use crate::sidecar::hand_over_now;
use crate::store::deployments::{DeploymentRow, deployment_want};
use crate::store::revisions::configuration_of;
use crate::view::deployment_answer;

/// What is wanted from now on; nothing when it is wanted already.
type Wish = Option<(Desired, u32)>;

/// `POST /deployments/{id}/scale`.
pub(crate) async fn scale_deployment(mut cx: Ctx, caller: Caller) -> Result<Response, DeployError> {
    let mut fields = cx.fields().await?;
    let replicas = fields.required("replicas", replicas);
    let replicas = fields.finish(|| replicas)?;
    want(cx, caller, "deployment.scale", |row| {
        let configuration = configuration_of(&row.spec, &row.secrets)?;
        if configuration.spec.enable_autoscaling {
            return Err(DeployError::ScalesByLoad);
        }
        Ok((row.replicas != replicas).then(|| (row.desired(), replicas)))
    })
    .await
}

/// `POST /deployments/{id}/restart`.
pub(crate) async fn restart_deployment(cx: Ctx, caller: Caller) -> Result<Response, DeployError> {
    want(cx, caller, "deployment.restart", |row| {
        match row.desired() {
            Desired::Running => Ok(Some((Desired::Running, row.replicas))),
            Desired::Stopped | Desired::Deleted => Err(DeployError::Stopped),
        }
    })
    .await
}

/// `POST /deployments/{id}/stop`.
pub(crate) async fn stop_deployment(cx: Ctx, caller: Caller) -> Result<Response, DeployError> {
    want(cx, caller, "deployment.stop", |row| {
        Ok((row.desired() == Desired::Running).then_some((Desired::Stopped, row.replicas)))
    })
    .await
}

/// `POST /deployments/{id}/start`.
pub(crate) async fn start_deployment(cx: Ctx, caller: Caller) -> Result<Response, DeployError> {
    want(cx, caller, "deployment.start", |row| {
        Ok((row.desired() == Desired::Stopped).then_some((Desired::Running, row.replicas)))
    })
    .await
}

/// A number of copies, by the one validator.
fn replicas(wanted: i64) -> Result<u32, nokube_domain::Invalid> {
    let change = SpecChange {
        replicas: Change::Set(wanted),
        ..SpecChange::default()
    };
    let mut faults = Faults::default();
    let spec = Spec::default().changed(change, &[], &mut faults);
    match faults.into_iter().next() {
        None => Ok(spec.replicas),
        Some(fault) => Err(fault.detail),
    }
}

async fn want(
    cx: Ctx,
    caller: Caller,
    action: &'static str,
    wish: impl FnOnce(&DeploymentRow) -> Result<Wish, DeployError>,
) -> Result<Response, DeployError> {
    let id = deployment_id(&cx)?;
    let db = platform::open(&cx).await?;
    let response = db
        .transaction(async |tx| {
            let row = changeable(&cx, tx, &caller, id).await?;
            let Some((desired, replicas)) = wish(&row)? else {
                return deployment_answer(&cx, 202, &row).map_err(DeployError::from);
            };
            if !deployment_want(tx, &row, desired, replicas, cx.now()).await? {
                return Err(DeployError::ChangedMeanwhile);
            }
            let detail = json!({
                "service_name": row.service_name, "environment": row.environment, "replicas": replicas,
            });
            audit(&cx, tx, &caller, action, id, row.project_id, detail).await?;
            let row = visible(tx, &caller, id).await?;
            Ok(deployment_answer(&cx, 202, &row)?)
        })
        .await?;
    hand_over_now(&cx, &db, id).await;
    Ok(response)
}
