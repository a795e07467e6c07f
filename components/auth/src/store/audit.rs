//! Reading the audit trail, newest first, and taking a deleted user's traces out of it.

use nokube_domain::{Timestamp, UserId};
use nokube_guest::db::{Conditions, Db, DbError, Tx};
use nokube_guest::{TimeCursor, params, row};

/// What stands for the name of a user whose account was deleted. No user can have it: it has a space.
const DELETED: &str = "deleted user";

row! {
    /// One change.
    pub(crate) struct AuditRow {
        pub(crate) id: i64,
        pub(crate) at_ms: Timestamp,
        pub(crate) actor_id: Option<i64>,
        pub(crate) actor_name: String,
        pub(crate) action: String,
        pub(crate) target: String,
        pub(crate) detail: String,
        pub(crate) request_id: String,
        pub(crate) address: Option<String>,
    }
}

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A user.
    User(UserId),
    /// The platform itself.
    System,
}

/// Which entries are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditFilter {
    pub(crate) actor: Option<Actor>,
    pub(crate) action: Option<String>,
    /// Not before.
    pub(crate) from: Option<Timestamp>,
    /// Before.
    pub(crate) to: Option<Timestamp>,
    /// The entry after which to go on.
    pub(crate) after: Option<TimeCursor>,
}

/// The entries that a filter lets through, newest first. They are in the order of their time; the id parts those of
/// one millisecond. Each combination reads an index in that order: `audit_by_actor_and_time`, `audit_by_action` or
/// `audit_by_time`.
pub(crate) async fn audit_find(
    db: &Db,
    filter: &AuditFilter,
    limit: u64,
) -> Result<Vec<AuditRow>, DbError> {
    let mut conditions = Conditions::new();
    match filter.actor {
        None => {}
        Some(Actor::User(id)) => conditions.and("actor_id = ?", params![id]),
        Some(Actor::System) => conditions.and("actor_id IS NULL", &[]),
    }
    if let Some(action) = &filter.action {
        conditions.and("action = ?", params![action]);
    }
    if let Some(from) = filter.from {
        conditions.and("at_ms >= ?", params![from]);
    }
    // One upper bound, since the database uses one of them to find where to begin. Ids begin at 1.
    let end = filter.to.map(|at| TimeCursor { at, id: 0 });
    if let Some(before) = filter.after.into_iter().chain(end).min() {
        conditions.and("(at_ms, id) < (?, ?)", params![before.at, before.id]);
    }
    let limit = conditions.parameter(limit);
    let statement = format!(
        "SELECT id, at_ms, actor_id, actor_name, action, target, detail, request_id, address FROM audit \
         {} ORDER BY at_ms DESC, id DESC LIMIT {limit}",
        conditions.text()
    );
    db.query(&statement, conditions.parameters()).await
}

/// Leaves of what a user did that it was done, and when; the id stays, and is never given out again.
pub(crate) async fn audit_anonymise(tx: &Tx, user: UserId) -> Result<(), DbError> {
    tx.execute(
        "UPDATE audit SET actor_name = ?2, address = NULL, detail = '{}' WHERE actor_id = ?1",
        params![user, DELETED],
    )
    .await?;
    Ok(())
}
