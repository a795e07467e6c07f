//! Who may see a project's rows, and who may do what in it: what projects, builds and deploy ask, and the only place
//! that says it.

use nokube_domain::{ProjectId, ProjectRole, UserId};

use crate::db::{Conditions, Db};
use crate::{Caller, Error, params, row};

row! {
    struct AccessRow {
        name: String,
        slug: String,
        owner_id: UserId,
        owner_name: String,
        repository_url: Option<String>,
        branch: Option<String>,
        member_role: Option<String>,
    }
}

/// A project the caller may see.
#[derive(Debug, Clone)]
pub struct ProjectAccess {
    /// The project.
    pub id: ProjectId,
    /// Its name for people.
    pub name: String,
    /// Its name in host and image names.
    pub slug: String,
    /// Its owner.
    pub owner_id: UserId,
    /// Its owner's name.
    pub owner_name: String,
    /// Where its source is, when a build does not say.
    pub repository_url: Option<String>,
    /// Which branch, when a build does not say.
    pub branch: Option<String>,
    /// The caller's role in it.
    pub role: ProjectRole,
}

/// Keeps a query to the rows a caller may see: those of projects it is a member of, or all of them for an administrator
/// who asks for everybody's. `project` is the column that says whose a row is.
pub fn only_visible(
    conditions: &mut Conditions,
    project: &'static str,
    caller: &Caller,
    everybodys: bool,
) {
    if everybodys && caller.is_admin() {
        return;
    }
    conditions.push(
        &format!("{project} IN (SELECT m.project_id FROM project_members m WHERE m.user_id = ?)"),
        params![caller.id],
    );
}

/// The project, if the caller has at least the role `needed` in it. Administrators may read every
/// project, and change only those they are members of.
///
/// # Errors
/// [`Error::NotFound`] when there is none or the caller is not a member (someone else's project looks
/// like none); [`Error::Forbidden`] for members whose role is too low.
pub async fn project_for(
    db: &Db,
    caller: &Caller,
    id: ProjectId,
    needed: ProjectRole,
) -> Result<ProjectAccess, Error> {
    let row: Option<AccessRow> = db
        .query_optional(
            "SELECT p.name, p.slug, p.owner_id, p.owner_name, p.repository_url, p.branch, \
             m.role AS member_role \
             FROM projects p \
             LEFT JOIN project_members m ON m.project_id = p.id AND m.user_id = ?2 \
             WHERE p.id = ?1",
            params![id, caller.id],
        )
        .await?;
    let row = row.ok_or(Error::NotFound("project"))?;
    let member = row.member_role.as_deref().map(ProjectRole::parse);
    let role = match member {
        Some(Ok(role)) => role,
        Some(Err(_)) => return Err(Error::Contradiction("a member has an unknown role")),
        None if caller.is_admin() => ProjectRole::Viewer,
        None => return Err(Error::NotFound("project")),
    };
    if role < needed {
        return Err(Error::Forbidden(
            "Your role in this project does not allow this.",
        ));
    }
    Ok(ProjectAccess {
        id,
        name: row.name,
        slug: row.slug,
        owner_id: row.owner_id,
        owner_name: row.owner_name,
        repository_url: row.repository_url,
        branch: row.branch,
        role,
    })
}
