//! What the platform's database knows of a user.

use nokube_domain::{EventId, ProjectId, Timestamp, UserId};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{params, platform, row};

/// What stands for the name of a user whose account was deleted. No user can have it: it has a space.
const DELETED: &str = "deleted user";

row! {
    /// A project that a user works on.
    pub(crate) struct MembershipRow {
        pub(crate) project_id: ProjectId,
        pub(crate) project_name: String,
        pub(crate) role: String,
        pub(crate) added_at_ms: Timestamp,
    }
}

row! {
    /// The private address of a user's calendar, without what makes it private.
    pub(crate) struct FeedRow {
        pub(crate) created_at_ms: Timestamp,
        pub(crate) last_read_at_ms: Option<Timestamp>,
    }
}

row! {
    /// An event.
    pub(crate) struct EventRow {
        pub(crate) id: EventId,
        pub(crate) title: String,
        pub(crate) description: Option<String>,
        pub(crate) is_whole_days: bool,
        pub(crate) start_ms: Timestamp,
        pub(crate) end_ms: Timestamp,
        pub(crate) status: String,
        pub(crate) created_at_ms: Timestamp,
        pub(crate) updated_at_ms: Timestamp,
    }
}

/// The projects that a user works on.
pub(crate) async fn memberships_of_user(
    db: &Db,
    user: UserId,
    limit: u64,
) -> Result<Vec<MembershipRow>, DbError> {
    db.query(
        "SELECT m.project_id, p.name AS project_name, m.role, m.added_at_ms \
         FROM project_members m JOIN projects p ON p.id = m.project_id \
         WHERE m.user_id = ?1 ORDER BY m.project_id LIMIT ?2",
        params![user, limit],
    )
    .await
}

/// The private address of a user's calendar.
pub(crate) async fn feed_of_user(db: &Db, user: UserId) -> Result<Option<FeedRow>, DbError> {
    db.query_optional(
        "SELECT created_at_ms, last_read_at_ms FROM event_feeds WHERE owner_id = ?1",
        params![user],
    )
    .await
}

/// A user's events in the order they were made, from the one after `after`.
pub(crate) async fn events_of_user(
    db: &Db,
    user: UserId,
    after: Option<EventId>,
    limit: usize,
) -> Result<Vec<EventRow>, DbError> {
    // No id comes before the empty text.
    let after = after.map_or_else(String::new, |id| id.to_string());
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    db.query(
        "SELECT id, title, description, is_whole_days, start_ms, end_ms, status, created_at_ms, \
         updated_at_ms FROM events WHERE owner_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        params![user, after, limit],
    )
    .await
}

/// How many projects a user owns.
pub(crate) async fn projects_owned_count(db: &Db, user: UserId) -> Result<u64, DbError> {
    let (count,) = db
        .query_one(
            "SELECT count(*) FROM projects WHERE owner_id = ?1",
            params![user],
        )
        .await?;
    Ok(count)
}

/// Ends a user's memberships, deletes the user's events with the private address of their calendar, and takes the
/// name, the address and the particulars out of what it did. That it was done stays, under an id that is never given
/// out again. An access token that is still out makes nothing.
pub(crate) async fn user_forget(tx: &Tx, user: UserId, now: Timestamp) -> Result<(), DbError> {
    platform::remember_forgotten(tx, user, now).await?;
    tx.execute(
        "DELETE FROM project_members WHERE user_id = ?1",
        params![user],
    )
    .await?;
    tx.execute(
        "DELETE FROM idempotency_keys WHERE user_id = ?1",
        params![user],
    )
    .await?;
    tx.execute("DELETE FROM events WHERE owner_id = ?1", params![user])
        .await?;
    tx.execute(
        "DELETE FROM event_owners WHERE owner_id = ?1",
        params![user],
    )
    .await?;
    tx.execute("DELETE FROM event_feeds WHERE owner_id = ?1", params![user])
        .await?;
    tx.execute(
        "UPDATE audit SET actor_name = ?2, address = NULL, detail = '{}', \
         target = CASE WHEN target LIKE 'member:%' THEN 'member:' || ?2 ELSE target END \
         WHERE actor_id = ?1",
        params![user, DELETED],
    )
    .await?;
    Ok(())
}
