//! What other parts of the platform tell: that a source arrived, and that time passes.

use nokube_api::sidecar::SourceStored;
use nokube_domain::build::{
    AfterLoss, BUILD_TIMEOUT_SECONDS, BuildStatus, MAX_ATTEMPTS, PENDING_TIMEOUT_SECONDS,
    SOURCE_TIMEOUT_SECONDS, TIMEOUT_GRACE_SECONDS, after_loss,
};
use nokube_domain::{BuildId, Digest, ProjectRole};
use nokube_guest::db::{Db, Tx};
use nokube_guest::{Audit, Ctx, Error, Response, platform};
use serde_json::json;

use super::builds::{accepted, build_id};
use super::house::prune_builds;
use crate::error::BuildsError;
use crate::store::builds::{
    BuildRow, build_creator_role, build_find_for_system, build_source_arrived,
};
use crate::store::leases::{Ending, lease_finish, lease_requeue};
use crate::store::logs::log_append_system;
use crate::store::overdue::{Deadlines, overdue_fail_pending, overdue_is_lost, overdue_list};

/// Bytes of a small body between parts of the platform.
const SMALL_BODY_BYTES: usize = 64 << 10;

/// `POST /internal/builds/{id}/source`: the sidecar has the archive. Told again, answered again.
///
/// A second upload for a build takes a second address, and only a repeated `Idempotency-Key` gives one: when its
/// archive is another one, the key was used for another request.
pub(crate) async fn put_build_source(mut cx: Ctx) -> Result<Response, BuildsError> {
    let id = build_id(&cx)?;
    let stored: SourceStored = cx.machine_body(SMALL_BODY_BYTES).await?;
    let digest = Digest::parse(&stored.digest)
        .map_err(|reason| BuildsError::BadRunnerBody(format!("digest {reason}")))?;
    let db = platform::open(&cx).await?;
    db.transaction(async |tx| {
        creator_may_still_build(tx, id).await?;
        if let Some(row) = build_source_arrived(tx, id, digest.as_str(), cx.now()).await? {
            let text = format!("Source received: {} bytes, {digest}.", stored.size_bytes);
            log_append_system(tx, id, cx.now(), &text).await?;
            let row = build_find_for_system(tx, id).await?.unwrap_or(row);
            return Ok(accepted(&cx, row));
        }
        let row = build_find_for_system(tx, id)
            .await?
            .ok_or(Error::NotFound("build"))?;
        let own = row.source_build_id.as_deref() == Some(id.to_string().as_str());
        match row.source_digest.as_deref() {
            Some(present) if own && present == digest.as_str() => Ok(accepted(&cx, row)),
            Some(_) if own => Err(Error::IdempotencyKeyReused.into()),
            _ => Err(BuildsError::NotAwaitingSource),
        }
    })
    .await
}

/// The address of an upload outlives the request for it: whoever was removed or made a viewer since then brings in no
/// source. The build that waits for it ends by itself.
pub(super) async fn creator_may_still_build(db: &Db, id: BuildId) -> Result<(), BuildsError> {
    let role = build_creator_role(db, id).await?;
    let role = role.ok_or(Error::NotFound("build"))?;
    match ProjectRole::parse(&role) {
        Ok(role) if role >= ProjectRole::Developer => Ok(()),
        Ok(_) => Err(Error::Forbidden("Your role in this project does not allow this.").into()),
        Err(_) => Err(Error::Contradiction("a member has an unknown role").into()),
    }
}

/// `POST /internal/tick`: ends what nobody else will, and removes what is old.
pub(crate) async fn tick_builds(cx: Ctx) -> Result<Response, BuildsError> {
    let db = platform::open(&cx).await?;
    let now = cx.now();
    let before = |seconds: u64| now.plus_millis(-i64::try_from(seconds * 1000).unwrap_or(i64::MAX));
    let deadlines = Deadlines {
        lease: now,
        attempt: before(BUILD_TIMEOUT_SECONDS + TIMEOUT_GRACE_SECONDS),
        source: before(SOURCE_TIMEOUT_SECONDS),
        queue: before(PENDING_TIMEOUT_SECONDS),
    };
    let overdue = overdue_list(&db, &deadlines).await?;
    for build in &overdue {
        let ended = db
            .transaction(async |tx| match build.status() {
                BuildStatus::Building => end_attempt(&cx, tx, build, &deadlines).await,
                _ => give_up_waiting(&cx, tx, build).await,
            })
            .await;
        // One that cannot be ended must not keep the others running.
        if let Err(error) = ended {
            cx.log(
                "error",
                &format!("build {} cannot be ended: {error}", build.id),
            );
        }
    }
    prune_builds(&cx, &db).await;
    Ok(Response::ok(&json!({ "moved": overdue.len() })))
}

/// The runner vanished, or it and its build took longer than allowed.
async fn end_attempt(
    cx: &Ctx,
    tx: &Tx,
    build: &BuildRow,
    deadlines: &Deadlines,
) -> Result<(), BuildsError> {
    if !overdue_is_lost(tx, build, deadlines).await? {
        return Ok(());
    }
    if build
        .started_at_ms
        .is_some_and(|began| began <= deadlines.attempt)
    {
        let minutes = BUILD_TIMEOUT_SECONDS / 60;
        let reason = format!("The build took longer than the {minutes} minutes it may.");
        let line = format!("Failed: {reason}");
        return fail(cx, tx, build, &reason, None, Some(&line)).await;
    }
    lost(cx, tx, build, "The runner stopped answering.", None).await
}

/// An attempt ended through no fault of the build: it waits again, or is given up.
pub(super) async fn lost(
    cx: &Ctx,
    tx: &Tx,
    build: &BuildRow,
    reason: &str,
    commit: Option<&str>,
) -> Result<(), BuildsError> {
    match after_loss(build.attempts) {
        AfterLoss::Requeue => {
            if lease_requeue(tx, build, commit, cx.now()).await? {
                let text = format!(
                    "{reason} The build waits for attempt {} of {MAX_ATTEMPTS}.",
                    build.attempts + 1
                );
                log_append_system(tx, build.id, cx.now(), &text).await?;
            }
            Ok(())
        }
        AfterLoss::Fail => {
            let reason = format!("{reason} It was attempt {MAX_ATTEMPTS} of {MAX_ATTEMPTS}.");
            let line = format!("Failed: {reason}");
            fail(cx, tx, build, &reason, commit, Some(&line)).await
        }
    }
}

/// Ends a running build as failed, with a last `line` in its log.
pub(super) async fn fail(
    cx: &Ctx,
    tx: &Tx,
    build: &BuildRow,
    reason: &str,
    commit: Option<&str>,
    line: Option<&str>,
) -> Result<(), BuildsError> {
    let ending = Ending {
        status: BuildStatus::Failed,
        digest: None,
        error_message: Some(reason),
        commit,
    };
    if lease_finish(tx, build, &ending, cx.now()).await? {
        if let Some(line) = line {
            log_append_system(tx, build.id, cx.now(), line).await?;
        }
        audit_end(cx, tx, build, BuildStatus::Failed).await?;
    }
    Ok(())
}

/// A source that never came, or a build that no runner took.
async fn give_up_waiting(cx: &Ctx, tx: &Tx, build: &BuildRow) -> Result<(), BuildsError> {
    let reason = if build.source_ready {
        let hours = PENDING_TIMEOUT_SECONDS / 3600;
        format!("No runner took the build within {hours} hours. Is one running?")
    } else {
        let minutes = SOURCE_TIMEOUT_SECONDS / 60;
        format!("The source did not arrive within {minutes} minutes. Upload it again.")
    };
    if overdue_fail_pending(tx, build, &reason, cx.now()).await? {
        log_append_system(tx, build.id, cx.now(), &format!("Failed: {reason}")).await?;
        audit_end(cx, tx, build, BuildStatus::Failed).await?;
    }
    Ok(())
}

/// The audit row of a build's end, which is nobody's doing but the platform's.
pub(super) async fn audit_end(
    cx: &Ctx,
    tx: &Tx,
    build: &BuildRow,
    status: BuildStatus,
) -> Result<(), BuildsError> {
    let entry = Audit {
        action: "build.finish",
        target: format!("build:{}", build.id),
        project_id: Some(build.project_id),
        detail: json!({ "service_name": build.service_name, "status": status.as_str() }),
        actor: None,
    };
    Ok(entry.write(cx, tx).await?)
}
