//! Asking for builds, seeing them, ending and repeating them.

use nokube_domain::build::{
    BuildStatus, Builder, MAX_ACTIVE_PER_PROJECT, MAX_ACTIVE_PER_USER, chosen_image_repository,
    default_tag, image_repository,
};
use nokube_domain::{BuildId, Invalid, ProjectId, ProjectRole, ServiceName};
use nokube_guest::db::{Db, Tx};
use nokube_guest::platform::{self, ProjectAccess, project_for};
use nokube_guest::{Audit, Caller, Ctx, Error, Response, once};
use serde_json::json;

use crate::error::BuildsError;
use crate::request::CreateBuild;
use crate::settings::{GitRules, registry, sources_end_before};
use crate::store::builds::{
    BuildFilter, BuildRow, NewBuild, NewSource, build_cancel, build_count_active, build_find,
    build_insert, build_list,
};
use crate::store::images::image_name_claim;
use crate::store::logs::log_append_system;
use crate::store::old::source_is_kept;
use crate::view::build_view;

/// `POST /builds`.
pub(crate) async fn create_build(mut cx: Ctx, caller: Caller) -> Result<Response, BuildsError> {
    let rules = GitRules::from_variables(&cx)?;
    let request = CreateBuild::from_fields(cx.fields().await?, &rules)?;
    let db = platform::open(&cx).await?;
    once(&cx, &db, &caller, async |tx| {
        let project = project_for(tx, &caller, request.project_id, ProjectRole::Developer).await?;
        let url = repository_url(&request, &project, &rules)?;
        let branch = match (&request.branch, &request.repository_url) {
            (Some(branch), _) => Some(branch.clone()),
            // The project's branch is a branch of the project's repository.
            (None, None) => project.branch.clone(),
            (None, Some(_)) => None,
        };
        let source = NewSource::Git {
            url: &url,
            branch: branch.as_deref(),
            commit: request.commit.as_deref(),
        };
        let row = insert(&cx, tx, &caller, &project, &request, source).await?;
        Ok(accepted(&cx, row))
    })
    .await
}

/// `GET /builds`.
pub(crate) async fn list_builds(cx: Ctx, caller: Caller) -> Result<Response, BuildsError> {
    let paging = cx.paging()?;
    let project_id = cx.query_as("project_id", ProjectId::parse)?;
    let all = cx.flag("all")?;
    let filter = BuildFilter {
        project_id,
        service_name: cx.query("service_name"),
        status: cx.query_as("status", |text| {
            BuildStatus::parse(text).ok_or(Invalid::new(
                "must be pending, building, success, failed or cancelled",
            ))
        })?,
        everywhere: project_id.is_some() || all,
    };
    let db = platform::open(&cx).await?;
    if let Some(id) = project_id {
        project_for(&db, &caller, id, ProjectRole::Viewer).await?;
    }
    let (rows, total) = build_list(&db, &caller, &filter, paging).await?;
    Ok(paging.answer(&cx, rows.into_iter().map(build_view).collect(), total))
}

/// `GET /builds/{id}`.
pub(crate) async fn get_build(cx: Ctx, caller: Caller) -> Result<Response, BuildsError> {
    let id = build_id(&cx)?;
    let db = platform::open(&cx).await?;
    let row = visible(&db, &caller, id).await?;
    Ok(cx.resource(200, &build_view(row)))
}

/// `POST /builds/{id}/cancel`.
pub(crate) async fn cancel_build(cx: Ctx, caller: Caller) -> Result<Response, BuildsError> {
    let id = build_id(&cx)?;
    let db = platform::open(&cx).await?;
    db.transaction(async |tx| {
        let present = visible(tx, &caller, id).await?;
        project_for(tx, &caller, present.project_id, ProjectRole::Developer).await?;
        let cancelled = build_cancel(tx, id, present.project_id, cx.now())
            .await?
            .ok_or_else(|| BuildsError::AlreadyFinished(present.status()))?;
        let text = format!("Cancelled by {}.", caller.username);
        log_append_system(tx, id, cx.now(), &text).await?;
        audit(&cx, tx, &caller, "build.cancel", &cancelled).await?;
        Ok(cx.resource(202, &build_view(cancelled)))
    })
    .await
}

/// `POST /builds/{id}/retry`: a new build of the same commit, or of the same upload.
pub(crate) async fn retry_build(cx: Ctx, caller: Caller) -> Result<Response, BuildsError> {
    let id = build_id(&cx)?;
    let db = platform::open(&cx).await?;
    once(&cx, &db, &caller, async |tx| {
        let old = visible(tx, &caller, id).await?;
        let project = project_for(tx, &caller, old.project_id, ProjectRole::Developer).await?;
        if !old.status().is_terminal() {
            return Err(BuildsError::NotFinished(old.status()));
        }
        check_limits(tx, &caller, old.project_id).await?;
        let new = repetition(&cx, &old)?;
        if let NewSource::Uploaded { build_id, .. } = new.source
            && !source_is_kept(tx, build_id, sources_end_before(&cx)?).await?
        {
            return Err(BuildsError::SourceGone);
        }
        let row = build_insert(tx, &caller, &new).await?;
        audit(&cx, tx, &caller, "build.retry", &row).await?;
        cx.log(
            "info",
            &format!("build {} repeats {id} of {}", row.id, project.slug),
        );
        Ok(accepted(&cx, row))
    })
    .await
}

/// The build that does `old` again.
fn repetition<'a>(cx: &Ctx, old: &'a BuildRow) -> Result<NewBuild<'a>, BuildsError> {
    let id = BuildId::new(cx.now(), cx.random());
    let source = match (
        &old.repository_url,
        &old.source_build_id,
        &old.source_digest,
    ) {
        (Some(url), _, _) => NewSource::Git {
            url,
            branch: old.branch.as_deref(),
            commit: old.built_commit.as_deref().or(old.wanted_commit.as_deref()),
        },
        (None, Some(build_id), Some(digest)) => NewSource::Uploaded { build_id, digest },
        _ => return Err(BuildsError::NoSource),
    };
    let contradiction = |_| Error::Contradiction("a stored build is not valid");
    // A tag that nobody chose is the build's own, and the new build gets its own.
    let own_tag = default_tag(&old.id.to_string()) == old.image_tag;
    Ok(NewBuild {
        id,
        project_id: old.project_id,
        service_name: ServiceName::parse(&old.service_name).map_err(contradiction)?,
        builder: Builder::parse(&old.builder)
            .map_err(|_| Error::Contradiction("a stored build has an unknown builder"))?,
        source,
        subdirectory: old.subdirectory.as_deref(),
        image_repository: old.image_repository.clone(),
        image_tag: if own_tag {
            default_tag(&id.to_string())
        } else {
            old.image_tag.clone()
        },
        build_args: old.build_args.clone(),
        retry_of: Some(old.id),
        now: cx.now(),
    })
}

/// Stores a wanted build of `project`, within the limits and under a name that is its service's.
pub(super) async fn insert(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    project: &ProjectAccess,
    request: &CreateBuild,
    source: NewSource<'_>,
) -> Result<BuildRow, BuildsError> {
    check_limits(tx, caller, project.id).await?;
    let registry = registry(cx);
    let repository = match &request.image_name {
        Some(name) => chosen_image_repository(&registry, &project.owner_name, name),
        None => image_repository(
            &registry,
            &project.owner_name,
            &project.slug,
            request.service_name.as_str(),
        ),
    };
    if !image_name_claim(tx, &repository, project.id, &request.service_name).await? {
        return Err(BuildsError::ImageNameTaken { repository });
    }
    let id = BuildId::new(cx.now(), cx.random());
    let new = NewBuild {
        id,
        project_id: project.id,
        service_name: request.service_name.clone(),
        builder: request.builder,
        source,
        subdirectory: request.subdirectory.as_deref(),
        image_repository: repository,
        image_tag: match &request.image_tag {
            Some(tag) => tag.clone(),
            None => default_tag(&id.to_string()),
        },
        build_args: serde_json::to_string(&request.build_args).expect("a map of strings"),
        retry_of: None,
        now: cx.now(),
    };
    let row = build_insert(tx, caller, &new).await?;
    audit(cx, tx, caller, "build.create", &row).await?;
    Ok(row)
}

async fn check_limits(tx: &Tx, caller: &Caller, project: ProjectId) -> Result<(), BuildsError> {
    let (of_project, of_user) = build_count_active(tx, project, caller.id).await?;
    for (active, limit, of) in [
        (of_project, MAX_ACTIVE_PER_PROJECT, "project"),
        (of_user, MAX_ACTIVE_PER_USER, "account"),
    ] {
        if active >= limit {
            return Err(BuildsError::TooManyActive { of, limit });
        }
    }
    Ok(())
}

/// The request's repository, or else the project's, held against today's rules: the operator may
/// have tightened them since the project was made.
fn repository_url(
    request: &CreateBuild,
    project: &ProjectAccess,
    rules: &GitRules,
) -> Result<String, Error> {
    if let Some(url) = &request.repository_url {
        return Ok(url.clone());
    }
    let fault = |detail: String| Error::invalid("/repository_url", &Invalid::from(detail));
    let url = project.repository_url.as_deref().ok_or_else(|| {
        fault("is required, since the project has no repository of its own".to_owned())
    })?;
    nokube_domain::git_source::RepositoryUrl::parse(url, &rules.policy())
        .map(|url| url.as_str().to_owned())
        .map_err(|reason| fault(format!("of the project {reason}")))
}

pub(super) fn build_id(cx: &Ctx) -> Result<BuildId, Error> {
    cx.parameter("id", "build", BuildId::parse)
}

/// The build, which to those who may not see its project does not exist.
pub(super) async fn visible(
    db: &Db,
    caller: &Caller,
    id: BuildId,
) -> Result<BuildRow, BuildsError> {
    let row = build_find(db, caller, id).await?;
    Ok(row.ok_or(Error::NotFound("build"))?)
}

pub(super) fn accepted(cx: &Ctx, row: BuildRow) -> Response {
    let location = format!("/api/v1/builds/{}", row.id);
    cx.resource(202, &build_view(row)).location(location)
}

async fn audit(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    action: &'static str,
    row: &BuildRow,
) -> Result<(), BuildsError> {
    let entry = Audit {
        action,
        target: format!("build:{}", row.id),
        project_id: Some(row.project_id),
        detail: json!({
            "service_name": row.service_name,
            "image": row.image_full_name(),
            "repository_url": row.repository_url,
        }),
        actor: Some(caller),
    };
    Ok(entry.write(cx, tx).await?)
}
