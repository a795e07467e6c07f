//! Reading the audit trail, newest first, and taking a deleted user's traces out of it.

use nokube_domain::{Timestamp, UserId};
use nokube_guest::db::{Db, DbError, Tx, Value};
use nokube_guest::{params, row};

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
    /// The entry after which to go on: its time and id.
    pub(crate) after: Option<(Timestamp, i64)>,
}

/// The entries that a filter lets through, newest first.
pub(crate) async fn audit_find(
    db: &Db,
    filter: &AuditFilter,
    limit: u64,
) -> Result<Vec<AuditRow>, DbError> {
    let (statement, parameters) = audit_statement(filter, limit);
    db.query(&statement, &parameters).await
}

/// Entries are in the order of their time; the id parts those of one millisecond. Each combination
/// reads an index in that order: `audit_by_actor_and_time`, `audit_by_action` or `audit_by_time`.
pub(crate) fn audit_statement(filter: &AuditFilter, limit: u64) -> (String, Vec<Value>) {
    let mut conditions = Vec::new();
    let mut parameters = Vec::new();
    let mut next = |value: Value| {
        parameters.push(value);
        parameters.len()
    };
    match filter.actor {
        None => {}
        Some(Actor::User(id)) => conditions.push(format!("actor_id = ?{}", next(id.into()))),
        Some(Actor::System) => conditions.push("actor_id IS NULL".to_owned()),
    }
    if let Some(action) = &filter.action {
        conditions.push(format!("action = ?{}", next(action.into())));
    }
    if let Some(from) = filter.from {
        conditions.push(format!("at_ms >= ?{}", next(from.into())));
    }
    if let Some(to) = filter.to {
        conditions.push(format!("at_ms < ?{}", next(to.into())));
    }
    if let Some((at, id)) = filter.after {
        let (at, id) = (next(at.into()), next(id.into()));
        conditions.push(format!("(at_ms, id) < (?{at}, ?{id})"));
    }
    let condition = if conditions.is_empty() {
        String::new()
    } else {
        format!("WHERE {} ", conditions.join(" AND "))
    };
    let limit = next(limit.into());
    let statement = format!(
        "SELECT id, at_ms, actor_id, actor_name, action, target, detail, request_id, address \
         FROM audit {condition}ORDER BY at_ms DESC, id DESC LIMIT ?{limit}"
    );
    (statement, parameters)
}

/// The time of an entry.
pub(crate) async fn audit_time(db: &Db, id: i64) -> Result<Option<Timestamp>, DbError> {
    let row: Option<(Timestamp,)> = db
        .query_optional("SELECT at_ms FROM audit WHERE id = ?1", params![id])
        .await?;
    Ok(row.map(|(at,)| at))
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
