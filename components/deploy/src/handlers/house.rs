//! Housekeeping: old revisions go, and the sidecar is told which artifacts have to stay.

use nokube_api::sidecar::KeptList;
use nokube_guest::db::Db;
use nokube_guest::{Ctx, Response, platform};

use crate::error::DeployError;
use crate::settings::keep_revisions;
use crate::store::old::{artifact_list, old_revisions_are_there, old_revisions_delete};

/// Old revisions are looked for this often, in a few milliseconds for ten thousand rows.
const EVERY_SECONDS: i64 = 5;
/// Of one turn: a row has up to 1 MiB of configuration and secrets.
const ROWS_PER_TURN: u64 = 50;
/// Digests of one answer, 72 bytes each.
const PAGE: u64 = 1_000;

/// Removes old revisions, a bounded number at a time. What fails is tried at the next turn.
pub(super) async fn prune_revisions(cx: &Ctx, db: &Db) {
    if cx.now().seconds() % EVERY_SECONDS == 0
        && let Err(error) = prune(cx, db).await
    {
        cx.log(
            "error",
            &format!("old revisions cannot be removed: {error}"),
        );
    }
}

async fn prune(cx: &Ctx, db: &Db) -> Result<(), DeployError> {
    let keep = keep_revisions(cx)?;
    if old_revisions_are_there(db, keep).await? {
        db.transaction(async |tx| old_revisions_delete(tx, keep, ROWS_PER_TURN).await)
            .await?;
    }
    Ok(())
}

/// `GET /internal/artifacts`: digests that something still names, builds' included. One list of both,
/// since a digest may pass from a build to a revision between two questions.
pub(crate) async fn list_kept_artifacts(cx: Ctx) -> Result<Response, DeployError> {
    let after = cx.query("after").unwrap_or_default();
    let db = platform::open(&cx).await?;
    let rows = artifact_list(&db, &after, PAGE).await?;
    let more = rows.len() as u64 == PAGE;
    let kept = rows.into_iter().map(|(digest,)| digest).collect();
    Ok(Response::ok(&KeptList { kept, more }))
}
