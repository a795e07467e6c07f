//! What other parts of the platform ask: the tick, and taking a project's deployments down.

use nokube_api::sidecar::AppStatus;
use nokube_domain::deploy::Desired;
use nokube_domain::{DeploymentId, ProjectId};
use nokube_guest::db::Db;
use nokube_guest::{Audit, Ctx, Response, platform};
use serde_json::json;

use super::house::prune_revisions;
use crate::error::DeployError;
use crate::sidecar::{Handover, acknowledge, app_statuses, hand_over, remove_app};
use crate::store::deployments::{deployment_list_of_project, deployment_want_deleted};
use crate::store::handover::{
    StandingRow, handover_acknowledged, handover_counts, handover_due, handover_overtake,
    handover_repeat,
};
use crate::store::leftovers::{leftover_forget, leftover_list, leftover_make};

/// What has settled is looked at this often; what is on its way, at every tick.
const SETTLED_EVERY_SECONDS: i64 = 5;
/// Deployments of one query, at some 500 bytes each.
const REFRESH_PAGE: u64 = 500;
/// How long a project's deletion waits for the target, within the caller's own patience of 10 s.
const TAKE_DOWN_PATIENCE_MS: i64 = 7_000;
const TAKE_DOWN_POLL_MS: u64 = 100;

/// `POST /internal/tick`: tells the target what it does not know, asks how far it is, and removes
/// what is old.
pub(crate) async fn tick_deployments(cx: Ctx) -> Result<Response, DeployError> {
    let db = platform::open(&cx).await?;
    let mut handed_over = 0;
    for (id,) in handover_due(&db, cx.now()).await? {
        match hand_over(&cx, &db, id).await {
            // It will not answer for the others either; each would wait for its time-out.
            Ok(Handover::Unreachable) => break,
            Ok(Handover::Told | Handover::Gone | Handover::Waiting) => handed_over += 1,
            // One that cannot be handed over must not keep the others waiting.
            Err(error) => cx.log("error", &format!("{id} cannot be handed over: {error}")),
        }
    }
    for (id,) in leftover_list(&db).await? {
        match remove_app(&cx, id).await {
            Ok(true) => {
                db.transaction(async |tx| leftover_forget(tx, id).await)
                    .await?
            }
            Ok(false) => {}
            Err(_) => break,
        }
    }
    let (known, on_their_way) = handover_counts(&db).await?;
    let settled_turn = cx.now().seconds() % SETTLED_EVERY_SECONDS == 0;
    if on_their_way > 0 || (known > 0 && settled_turn) {
        refresh(&cx, &db).await?;
    }
    prune_revisions(&cx, &db).await;
    Ok(Response::ok(&json!({ "handed_over": handed_over })))
}

/// Asks the target about everything it was told of. What it has forgotten it is told again: after
/// the loss of its state everything comes back by itself.
async fn refresh(cx: &Ctx, db: &Db) -> Result<(), DeployError> {
    // Rows first: what is handed over in between is then newer than both.
    let mut rows: Vec<StandingRow> = Vec::new();
    loop {
        let after = rows
            .last()
            .map_or_else(String::new, |row| row.id.to_string());
        let page = handover_acknowledged(db, &after, REFRESH_PAGE).await?;
        let last = (page.len() as u64) < REFRESH_PAGE;
        rows.extend(page);
        if last {
            break;
        }
    }
    let apps = match app_statuses(cx).await {
        Ok(apps) => apps,
        Err(error) => {
            cx.log("warn", &format!("statuses cannot be read: {error}"));
            return Ok(());
        }
    };
    for row in &rows {
        if let Err(error) = compare(cx, db, row, apps.get(&row.id.to_string())).await {
            cx.log("error", &format!("{} cannot be refreshed: {error}", row.id));
        }
    }
    Ok(())
}

async fn compare(
    cx: &Ctx,
    db: &Db,
    row: &StandingRow,
    app: Option<&AppStatus>,
) -> Result<(), DeployError> {
    match app {
        Some(app) if app.generation == row.generation => acknowledge(cx, db, row, app).await,
        Some(app) if app.generation > row.generation => {
            let theirs = app.generation;
            db.transaction(async |tx| handover_overtake(tx, row, theirs).await)
                .await?;
            Ok(())
        }
        Some(_) | None => {
            let text = format!("the target has lost {}: telling it again", row.id);
            cx.log("warn", &text);
            db.transaction(async |tx| handover_repeat(tx, row).await)
                .await?;
            Ok(())
        }
    }
}

/// `DELETE /internal/projects/{id}`: 204 once nothing of the project is deployed. With `?force=true`
/// at once, and the target is told until it confirms.
pub(crate) async fn delete_project_deployments(cx: Ctx) -> Result<Response, DeployError> {
    let project = cx.parameter("id", "project", ProjectId::parse)?;
    let force = cx.flag("force")?;
    let db = platform::open(&cx).await?;
    want_all_deleted(&cx, &db, project).await?;
    let patience_ends = cx.now().plus_millis(TAKE_DOWN_PATIENCE_MS);
    loop {
        let rows = deployment_list_of_project(&db, project).await?;
        if rows.is_empty() {
            return Ok(Response::no_content());
        }
        let mut reachable = true;
        for row in &rows {
            reachable &= hand_over(&cx, &db, row.id).await? != Handover::Unreachable;
        }
        let out_of_patience = !reachable || cx.host().now() >= patience_ends;
        if out_of_patience && force {
            let rows = deployment_list_of_project(&db, project).await?;
            db.transaction(async |tx| {
                for row in &rows {
                    leftover_make(tx, row, cx.now()).await?;
                }
                Ok::<_, DeployError>(())
            })
            .await?;
            return Ok(Response::no_content());
        }
        if out_of_patience {
            return Err(DeployError::DeploymentsRemain(rows.len()));
        }
        cx.host().sleep(TAKE_DOWN_POLL_MS).await;
    }
}

async fn want_all_deleted(cx: &Ctx, db: &Db, project: ProjectId) -> Result<(), DeployError> {
    db.transaction(async |tx| {
        for row in deployment_list_of_project(tx, project).await? {
            if row.desired() != Desired::Deleted
                && deployment_want_deleted(tx, &row, cx.now()).await?
            {
                let entry = Audit {
                    action: "deployment.delete",
                    target: format!("deployment:{}", DeploymentId::to_string(&row.id)),
                    project_id: Some(project),
                    detail: json!({
                        "service_name": row.service_name, "environment": row.environment,
                        "because": "the project is being deleted",
                    }),
                    actor: None,
                };
                entry.write(cx, tx).await?;
            }
        }
        Ok(())
    })
    .await
}
