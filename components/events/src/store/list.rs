//! Lists of one owner's events. The statement has only the conditions that are asked for, so that each has
//! its index (`src/tests/plans.rs`).

use nokube_domain::event::EventStatus;
use nokube_domain::{Timestamp, UserId};
use nokube_guest::db::{Conditions, Db, DbError};
use nokube_guest::{Caller, Paging, params};

use super::events::{COLUMNS, StoredEvent};

/// Which events.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) status: Option<EventStatus>,
    /// What goes on at this time or later.
    pub(crate) from: Option<Timestamp>,
    /// What begins before this time.
    pub(crate) before: Option<Timestamp>,
    /// Beginnings of words, each of which is in the event. An empty list finds nothing.
    pub(crate) words: Option<Vec<String>>,
}

/// In which order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Order {
    pub(crate) key: SortKey,
    pub(crate) is_descending: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum SortKey {
    #[default]
    Start,
    End,
    Title,
    Status,
    Created,
    Updated,
}

impl SortKey {
    /// The columns of the index for it. An id begins with the time it was made at.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Start => &["start_ms", "id"],
            Self::End => &["until_ms", "id"],
            Self::Title => &["title_key", "id"],
            Self::Status => &["status", "start_ms", "id"],
            Self::Created => &["id"],
            Self::Updated => &["updated_at_ms", "id"],
        }
    }
}

/// The conditions of a filter.
fn conditions(owner: &Caller, filter: &Filter) -> Conditions {
    let mut conditions = Conditions::new();
    // The sign keeps the planner from reading all of the owner's events when words have found a few: it does not know
    // how few, and the words are the owner's own already.
    let owned = match filter.words {
        Some(_) => "+owner_id = ?",
        None => "owner_id = ?",
    };
    conditions.and(owned, params![owner.id]);
    if let Some(status) = filter.status {
        conditions.and("status = ?", params![status.as_str()]);
    }
    if let Some(from) = filter.from {
        conditions.and("until_ms >= ?", params![from]);
    }
    if let Some(before) = filter.before {
        conditions.and("start_ms < ?", params![before]);
    }
    // Words from each one to the last that begins with it.
    for word in filter.words.iter().flatten() {
        conditions.and(
            "number IN (SELECT w.event_number FROM event_words w \
             WHERE w.owner_id = ? AND w.word >= ? AND w.word < ?)",
            params![owner.id, word, format!("{word}{}", char::MAX)],
        );
    }
    if filter.words.as_ref().is_some_and(Vec::is_empty) {
        conditions.and("number IS NULL", &[]);
    }
    conditions
}

/// One page of the owner's events.
pub(crate) async fn events_listed(
    db: &Db,
    owner: &Caller,
    filter: &Filter,
    order: Order,
    paging: Paging,
) -> Result<Vec<StoredEvent>, DbError> {
    let mut conditions = conditions(owner, filter);
    let direction = if order.is_descending { " DESC" } else { "" };
    let columns: Vec<String> = order
        .key
        .columns()
        .iter()
        .map(|column| format!("{column}{direction}"))
        .collect();
    let limit = conditions.parameter(paging.limit());
    let offset = conditions.parameter(paging.offset());
    let statement = format!(
        "SELECT {COLUMNS} FROM events {} ORDER BY {} LIMIT {limit} OFFSET {offset}",
        conditions.text(),
        columns.join(", ")
    );
    db.query(&statement, conditions.parameters()).await
}

/// How many there are of those.
pub(crate) async fn events_listed_count(
    db: &Db,
    owner: &Caller,
    filter: &Filter,
) -> Result<u64, DbError> {
    let conditions = conditions(owner, filter);
    let statement = format!("SELECT count(*) FROM events {}", conditions.text());
    let (count,) = db.query_one(&statement, conditions.parameters()).await?;
    Ok(count)
}

/// What is on an owner's calendar: not put away, and not over at `since`.
pub(crate) async fn events_on_calendar(
    db: &Db,
    owner: UserId,
    since: Timestamp,
    limit: u64,
) -> Result<Vec<StoredEvent>, DbError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events WHERE owner_id = ?1 AND until_ms >= ?2 AND status <> ?3 \
         ORDER BY until_ms, id LIMIT ?4"
    );
    let archived = EventStatus::Archived.as_str();
    db.query(&statement, params![owner, since, archived, limit])
        .await
}
