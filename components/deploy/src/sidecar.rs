//! Telling the sidecar what is wanted, and asking it how far it is.
//!
//! Everything here may fail and be done again: the row says what is wanted, its generation makes
//! telling it twice harmless, and the tick repeats what was not acknowledged.

use std::collections::BTreeMap;

use nokube_api::deploy::{DeploymentEvents, ManifestList};
use nokube_api::logs::LogPage;
use nokube_api::sidecar::{AppList, AppSpec, AppStatus, DesiredState, TxtRecords};
use nokube_domain::deploy::{DeploymentStatus, Desired, handover_delay_ms};
use nokube_domain::{DeploymentId, Timestamp};
use nokube_guest::db::Db;
use nokube_guest::{Answer, Ctx, Error, FieldFault, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::DeployError;
use crate::namespaces::Place;
use crate::store::deployments::DeploymentRow;
use crate::store::handover::{
    Reported, StandingRow, handover_acknowledge, handover_fail, handover_find, handover_forget,
    handover_overtake, handover_owner, handover_wait,
};
use crate::store::namespaces::namespace_find;
use crate::store::revisions::{artifact_of, configuration_of};

/// How often the target is asked whether a removal is done.
const REMOVAL_POLL_MS: i64 = 500;
/// No hand-over lasts longer: calls between parts of the platform give up after 10 s.
const HANDOVER_PATIENCE_MS: i64 = 12_000;
/// Characters of the target's words that are shown to users.
const MAX_REASON_CHARS: usize = 1_000;
const NOT_ANSWERING: &str = "The deployment target does not answer. Trying again.";

/// What came of a hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handover {
    /// The target knows what is wanted, or never will take it.
    Told,
    /// It is gone, at the target and here.
    Gone,
    /// The target is at it.
    Waiting,
    /// The target did not answer: others need not be tried now.
    Unreachable,
}

/// Tells the sidecar what is wanted of a deployment now.
pub(crate) async fn hand_over(
    cx: &Ctx,
    db: &Db,
    id: DeploymentId,
) -> Result<Handover, DeployError> {
    let Some(row) = handover_find(db, id).await? else {
        return Ok(Handover::Gone);
    };
    match row.desired() {
        Desired::Deleted => remove(cx, db, &row).await,
        Desired::Running | Desired::Stopped => tell(cx, db, &row).await,
    }
}

/// Hands over after a commit. What fails here the tick does: the request has succeeded either way.
pub(crate) async fn hand_over_now(cx: &Ctx, db: &Db, id: DeploymentId) {
    if let Err(error) = hand_over(cx, db, id).await {
        cx.log("warn", &format!("{id} is yet to be handed over: {error}"));
    }
}

async fn tell(cx: &Ctx, db: &Db, row: &DeploymentRow) -> Result<Handover, DeployError> {
    let spec = app_spec(cx, db, row).await?;
    let path = format!("/v1/apps/{}", row.id);
    let answer = match call(cx, Method::PUT, &path, Some(&spec)).await {
        Ok(answer) => answer,
        Err(error) => return unreachable(cx, db, row, &error).await,
    };
    match answer.status {
        200..=299 => {
            let app: AppStatus = match answer.json() {
                Ok(app) => app,
                Err(error) => return unreachable(cx, db, row, &error).await,
            };
            acknowledge(cx, db, &row.standing(), &app).await?;
            Ok(Handover::Told)
        }
        409 => overtake(cx, db, row).await,
        400 | 413 | 422 => {
            refuse(cx, db, row, &refusal(&answer)).await?;
            Ok(Handover::Told)
        }
        status => {
            let error = Error::UnexpectedAnswer {
                service: "sidecar",
                status,
            };
            unreachable(cx, db, row, &error).await
        }
    }
}

/// The target has something newer than what it was told.
async fn overtake(cx: &Ctx, db: &Db, row: &DeploymentRow) -> Result<Handover, DeployError> {
    let theirs = match app_status(cx, row.id).await {
        Ok(Some(app)) => app.generation,
        // It remembers that the deployment was deleted, and will for a while.
        Ok(None) => row.generation,
        Err(error) => return unreachable(cx, db, row, &error).await,
    };
    let again_at = again_at(cx, row);
    db.transaction(async |tx| {
        if theirs >= row.generation {
            handover_overtake(tx, &row.standing(), theirs).await?;
        }
        let reason = "The deployment target knows a newer state. Trying again.";
        handover_fail(tx, row, reason, again_at).await
    })
    .await?;
    Ok(Handover::Waiting)
}

/// Records what the target says of the generation it has.
pub(crate) async fn acknowledge(
    cx: &Ctx,
    db: &Db,
    row: &StandingRow,
    app: &AppStatus,
) -> Result<(), DeployError> {
    let mut reported = Reported::of(app);
    if app.generation != row.generation {
        // It has taken the new one and still speaks of the old one.
        reported.status = DeploymentStatus::Deploying;
        reported.error_message = None;
    }
    if reported.is_known(row) {
        return Ok(());
    }
    db.transaction(async |tx| handover_acknowledge(tx, row, &reported, cx.host().now()).await)
        .await?;
    Ok(())
}

/// The target will never take this: a user has to change something.
async fn refuse(cx: &Ctx, db: &Db, row: &DeploymentRow, reason: &str) -> Result<(), DeployError> {
    let reported = Reported {
        status: DeploymentStatus::Failed,
        error_message: Some(reason),
        replicas_ready: row.replicas_ready,
        replicas_total: row.replicas_total,
        access_url: row.access_url.as_deref(),
        objects: row.objects.clone(),
    };
    let row = row.standing();
    db.transaction(async |tx| handover_acknowledge(tx, &row, &reported, cx.host().now()).await)
        .await?;
    Ok(())
}

async fn remove(cx: &Ctx, db: &Db, row: &DeploymentRow) -> Result<Handover, DeployError> {
    let overtaken_at = row.updated_at_ms.plus_millis(HANDOVER_PATIENCE_MS);
    match remove_app(cx, row.id).await {
        // Never acknowledged: a hand-over of before may still be on its way there, and would bring
        // to life what nobody knows of any more.
        Ok(true) if row.acknowledged_generation == 0 && cx.host().now() < overtaken_at => {
            db.transaction(async |tx| handover_wait(tx, row, overtaken_at).await)
                .await?;
            Ok(Handover::Waiting)
        }
        Ok(true) => {
            db.transaction(async |tx| handover_forget(tx, row).await)
                .await?;
            Ok(Handover::Gone)
        }
        Ok(false) => {
            let again_at = cx.host().now().plus_millis(REMOVAL_POLL_MS);
            db.transaction(async |tx| handover_wait(tx, row, again_at).await)
                .await?;
            Ok(Handover::Waiting)
        }
        Err(error) => unreachable(cx, db, row, &error).await,
    }
}

/// Asks the target to remove an application. True once nothing is left of it.
pub(crate) async fn remove_app(cx: &Ctx, id: DeploymentId) -> Result<bool, Error> {
    let answer = call(cx, Method::DELETE, &format!("/v1/apps/{id}"), None::<&()>).await?;
    match answer.status {
        404 => Ok(true),
        200..=299 => Ok(false),
        status => Err(Error::UnexpectedAnswer {
            service: "sidecar",
            status,
        }),
    }
}

async fn unreachable(
    cx: &Ctx,
    db: &Db,
    row: &DeploymentRow,
    error: &Error,
) -> Result<Handover, DeployError> {
    // Said once for each wish: the tick tries every few seconds.
    if row.handover_failures == 0 {
        cx.log(
            "warn",
            &format!("{} is yet to be handed over: {error}", row.id),
        );
    }
    let again_at = again_at(cx, row);
    db.transaction(async |tx| handover_fail(tx, row, NOT_ANSWERING, again_at).await)
        .await?;
    Ok(Handover::Unreachable)
}

fn again_at(cx: &Ctx, row: &DeploymentRow) -> Timestamp {
    cx.host()
        .now()
        .plus_millis(handover_delay_ms(row.handover_failures.saturating_add(1)))
}

/// How far one application is; nothing when the target does not know it.
pub(crate) async fn app_status(cx: &Ctx, id: DeploymentId) -> Result<Option<AppStatus>, Error> {
    let answer = call(cx, Method::GET, &format!("/v1/apps/{id}"), None::<&()>).await?;
    if answer.status == 404 {
        return Ok(None);
    }
    answer.json().map(Some)
}

/// How far all of them are, by deployment.
pub(crate) async fn app_statuses(cx: &Ctx) -> Result<BTreeMap<String, AppStatus>, Error> {
    let list: AppList = call(cx, Method::GET, "/v1/apps", None::<&()>)
        .await?
        .json()?;
    Ok(list
        .apps
        .into_iter()
        .map(|app| (app.deployment_id.clone(), app))
        .collect())
}

/// Lines of an application's log; nothing when the target does not know it (yet).
pub(crate) async fn app_logs(
    cx: &Ctx,
    id: DeploymentId,
    query: &[(&str, String)],
) -> Result<Option<LogPage>, DeployError> {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    let answer = call(
        cx,
        Method::GET,
        &format!("/v1/apps/{id}/logs?{query}"),
        None::<&()>,
    )
    .await?;
    match answer.status {
        404 => Ok(None),
        400 | 422 => Err(Error::invalid_query("cursor", "is not a cursor of this log").into()),
        _ => Ok(Some(answer.json()?)),
    }
}

/// The objects that the target makes of an application; nothing when it does not know it (yet).
pub(crate) async fn app_manifests(
    cx: &Ctx,
    id: DeploymentId,
) -> Result<Option<ManifestList>, Error> {
    of_app(cx, id, "manifests").await
}

/// What the target saw happen to an application; nothing when it does not know it (yet).
pub(crate) async fn app_events(
    cx: &Ctx,
    id: DeploymentId,
) -> Result<Option<DeploymentEvents>, Error> {
    of_app(cx, id, "events").await
}

async fn of_app<T: DeserializeOwned>(
    cx: &Ctx,
    id: DeploymentId,
    what: &str,
) -> Result<Option<T>, Error> {
    let path = format!("/v1/apps/{id}/{what}");
    let answer = call(cx, Method::GET, &path, None::<&()>).await?;
    if answer.status == 404 {
        return Ok(None);
    }
    answer.json().map(Some)
}

/// The objects that the target would make of a specification.
///
/// # Errors
/// [`Error::Invalid`] with what the target finds wrong with it.
pub(crate) async fn preview_app(cx: &Ctx, spec: &AppSpec) -> Result<ManifestList, Error> {
    let answer = call(cx, Method::POST, "/v1/preview", Some(spec)).await?;
    if answer.status == 422 {
        return Err(Error::Invalid(faults_of(&answer)));
    }
    answer.json()
}

/// The texts at a name in the DNS, where whoever controls a domain shows that.
pub(crate) async fn txt_records(cx: &Ctx, name: &str) -> Result<Vec<String>, Error> {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("name", name)
        .finish();
    let path = format!("/v1/dns/txt?{query}");
    let found: TxtRecords = call(cx, Method::GET, &path, None::<&()>).await?.json()?;
    Ok(found.records)
}

async fn call(
    cx: &Ctx,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<Answer, Error> {
    let base = cx.required_variable("sidecar_url")?;
    let token = cx.required_variable("sidecar_token")?;
    cx.call("sidecar", method, &base, path, &token, body).await
}

/// What is wanted, in the sidecar's words. The same row always makes the same.
async fn app_spec(cx: &Ctx, db: &Db, row: &DeploymentRow) -> Result<AppSpec, DeployError> {
    let owner = handover_owner(db, row).await?;
    let namespace = match namespace_find(db, row.project_id, &row.environment).await? {
        Some(name) => name,
        // Released by a version that recorded none.
        None => {
            let place = Place {
                project: row.project_id,
                slug: &owner.slug,
                environment: &row.environment,
            };
            db.transaction(async |tx| place.recorded(cx, tx).await)
                .await?
        }
    };
    let configuration = configuration_of(&row.spec, &row.secrets)?;
    let mut spec = configuration.spec;
    spec.replicas = row.replicas;
    Ok(AppSpec {
        deployment_id: row.id.to_string(),
        generation: row.generation,
        revision: row.revision,
        desired: match row.desired() {
            Desired::Running => DesiredState::Running,
            Desired::Stopped | Desired::Deleted => DesiredState::Stopped,
        },
        owner: owner.owner_name,
        project_id: row.project_id.0,
        project: owner.slug,
        service: row.service_name.clone(),
        environment: row.environment.clone(),
        namespace,
        image_name: row.image_name.clone(),
        digest: row.digest.clone(),
        artifact: artifact_of(&row.artifact)?,
        spec,
        sealed_secrets: configuration.secrets,
    })
}

/// What the target finds wrong, at the fields of a request.
fn faults_of(answer: &Answer) -> Vec<FieldFault> {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let faults = problem["errors"].as_array().into_iter().flatten();
    faults
        .filter_map(|fault| {
            Some(FieldFault {
                pointer: asked_at(fault["pointer"].as_str()?),
                detail: fault["detail"].as_str()?.to_owned(),
                r#in: None,
            })
        })
        .collect()
}

/// The field of a request that became this one of a specification.
fn asked_at(pointer: &str) -> String {
    match pointer {
        "/service" => "/service_name".to_owned(),
        "/digest" => "/image_name".to_owned(),
        "/namespace" => "/environment".to_owned(),
        _ => {
            let pointer = pointer.strip_prefix("/spec").unwrap_or(pointer);
            pointer.replacen("/sealed_secrets", "/secrets", 1)
        }
    }
}

/// The target's words on why it refuses.
fn refusal(answer: &Answer) -> String {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let faults: Vec<String> = faults_of(answer)
        .into_iter()
        .map(|fault| format!("{} {}", fault.pointer, fault.detail))
        .collect();
    let words = if faults.is_empty() {
        let detail = problem["detail"].as_str().or(problem["title"].as_str());
        detail.unwrap_or("no reason given").to_owned()
    } else {
        faults.join("; ")
    };
    let words: String = words.chars().take(MAX_REASON_CHARS).collect();
    format!("The deployment target refuses it: {words}")
}
