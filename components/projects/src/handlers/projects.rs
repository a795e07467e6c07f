//! Projects.

use nokube_api::projects::Project;
use nokube_domain::git_source::{BranchName, RepositoryUrl};
use nokube_domain::{Description, DisplayName, Invalid, ProjectId, ProjectRole, Slug, Username};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::platform::{self, project_for};
use nokube_guest::{
    Audit, Caller, Change, Ctx, Error, Fields, GitRules, Method, Response, like_pattern, once,
};
use serde_json::json;

use crate::error::ProjectsError;
use crate::store::projects as store;
use crate::store::projects::{ProjectData, ProjectRow};

/// Longer searches find nothing that shorter ones don't.
const SEARCH_CHARS: usize = 100;

/// Projects of one owner, unless the variable `max_projects_per_user` says otherwise.
const MAX_PROJECTS_PER_USER: u64 = 100;

/// `POST /projects`.
pub(crate) async fn create_project(mut cx: Ctx, caller: Caller) -> Result<Response, ProjectsError> {
    let rules = GitRules::from_variables(&cx)?;
    let data = parse_create(cx.fields().await?, &rules)?;
    let slug = Slug::from_name(&data.name);
    let limit = cx.number_variable("max_projects_per_user", MAX_PROJECTS_PER_USER)?;
    let db = platform::open(&cx).await?;
    once(&cx, &db, &caller, async |tx| {
        if store::projects_of_owner_count(tx, &caller).await? >= limit {
            return Err(ProjectsError::TooMany(limit));
        }
        let id = store::project_insert(tx, &caller, slug.as_str(), &data, cx.now())
            .await
            .map_err(|error| match error {
                DbError::NotUnique(_) => ProjectsError::SlugTaken(slug.to_string()),
                other => other.into(),
            })?;
        let detail = json!({ "name": data.name, "slug": slug.as_str() });
        write_audit(&cx, tx, &caller, "project.create", id, detail).await?;
        let project = shown(tx, &caller, id).await?;
        let location = format!("/api/v1/projects/{id}");
        Ok(cx.resource(201, &project).location(location))
    })
    .await
}

fn parse_create(mut fields: Fields, rules: &GitRules) -> Result<ProjectData, Error> {
    let policy = rules.policy();
    let name = fields.text("name", DisplayName::parse);
    let description = fields.optional_text("description", Description::parse);
    let url = fields.optional_text("repository_url", |text| RepositoryUrl::parse(text, &policy));
    let branch = fields.optional_text("branch", BranchName::parse);
    fields.finish(|| {
        Some(ProjectData {
            name: name?.into_string(),
            description: description.map(Description::into_string),
            repository_url: url.map(|url| url.as_str().to_owned()),
            branch: branch.map(|branch| branch.as_str().to_owned()),
        })
    })
}

/// `GET /projects?q=&page=&limit=`: those the caller is a member of.
pub(crate) async fn list_projects(cx: Ctx, caller: Caller) -> Result<Response, ProjectsError> {
    let paging = cx.paging()?;
    let search = cx.query_as("q", |text| {
        if text.chars().count() > SEARCH_CHARS {
            Err("must have at most 100 characters")
        } else {
            Ok(like_pattern(text))
        }
    })?;
    let db = platform::open(&cx).await?;
    let (rows, total) = store::projects_of_member(&db, &caller, search.as_deref(), paging).await?;
    let projects = rows.into_iter().map(project_shown).collect();
    Ok(paging.answer(&cx, projects, total))
}

/// `GET /projects/{id}`.
pub(crate) async fn get_project(cx: Ctx, caller: Caller) -> Result<Response, ProjectsError> {
    let id = cx.parameter("id", "project", ProjectId::parse)?;
    let db = platform::open(&cx).await?;
    project_for(&db, &caller, id, ProjectRole::Viewer).await?;
    let project = shown(&db, &caller, id).await?;
    Ok(cx.resource(200, &project))
}

/// What a PATCH says.
struct ProjectChange {
    name: Option<DisplayName>,
    description: Change<Description>,
    repository_url: Change<RepositoryUrl>,
    branch: Change<BranchName>,
    owner: Option<Username>,
}

/// `PATCH /projects/{id}`. The slug stays: it is part of addresses. With another `owner` the addresses change.
pub(crate) async fn update_project(mut cx: Ctx, caller: Caller) -> Result<Response, ProjectsError> {
    let id = cx.parameter("id", "project", ProjectId::parse)?;
    let rules = GitRules::from_variables(&cx)?;
    let mut change = parse_change(cx.fields().await?, &rules)?;
    let limit = cx.number_variable("max_projects_per_user", MAX_PROJECTS_PER_USER)?;
    let db = platform::open(&cx).await?;
    let project = db
        .transaction(async |tx| {
            project_for(tx, &caller, id, ProjectRole::Owner).await?;
            let current = shown(tx, &caller, id).await?;
            cx.check_if_match(&current)?;
            if let Some(owner) = change.owner.take()
                && owner.as_str() != current.owner
            {
                take_over(&cx, tx, &caller, &current, &owner, limit).await?;
            }
            let (data, changed) = changed_data(current, change);
            if !changed.is_empty() {
                store::project_update(tx, id, &data, cx.now()).await?;
                let detail = json!({ "changed": changed });
                write_audit(&cx, tx, &caller, "project.update", id, detail).await?;
            }
            shown(tx, &caller, id).await
        })
        .await?;
    Ok(cx.resource(200, &project))
}

/// Moves the project under the caller's own name, and to nobody else's: what an address says of somebody is said with
/// their consent. Who carried it before stays an owner.
async fn take_over(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    current: &Project,
    owner: &Username,
    limit: u64,
) -> Result<(), ProjectsError> {
    if owner.as_str() != caller.username {
        let reason = Invalid::new("must be your own name: only its new owner takes a project over");
        return Err(Error::invalid("/owner", &reason).into());
    }
    if store::projects_of_owner_count(tx, caller).await? >= limit {
        return Err(ProjectsError::TooMany(limit));
    }
    let id = ProjectId(current.id);
    store::project_take_over(tx, id, caller, cx.now())
        .await
        .map_err(|error| match error {
            DbError::NotUnique(_) => ProjectsError::SlugTaken(current.slug.clone()),
            other => other.into(),
        })?;
    let detail = json!({ "owner": caller.username, "was": current.owner });
    Ok(write_audit(cx, tx, caller, "project.take_over", id, detail).await?)
}

fn parse_change(mut fields: Fields, rules: &GitRules) -> Result<ProjectChange, Error> {
    let policy = rules.policy();
    let name = match fields.changed_text("name", DisplayName::parse) {
        Change::Set(name) => Some(name),
        Change::Keep => None,
        Change::Unset => {
            fields.fault("name", "must not be null");
            None
        }
    };
    let description = fields.changed_text("description", Description::parse);
    let repository_url =
        fields.changed_text("repository_url", |text| RepositoryUrl::parse(text, &policy));
    let branch = fields.changed_text("branch", BranchName::parse);
    let owner = match fields.changed_text("owner", Username::parse) {
        Change::Set(owner) => Some(owner),
        Change::Keep => None,
        Change::Unset => {
            fields.fault("owner", "must not be null");
            None
        }
    };
    fields.finish(|| {
        Some(ProjectChange {
            name,
            description,
            repository_url,
            branch,
            owner,
        })
    })
}

/// The project after a change, and the names of the fields that differ.
fn changed_data(current: Project, change: ProjectChange) -> (ProjectData, Vec<&'static str>) {
    let name = change
        .name
        .map_or_else(|| current.name.clone(), DisplayName::into_string);
    let description = match change.description {
        Change::Keep => current.description.clone(),
        Change::Unset => None,
        Change::Set(text) => Some(text.into_string()),
    };
    let repository_url = match change.repository_url {
        Change::Keep => current.repository_url.clone(),
        Change::Unset => None,
        Change::Set(url) => Some(url.as_str().to_owned()),
    };
    let branch = match change.branch {
        Change::Keep => current.branch.clone(),
        Change::Unset => None,
        Change::Set(branch) => Some(branch.as_str().to_owned()),
    };
    let changed = [
        ("name", name != current.name),
        ("description", description != current.description),
        ("repository_url", repository_url != current.repository_url),
        ("branch", branch != current.branch),
    ];
    let names = changed.into_iter().filter(|(_, differs)| *differs);
    let data = ProjectData {
        name,
        description,
        repository_url,
        branch,
    };
    (data, names.map(|(name, _)| name).collect())
}

/// `DELETE /projects/{id}`, `?force=true`: first its deployments, then the project.
pub(crate) async fn delete_project(cx: Ctx, caller: Caller) -> Result<Response, ProjectsError> {
    let id = cx.parameter("id", "project", ProjectId::parse)?;
    let force = cx.flag("force")?;
    let db = platform::open(&cx).await?;
    project_for(&db, &caller, id, ProjectRole::Owner).await?;
    // Before anything is taken down; and once more below, where it counts.
    cx.check_if_match(&shown(&db, &caller, id).await?)?;
    if store::project_has_deployments(&db, id).await? {
        take_down_deployments(&cx, id, force).await?;
    }
    db.transaction(async |tx| {
        let project = project_for(tx, &caller, id, ProjectRole::Owner).await?;
        cx.check_if_match(&shown(tx, &caller, id).await?)?;
        // Deployed between taking down and now: deleting would orphan what runs.
        if store::project_has_deployments(tx, id).await? {
            return Err(ProjectsError::DeployedMeanwhile);
        }
        let detail = json!({ "name": project.name, "slug": project.slug });
        write_audit(&cx, tx, &caller, "project.delete", id, detail).await?;
        store::project_delete(tx, id).await?;
        Ok(())
    })
    .await?;
    Ok(Response::no_content())
}

/// Asks `deploy` to take everything down. With force it need not wait for the target to confirm.
async fn take_down_deployments(cx: &Ctx, id: ProjectId, force: bool) -> Result<(), ProjectsError> {
    let force = if force { "?force=true" } else { "" };
    let path = format!("/internal/projects/{id}{force}");
    let answer = cx
        .call_component("deploy", Method::DELETE, &path, None::<&()>)
        .await
        .map_err(ProjectsError::DeploymentsRemain)?;
    if answer.is_success() {
        Ok(())
    } else {
        Err(ProjectsError::DeploymentsRemain(Error::UnexpectedAnswer {
            service: "deploy",
            status: answer.status,
        }))
    }
}

async fn write_audit(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    action: &'static str,
    id: ProjectId,
    detail: serde_json::Value,
) -> Result<(), DbError> {
    let audit = Audit {
        action,
        target: format!("project:{id}"),
        project_id: Some(id),
        detail,
        actor: Some(caller),
    };
    audit.write(cx, tx).await
}

async fn shown(db: &Db, caller: &Caller, id: ProjectId) -> Result<Project, ProjectsError> {
    let row = store::project_by_id(db, caller, id).await?;
    Ok(project_shown(row.ok_or(Error::NotFound("project"))?))
}

fn project_shown(row: ProjectRow) -> Project {
    Project {
        id: row.id.0,
        name: row.name,
        slug: row.slug,
        description: row.description,
        repository_url: row.repository_url,
        branch: row.branch,
        owner: row.owner_name,
        // Only administrators see projects without being members.
        role: row
            .member_role
            .unwrap_or_else(|| ProjectRole::Viewer.as_str().to_owned()),
        created_at: row.created_at_ms.to_string(),
        updated_at: row.updated_at_ms.to_string(),
    }
}
