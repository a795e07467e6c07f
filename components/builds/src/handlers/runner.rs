//! What runners ask and tell. Their token says that they are runners; the lease's id says which
//! build is theirs.

use nokube_api::logs::LogStream;
use nokube_api::runner::{
    AppendLogs, BuildOutcome, BuildResult, Job, JobSource, LeaseProof, LeaseRequest, LeaseState,
};
use nokube_domain::build::{
    BUILD_TIMEOUT_SECONDS, BuildStatus, Builder, LEASE_SECONDS, MAX_LOG_BYTES, MAX_LOG_LINES,
    START_GRACE_SECONDS, clean_log_text,
};
use nokube_domain::git_source::CommitId;
use nokube_domain::{Digest, Timestamp, Uuid7};
use nokube_guest::db::Db;
use nokube_guest::{Ctx, Response, platform};

use super::builds::build_id;
use super::internal::{audit_end, fail, lost};
use crate::blobs;
use crate::error::BuildsError;
use crate::store::builds::{BuildRow, build_find_for_system};
use crate::store::leases::{
    Ending, lease_extend, lease_finish, lease_give_back, lease_is_possible, lease_list_of_runner,
    lease_project, lease_release, lease_start, lease_take,
};
use crate::store::logs::{NewLine, log_append};

/// Bytes of a runner's small bodies.
const SMALL_BODY_BYTES: usize = 64 << 10;
/// 500 lines of 16 KiB, as JSON, where a character may take six bytes in the worst case; runners
/// send far less at a time.
const LOGS_BODY_BYTES: usize = 16 << 20;
/// Lines of one call.
const MAX_LINES_PER_CALL: usize = 500;
/// Characters of a reason that is shown to users.
const MAX_REASON_CHARS: usize = 2_000;

fn in_seconds(cx: &Ctx, seconds: u64) -> Timestamp {
    cx.now()
        .plus_millis(i64::try_from(seconds * 1000).unwrap_or(i64::MAX))
}

/// `POST /runner/lease`.
pub(crate) async fn lease_build(mut cx: Ctx) -> Result<Response, BuildsError> {
    let request: LeaseRequest = cx.machine_body(SMALL_BODY_BYTES).await?;
    let builders: Vec<Builder> = request
        .builders
        .iter()
        .filter_map(|name| Builder::parse(name).ok())
        .collect();
    let runner_id = match request.runner_id.as_deref().map(Uuid7::parse) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(reason)) => return Err(BuildsError::BadRunnerBody(format!("runner_id {reason}"))),
    };
    let db = platform::open(&cx).await?;
    if let Some(id) = runner_id.filter(|_| request.starts) {
        take_back(&cx, &db, id).await?;
    }
    if !lease_is_possible(&db, cx.now(), &builders).await? {
        return Ok(Response::no_content());
    }
    let fresh = Uuid7::new(cx.now(), cx.random());
    let lease_id = runner_id.map_or_else(|| fresh.to_string(), |id| format!("{fresh}.{id}"));
    let expires_at = in_seconds(&cx, START_GRACE_SECONDS);
    db.transaction(async |tx| {
        match lease_take(tx, cx.now(), &builders, &lease_id, expires_at).await? {
            None => Ok(Response::no_content()),
            Some(row) => {
                let project = lease_project(tx, &row).await?;
                Ok(Response::ok(&job(
                    &cx,
                    &row,
                    project.owner_name,
                    project.slug,
                )?))
            }
        }
    })
    .await
}

/// Takes back what a runner held that starts anew. What it had not acknowledged costs no attempt.
async fn take_back(cx: &Ctx, db: &Db, runner_id: Uuid7) -> Result<(), BuildsError> {
    for build in lease_list_of_runner(db, runner_id).await? {
        db.transaction(async |tx| match build.status() {
            BuildStatus::Pending => Ok(lease_release(tx, &build).await.map(drop)?),
            _ => lost(cx, tx, &build, "The runner was started anew.", None).await,
        })
        .await?;
    }
    Ok(())
}

fn job(cx: &Ctx, row: &BuildRow, owner: String, project: String) -> Result<Job, BuildsError> {
    let source = match &row.repository_url {
        Some(url) => JobSource::Git {
            url: url.clone(),
            branch: row.branch.clone(),
            // Another attempt builds what the first one fetched.
            commit: row.built_commit.clone().or(row.wanted_commit.clone()),
        },
        None => JobSource::Archive {
            url: blobs::source_download_url(
                cx,
                row.source_build_id.as_deref().unwrap_or_default(),
            )?,
            digest: row.source_digest.clone().unwrap_or_default(),
        },
    };
    Ok(Job {
        build_id: row.id.to_string(),
        lease_id: row.lease_id.clone().unwrap_or_default(),
        attempt: row.attempts + 1,
        lease_seconds: START_GRACE_SECONDS,
        builder: row.builder.clone(),
        owner,
        project,
        project_id: row.project_id.0,
        service_name: row.service_name.clone(),
        source,
        subdirectory: row.subdirectory.clone(),
        image_full_name: row.image_full_name(),
        build_args: serde_json::from_str(&row.build_args).unwrap_or_default(),
        artifact_upload_url: blobs::artifact_upload_url(cx, &row.id.to_string())?,
        timeout_seconds: BUILD_TIMEOUT_SECONDS,
    })
}

/// `POST /runner/builds/{id}/start`.
pub(crate) async fn start_build(mut cx: Ctx) -> Result<Response, BuildsError> {
    let id = build_id(&cx)?;
    let proof: LeaseProof = cx.machine_body(SMALL_BODY_BYTES).await?;
    let db = platform::open(&cx).await?;
    let until = in_seconds(&cx, LEASE_SECONDS);
    db.transaction(async |tx| {
        if lease_start(tx, id, &proof.lease_id, cx.now(), until).await? {
            Ok(lease_state())
        } else {
            Err(BuildsError::LeaseLost)
        }
    })
    .await
}

/// `POST /runner/builds/{id}/heartbeat`.
pub(crate) async fn heartbeat_build(mut cx: Ctx) -> Result<Response, BuildsError> {
    let id = build_id(&cx)?;
    let proof: LeaseProof = cx.machine_body(SMALL_BODY_BYTES).await?;
    let db = platform::open(&cx).await?;
    let until = in_seconds(&cx, LEASE_SECONDS);
    db.transaction(async |tx| {
        if lease_extend(tx, id, &proof.lease_id, until).await? {
            Ok(lease_state())
        } else {
            Err(BuildsError::LeaseLost)
        }
    })
    .await
}

fn lease_state() -> Response {
    Response::ok(&LeaseState {
        lease_seconds: LEASE_SECONDS,
    })
}

/// `POST /runner/builds/{id}/logs`. Lines known already are dropped, so a call may be repeated.
pub(crate) async fn append_build_logs(mut cx: Ctx) -> Result<Response, BuildsError> {
    let id = build_id(&cx)?;
    let logs: AppendLogs = cx.machine_body(LOGS_BODY_BYTES).await?;
    if logs.lines.len() > MAX_LINES_PER_CALL || logs.first == 0 {
        return Err(BuildsError::BadRunnerBody(format!(
            "at most {MAX_LINES_PER_CALL} lines at a time, numbered from 1"
        )));
    }
    let db = platform::open(&cx).await?;
    db.transaction(async |tx| {
        let build = build_find_for_system(tx, id)
            .await?
            .filter(|build| holds(build, &logs.lease_id))
            .ok_or(BuildsError::LeaseLost)?;
        if build.log_full {
            return Ok(Response::no_content());
        }
        let known = build.log_lines - build.log_base;
        if logs.first > known + 1 {
            return Err(BuildsError::LogGap {
                expected: known + 1,
            });
        }
        let skip = usize::try_from(known + 1 - logs.first).unwrap_or(usize::MAX);
        let (lines, full) = fitting(&cx, &build, &logs, skip);
        if !lines.is_empty() {
            log_append(tx, id, build.log_lines, &lines, full).await?;
        }
        Ok(Response::no_content())
    })
    .await
}

/// The lines that are new and still fit; the last one says so when some do not.
fn fitting(cx: &Ctx, build: &BuildRow, logs: &AppendLogs, skip: usize) -> (Vec<NewLine>, bool) {
    let mut lines: Vec<NewLine> = Vec::new();
    let mut bytes = build.log_bytes;
    for line in logs.lines.iter().skip(skip) {
        let text = clean_log_text(&line.text);
        bytes += text.len() as u64;
        if build.log_lines + lines.len() as u64 >= MAX_LOG_LINES || bytes > MAX_LOG_BYTES {
            lines.push(NewLine {
                at: cx.now(),
                stream: LogStream::System,
                text: format!(
                    "The log is full ({MAX_LOG_LINES} lines or {} MiB); what follows is not kept.",
                    MAX_LOG_BYTES >> 20
                ),
            });
            return (lines, true);
        }
        lines.push(NewLine {
            at: Timestamp::parse(&line.time).unwrap_or(cx.now()),
            stream: line.stream,
            text,
        });
    }
    (lines, false)
}

/// `POST /runner/builds/{id}/result`.
pub(crate) async fn finish_build(mut cx: Ctx) -> Result<Response, BuildsError> {
    let id = build_id(&cx)?;
    let result: BuildResult = cx.machine_body(SMALL_BODY_BYTES).await?;
    let commit = match result.commit.as_deref().map(CommitId::parse) {
        None => None,
        Some(Ok(commit)) => Some(commit.as_str().to_owned()),
        Some(Err(reason)) => return Err(BuildsError::BadRunnerBody(format!("commit {reason}"))),
    };
    let db = platform::open(&cx).await?;
    let build = build_find_for_system(&db, id)
        .await?
        .filter(|build| build.lease_id.as_deref() == Some(&result.lease_id))
        .ok_or(BuildsError::LeaseLost)?;
    match build.status() {
        BuildStatus::Building => {}
        BuildStatus::Success | BuildStatus::Failed => return Ok(Response::no_content()),
        BuildStatus::Pending | BuildStatus::Cancelled => return Err(BuildsError::LeaseLost),
    }
    let verdict = judge(&cx, &result.outcome).await?;
    db.transaction(async |tx| {
        match &verdict {
            Verdict::Success(digest) => {
                let ending = Ending {
                    status: BuildStatus::Success,
                    digest: Some(digest.as_str()),
                    error_message: None,
                    commit: commit.as_deref(),
                };
                if !lease_finish(tx, &build, &ending, cx.now()).await? {
                    return Err(BuildsError::LeaseLost);
                }
                audit_end(&cx, tx, &build, BuildStatus::Success).await?;
            }
            Verdict::Failed(reason) => {
                // The runner's own last line says why.
                fail(&cx, tx, &build, reason, commit.as_deref(), None).await?;
            }
            Verdict::Lost(reason) => {
                lost(&cx, tx, &build, reason, commit.as_deref()).await?;
            }
            // The runner's own last line says why here, too.
            Verdict::GivenBack => {
                if !lease_give_back(tx, &build, commit.as_deref(), cx.now()).await? {
                    return Err(BuildsError::LeaseLost);
                }
            }
        }
        Ok(Response::no_content())
    })
    .await
}

enum Verdict {
    Success(Digest),
    Failed(String),
    Lost(String),
    GivenBack,
}

/// What a runner's result means. A success counts once the artifact is known to be stored: what is
/// deployed later is fetched by its digest alone.
async fn judge(cx: &Ctx, outcome: &BuildOutcome) -> Result<Verdict, BuildsError> {
    match outcome {
        BuildOutcome::Success { digest } => {
            let digest = Digest::parse(digest)
                .map_err(|reason| BuildsError::BadRunnerBody(format!("digest {reason}")))?;
            if blobs::artifact_is_stored(cx, digest.as_str()).await? {
                Ok(Verdict::Success(digest))
            } else {
                Ok(Verdict::Lost("The artifact did not arrive.".to_owned()))
            }
        }
        BuildOutcome::Failed {
            error_message,
            retryable,
        } => {
            let reason: String = error_message.chars().take(MAX_REASON_CHARS).collect();
            Ok(if *retryable {
                Verdict::Lost(reason)
            } else {
                Verdict::Failed(reason)
            })
        }
        BuildOutcome::GivenBack => Ok(Verdict::GivenBack),
    }
}

/// Whether this lease is of a build that runs.
fn holds(build: &BuildRow, lease_id: &str) -> bool {
    build.status() == BuildStatus::Building && build.lease_id.as_deref() == Some(lease_id)
}
