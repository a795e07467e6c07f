//! Members: who works on a project, and as what. Owners decide; each may leave.
//!
//! Names of members are kept with their membership, so that only adding somebody asks `auth`.

use nokube_api::auth::UserNames;
use nokube_api::projects::Member;
use nokube_domain::{ProjectId, ProjectRole, UserId, Username};
use nokube_guest::db::Tx;
use nokube_guest::platform::{self, ProjectAccess, project_for};
use nokube_guest::{Audit, Caller, Ctx, Error, Method, Response};
use serde_json::json;

use crate::error::ProjectsError;
use crate::store::members::{
    MemberRow, member_count, member_delete, member_find, member_insert, member_list,
    member_set_role,
};

/// Members of one project, unless the variable `max_members_per_project` says otherwise.
const MAX_MEMBERS_PER_PROJECT: u64 = 100;
/// Unknown, disabled and impossible names get the same words. That a name is taken, registering tells as well.
const NO_SUCH_ACCOUNT: &str = "is not the name of an account";

/// `GET /projects/{id}/members`, for every member.
pub(crate) async fn list_members(cx: Ctx, caller: Caller) -> Result<Response, ProjectsError> {
    let id = cx.parameter("id", "project", ProjectId::parse)?;
    let paging = cx.paging()?;
    let db = platform::open(&cx).await?;
    project_for(&db, &caller, id, ProjectRole::Viewer).await?;
    let total = member_count(&db, id).await?;
    let rows = member_list(&db, id, paging).await?;
    let members = rows.iter().map(member_shown).collect();
    Ok(paging.answer(&cx, members, total))
}

/// `GET /projects/{id}/members/{username}`.
pub(crate) async fn get_member(cx: Ctx, caller: Caller) -> Result<Response, ProjectsError> {
    let id = cx.parameter("id", "project", ProjectId::parse)?;
    let name = cx.parameter("username", "member", Username::parse)?;
    let db = platform::open(&cx).await?;
    project_for(&db, &caller, id, ProjectRole::Viewer).await?;
    let row = member_find(&db, id, name.as_str()).await?;
    let row = row.ok_or(Error::NotFound("member"))?;
    Ok(cx.resource(200, &member_shown(&row)))
}

/// `PUT /projects/{id}/members/{username}`: 201 with a new member, else 200.
pub(crate) async fn put_member(mut cx: Ctx, caller: Caller) -> Result<Response, ProjectsError> {
    let id = cx.parameter("id", "project", ProjectId::parse)?;
    let name = cx.parameter("username", "member", |text| {
        Ok::<_, ProjectsError>(text.to_owned())
    })?;
    let mut fields = cx.fields().await?;
    let role = fields.text("role", ProjectRole::parse);
    let db = platform::open(&cx).await?;
    project_for(&db, &caller, id, ProjectRole::Owner).await?;
    // Before the transaction: the database is not held while another component is asked.
    let user = match member_find(&db, id, &name).await? {
        Some(row) => Some(row.user_id),
        None => account_id(&cx, &name).await?,
    };
    if user.is_none() {
        fields.path_fault("username", NO_SUCH_ACCOUNT);
    }
    let (role, user) = fields.finish(|| Some((role?, user?)))?;
    let limit = cx.number_variable("max_members_per_project", MAX_MEMBERS_PER_PROJECT)?;
    db.transaction(async |tx| {
        let project = project_for(tx, &caller, id, ProjectRole::Owner).await?;
        let Some(row) = member_find(tx, id, &name).await? else {
            if cx.headers().get("if-match").is_some() {
                return Err(Error::StaleVersion.into());
            }
            if member_count(tx, id).await? >= limit {
                return Err(ProjectsError::TooManyMembers(limit));
            }
            member_insert(tx, id, user, &name, role, cx.now()).await?;
            let detail = json!({ "username": name, "role": role.as_str() });
            audit(&cx, tx, &caller, "member.add", id, &name, detail).await?;
            let location = format!("/api/v1/projects/{id}/members/{name}");
            return Ok(answer(&cx, tx, 201, id, &name).await?.location(location));
        };
        cx.check_if_match(&member_shown(&row))?;
        if row.role != role.as_str() {
            keep_its_owner(&project, &row, Some(role))?;
            member_set_role(tx, id, row.user_id, role).await?;
            let detail = json!({ "username": name, "role": role.as_str(), "was": row.role });
            audit(&cx, tx, &caller, "member.change", id, &name, detail).await?;
        }
        answer(&cx, tx, 200, id, &name).await
    })
    .await
}

/// `DELETE /projects/{id}/members/{username}`: an owner removes somebody, or a member leaves.
pub(crate) async fn delete_member(cx: Ctx, caller: Caller) -> Result<Response, ProjectsError> {
    let id = cx.parameter("id", "project", ProjectId::parse)?;
    let name = cx.parameter("username", "member", Username::parse)?;
    let name = name.as_str();
    let leaves = name == caller.username;
    let (needed, action) = if leaves {
        (ProjectRole::Viewer, "member.leave")
    } else {
        (ProjectRole::Owner, "member.remove")
    };
    let db = platform::open(&cx).await?;
    db.transaction(async |tx| {
        let project = project_for(tx, &caller, id, needed).await?;
        let row = member_find(tx, id, name).await?;
        let row = row.ok_or(Error::NotFound("member"))?;
        cx.check_if_match(&member_shown(&row))?;
        keep_its_owner(&project, &row, None)?;
        member_delete(tx, id, row.user_id).await?;
        let detail = json!({ "username": name, "role": row.role });
        audit(&cx, tx, &caller, action, id, name, detail).await?;
        Ok(Response::no_content())
    })
    .await
}

/// A project carries the name of one of its owners, who stays one until another takes it over: so it always has one.
fn keep_its_owner(
    project: &ProjectAccess,
    row: &MemberRow,
    role: Option<ProjectRole>,
) -> Result<(), ProjectsError> {
    if row.user_id == project.owner_id && role != Some(ProjectRole::Owner) {
        Err(ProjectsError::OwnerNeeded)
    } else {
        Ok(())
    }
}

/// The account of a name, when there is one that can sign in.
async fn account_id(cx: &Ctx, name: &str) -> Result<Option<UserId>, Error> {
    // Also keeps whatever else a path may hold out of the address below.
    let Ok(name) = Username::parse(name) else {
        return Ok(None);
    };
    let path = format!("/internal/users?username={}", name.as_str());
    let answer = cx
        .call_component("auth", Method::GET, &path, None::<&()>)
        .await?;
    let found: UserNames = answer.json()?;
    let user = found
        .users
        .into_iter()
        .find(|user| user.username == name.as_str());
    Ok(user.map(|user| UserId(user.id)))
}

async fn answer(
    cx: &Ctx,
    tx: &Tx,
    status: u16,
    id: ProjectId,
    name: &str,
) -> Result<Response, ProjectsError> {
    let row = member_find(tx, id, name).await?;
    let row = row.ok_or(Error::Contradiction("a member that was written is gone"))?;
    Ok(cx.resource(status, &member_shown(&row)))
}

async fn audit(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    action: &'static str,
    id: ProjectId,
    name: &str,
    detail: serde_json::Value,
) -> Result<(), ProjectsError> {
    let entry = Audit {
        action,
        target: format!("member:{name}"),
        project_id: Some(id),
        detail,
        actor: Some(caller),
    };
    Ok(entry.write(cx, tx).await?)
}

fn member_shown(row: &MemberRow) -> Member {
    Member {
        username: row.username.clone(),
        role: row.role.clone(),
        added_at: row.added_at_ms.to_string(),
    }
}
