//! Housekeeping: old builds go, and the sidecar is told which sources have to stay.

use nokube_api::sidecar::{KeptList, SourceAwaited};
use nokube_domain::build::BuildStatus;
use nokube_guest::db::Db;
use nokube_guest::{Ctx, Error, Response, platform};

use super::builds::build_id;
use super::internal::creator_may_still_build;
use crate::error::BuildsError;
use crate::settings::{keep_builds, sources_end_before};
use crate::store::builds::build_find_for_system;
use crate::store::old::{old_build_delete, old_build_shorten_log, old_builds, source_list};

/// Old builds are looked for this often, in a few milliseconds for ten thousand rows.
const EVERY_SECONDS: i64 = 5;
/// Of one turn, which holds the database for less than 50 ms: 120,000 lines a minute, more than two
/// runners write.
const LINES_PER_TURN: u64 = 10_000;
const BUILDS_PER_TURN: u64 = 20;
/// Ids of one answer, 40 bytes each.
const PAGE: u64 = 1_000;
/// A source stays this much longer than it may be built again: between the sidecar's question and
/// what it does about the answer, a build may be repeated.
const SOURCE_MARGIN_MS: i64 = 60 * 60 * 1000;

/// Removes old builds, a bounded number of rows at a time. What fails is tried at the next turn.
pub(super) async fn prune_builds(cx: &Ctx, db: &Db) {
    if cx.now().seconds() % EVERY_SECONDS == 0
        && let Err(error) = prune(cx, db).await
    {
        cx.log("error", &format!("old builds cannot be removed: {error}"));
    }
}

async fn prune(cx: &Ctx, db: &Db) -> Result<(), BuildsError> {
    let mut lines_left = LINES_PER_TURN;
    for (id,) in old_builds(db, keep_builds(cx)?, BUILDS_PER_TURN).await? {
        // Its lines first: with a long log the row waits for a later turn.
        let lines = db
            .transaction(async |tx| {
                let lines = old_build_shorten_log(tx, id, lines_left).await?;
                if lines < lines_left {
                    old_build_delete(tx, id).await?;
                }
                Ok::<_, BuildsError>(lines)
            })
            .await?;
        lines_left -= lines.min(lines_left);
        if lines_left == 0 {
            break;
        }
    }
    Ok(())
}

/// `GET /internal/builds/sources`: builds whose uploaded source must stay.
pub(crate) async fn list_kept_sources(cx: Ctx) -> Result<Response, BuildsError> {
    let after = cx.query("after").unwrap_or_default();
    let db = platform::open(&cx).await?;
    let ended_after = sources_end_before(&cx)?.plus_millis(-SOURCE_MARGIN_MS);
    let rows = source_list(&db, &after, ended_after, PAGE).await?;
    let more = rows.len() as u64 == PAGE;
    let kept = rows.into_iter().map(|(id,)| id).collect();
    Ok(Response::ok(&KeptList { kept, more }))
}

/// `GET /internal/builds/{id}/source`: whether a source for the build is worth storing.
pub(crate) async fn get_build_source(cx: Ctx) -> Result<Response, BuildsError> {
    let id = build_id(&cx)?;
    let db = platform::open(&cx).await?;
    let row = build_find_for_system(&db, id)
        .await?
        .ok_or(Error::NotFound("build"))?;
    creator_may_still_build(&db, id).await?;
    let own = row.source_build_id.as_deref() == Some(id.to_string().as_str());
    let awaited = row.status() == BuildStatus::Pending || row.source_digest.is_some();
    if own && awaited {
        Ok(Response::ok(&SourceAwaited {
            digest: row.source_digest,
        }))
    } else {
        Err(BuildsError::NotAwaitingSource)
    }
}
