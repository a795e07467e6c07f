//! Members of a project that was checked.

use nokube_domain::{ProjectId, ProjectRole, Timestamp, UserId};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{Paging, params, row};

row! {
    /// A member.
    #[derive(Debug, Clone)]
    pub(crate) struct MemberRow {
        pub(crate) user_id: UserId,
        pub(crate) username: String,
        pub(crate) role: String,
        pub(crate) added_at_ms: Timestamp,
    }
}

/// The member of that name.
pub(crate) async fn member_find(
    db: &Db,
    project: ProjectId,
    username: &str,
) -> Result<Option<MemberRow>, DbError> {
    db.query_optional(
        "SELECT user_id, username, role, added_at_ms FROM project_members \
         WHERE project_id = ?1 AND username = ?2",
        params![project, username],
    )
    .await
}

/// One page of the members, by name.
pub(crate) async fn member_list(
    db: &Db,
    project: ProjectId,
    paging: Paging,
) -> Result<Vec<MemberRow>, DbError> {
    db.query(
        "SELECT user_id, username, role, added_at_ms FROM project_members \
         WHERE project_id = ?1 ORDER BY username LIMIT ?2 OFFSET ?3",
        params![project, paging.limit(), paging.offset()],
    )
    .await
}

/// How many there are.
pub(crate) async fn member_count(db: &Db, project: ProjectId) -> Result<u64, DbError> {
    let (count,) = db
        .query_one(
            "SELECT count(*) FROM project_members WHERE project_id = ?1",
            params![project],
        )
        .await?;
    Ok(count)
}

/// Adds a member.
pub(crate) async fn member_insert(
    tx: &Tx,
    project: ProjectId,
    user: UserId,
    username: &str,
    role: ProjectRole,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO project_members (project_id, user_id, username, role, added_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![project, user, username, role.as_str(), now],
    )
    .await?;
    Ok(())
}

/// Changes what a member may do.
pub(crate) async fn member_set_role(
    tx: &Tx,
    project: ProjectId,
    user: UserId,
    role: ProjectRole,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE project_members SET role = ?3 WHERE project_id = ?1 AND user_id = ?2",
        params![project, user, role.as_str()],
    )
    .await?;
    Ok(())
}

/// Removes a member.
pub(crate) async fn member_delete(
    tx: &Tx,
    project: ProjectId,
    user: UserId,
) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM project_members WHERE project_id = ?1 AND user_id = ?2",
        params![project, user],
    )
    .await?;
    Ok(())
}
