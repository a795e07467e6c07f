//! Projects.

use nokube_domain::{ProjectId, ProjectRole, Timestamp};
use nokube_guest::db::{Conditions, Db, DbError, Tx};
use nokube_guest::{Caller, Paging, params, row};

use super::members::member_insert;

row! {
    /// A project with the caller's role in it, if any.
    #[derive(Debug, Clone)]
    pub(crate) struct ProjectRow {
        pub(crate) id: ProjectId,
        pub(crate) owner_name: String,
        pub(crate) name: String,
        pub(crate) slug: String,
        pub(crate) description: Option<String>,
        pub(crate) repository_url: Option<String>,
        pub(crate) branch: Option<String>,
        pub(crate) created_at_ms: Timestamp,
        pub(crate) updated_at_ms: Timestamp,
        pub(crate) member_role: Option<String>,
    }
}

/// What a user says about a project.
#[derive(Debug, Clone)]
pub(crate) struct ProjectData {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) repository_url: Option<String>,
    pub(crate) branch: Option<String>,
}

/// A project as the caller sees it. Whether the caller may see it at all, `project_for` has said.
pub(crate) async fn project_by_id(
    db: &Db,
    caller: &Caller,
    id: ProjectId,
) -> Result<Option<ProjectRow>, DbError> {
    db.query_optional(
        "SELECT p.id, p.owner_name, p.name, p.slug, p.description, p.repository_url, p.branch, \
         p.created_at_ms, p.updated_at_ms, m.role AS member_role \
         FROM projects p \
         LEFT JOIN project_members m ON m.project_id = p.id AND m.user_id = ?2 \
         WHERE p.id = ?1",
        params![id, caller.id],
    )
    .await
}

/// The projects that a caller is a member of; `pattern` is a LIKE pattern over name, slug and description.
fn of_member(caller: &Caller, pattern: Option<&str>) -> Conditions {
    let mut conditions = Conditions::new();
    conditions.and("m.user_id = ?", params![caller.id]);
    if let Some(pattern) = pattern {
        conditions.and(
            "(lower(p.name) LIKE ? ESCAPE '!' OR p.slug LIKE ? ESCAPE '!' \
             OR lower(coalesce(p.description, '')) LIKE ? ESCAPE '!')",
            params![pattern, pattern, pattern],
        );
    }
    conditions
}

/// One page of those, newest first, and how many there are.
pub(crate) async fn projects_of_member(
    db: &Db,
    caller: &Caller,
    pattern: Option<&str>,
    paging: Paging,
) -> Result<(Vec<ProjectRow>, u64), DbError> {
    of_member(caller, pattern)
        .page(
            db,
            "SELECT p.id, p.owner_name, p.name, p.slug, p.description, p.repository_url, p.branch, \
             p.created_at_ms, p.updated_at_ms, m.role AS member_role \
             FROM project_members m JOIN projects p ON p.id = m.project_id",
            "SELECT count(*) FROM project_members m JOIN projects p ON p.id = m.project_id",
            // By the membership's column: its index has the order, and the page is read without sorting.
            "m.project_id DESC",
            paging,
        )
        .await
}

/// How many projects the caller owns.
pub(crate) async fn projects_of_owner_count(db: &Db, owner: &Caller) -> Result<u64, DbError> {
    let (count,) = db
        .query_one(
            "SELECT count(*) FROM projects WHERE owner_id = ?1",
            params![owner.id],
        )
        .await?;
    Ok(count)
}

/// Adds a project with its owner as member. [`DbError::NotUnique`] when the owner has the slug.
pub(crate) async fn project_insert(
    tx: &Tx,
    owner: &Caller,
    slug: &str,
    data: &ProjectData,
    now: Timestamp,
) -> Result<ProjectId, DbError> {
    let (id,): (ProjectId,) = tx
        .query_one(
            "INSERT INTO projects (owner_id, owner_name, name, slug, description, repository_url, \
             branch, created_at_ms, updated_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) \
             RETURNING id",
            params![
                owner.id,
                owner.username.as_str(),
                data.name.as_str(),
                slug,
                data.description.as_deref(),
                data.repository_url.as_deref(),
                data.branch.as_deref(),
                now
            ],
        )
        .await?;
    member_insert(tx, id, owner.id, &owner.username, ProjectRole::Owner, now).await?;
    Ok(id)
}

/// Changes a project.
pub(crate) async fn project_update(
    tx: &Tx,
    id: ProjectId,
    data: &ProjectData,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE projects SET name = ?2, description = ?3, repository_url = ?4, branch = ?5, \
         updated_at_ms = ?6 WHERE id = ?1",
        params![
            id,
            data.name.as_str(),
            data.description.as_deref(),
            data.repository_url.as_deref(),
            data.branch.as_deref(),
            now
        ],
    )
    .await?;
    Ok(())
}

/// Makes the caller the one whose name the project carries. [`DbError::NotUnique`] when the caller has its slug.
pub(crate) async fn project_take_over(
    tx: &Tx,
    id: ProjectId,
    caller: &Caller,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE projects SET owner_id = ?2, owner_name = ?3, updated_at_ms = ?4 WHERE id = ?1",
        params![id, caller.id, caller.username.as_str(), now],
    )
    .await?;
    // Their addresses have its owner's name: a new generation, which the next tick hands over.
    tx.execute(
        "UPDATE deployments SET generation = generation + 1, handover_failures = 0, \
         handover_after_ms = 0, error_message = NULL, status = 'pending', updated_at_ms = ?2 \
         WHERE project_id = ?1 AND desired <> 'deleted'",
        params![id, now],
    )
    .await?;
    Ok(())
}

/// Whether anything is deployed.
pub(crate) async fn project_has_deployments(db: &Db, id: ProjectId) -> Result<bool, DbError> {
    let found: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM deployments WHERE project_id = ?1 LIMIT 1",
            params![id],
        )
        .await?;
    Ok(found.is_some())
}

/// Deletes a project, its builds and its members.
pub(crate) async fn project_delete(tx: &Tx, id: ProjectId) -> Result<(), DbError> {
    tx.execute("DELETE FROM projects WHERE id = ?1", params![id])
        .await?;
    Ok(())
}
