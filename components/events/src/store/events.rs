//! Events, and the words they are found by.

use nokube_domain::event::{EventData, EventStatus, EventTitle, Period, title_key, words_of};
use nokube_domain::{Description, EventId, Timestamp};
use nokube_guest::db::{Db, DbError, FromRow, Row, Tx, Value};
use nokube_guest::{Caller, params};

/// The columns of a [`StoredEvent`].
pub(super) const COLUMNS: &str = "number, id, title, description, is_whole_days, start_ms, end_ms, \
     status, sequence, created_at_ms, updated_at_ms";

/// An event as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct StoredEvent {
    /// Its row.
    pub(crate) number: i64,
    pub(crate) id: EventId,
    pub(crate) data: EventData,
    pub(crate) sequence: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl FromRow for StoredEvent {
    fn from_row(row: Row<'_>) -> Result<Self, DbError> {
        // Only what was valid was written.
        let invalid = |name: &'static str| move |_| DbError::Column(name.to_owned());
        let title: String = row.get("title")?;
        let description: Option<String> = row.get("description")?;
        let status: String = row.get("status")?;
        let data = EventData {
            title: EventTitle::parse(&title).map_err(invalid("title"))?,
            description: description
                .map(|text| Description::parse(&text))
                .transpose()
                .map_err(invalid("description"))?,
            period: Period::from_parts(
                row.get("is_whole_days")?,
                row.get("start_ms")?,
                row.get("end_ms")?,
            ),
            status: EventStatus::parse(&status).map_err(invalid("status"))?,
        };
        Ok(Self {
            number: row.get("number")?,
            id: row.get("id")?,
            data,
            sequence: row.get("sequence")?,
            created_at: row.get("created_at_ms")?,
            updated_at: row.get("updated_at_ms")?,
        })
    }
}

/// The owner's event of this id.
pub(crate) async fn event_by_id(
    db: &Db,
    owner: &Caller,
    id: EventId,
) -> Result<Option<StoredEvent>, DbError> {
    let statement = format!("SELECT {COLUMNS} FROM events WHERE owner_id = ?1 AND id = ?2");
    db.query_optional(&statement, params![owner.id, id]).await
}

/// Counts one more event of the owner; says how many that are.
pub(crate) async fn events_of_owner_count(tx: &Tx, owner: &Caller) -> Result<u64, DbError> {
    let (count,) = tx
        .query_one(
            "INSERT INTO event_owners (owner_id, events) VALUES (?1, 1) \
             ON CONFLICT (owner_id) DO UPDATE SET events = event_owners.events + 1 RETURNING events",
            params![owner.id],
        )
        .await?;
    Ok(count)
}

/// Adds an event; what is stored now.
pub(crate) async fn event_insert(
    tx: &Tx,
    owner: &Caller,
    id: EventId,
    data: &EventData,
    now: Timestamp,
) -> Result<StoredEvent, DbError> {
    let (number,): (i64,) = tx
        .query_one(
            "INSERT INTO events (owner_id, id, title, title_key, description, is_whole_days, \
             start_ms, end_ms, until_ms, status, sequence, created_at_ms, updated_at_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?11) RETURNING number",
            &values_of(owner, id, data, now),
        )
        .await?;
    words_insert(tx, owner, number, data).await?;
    Ok(StoredEvent {
        number,
        id,
        data: data.clone(),
        sequence: 0,
        created_at: now,
        updated_at: now,
    })
}

/// Changes an event.
pub(crate) async fn event_update(
    tx: &Tx,
    owner: &Caller,
    number: i64,
    data: &EventData,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE events SET title = ?3, title_key = ?4, description = ?5, is_whole_days = ?6, \
         start_ms = ?7, end_ms = ?8, until_ms = ?9, status = ?10, sequence = sequence + 1, \
         updated_at_ms = ?11 WHERE number = ?2 AND owner_id = ?1",
        &values_of(owner, number, data, now),
    )
    .await?;
    tx.execute(
        "DELETE FROM event_words WHERE event_number = ?2 AND owner_id = ?1",
        params![owner.id, number],
    )
    .await?;
    words_insert(tx, owner, number, data).await
}

/// Whose it is, which one, what it says, and when it was written: what both of these take.
fn values_of(
    owner: &Caller,
    which: impl Into<Value>,
    data: &EventData,
    now: Timestamp,
) -> [Value; 11] {
    let period = &data.period;
    [
        owner.id.into(),
        which.into(),
        data.title.as_str().into(),
        title_key(&data.title).into(),
        data.description.as_ref().map(Description::as_str).into(),
        period.is_whole_days().into(),
        period.start().begins().into(),
        period.end().begins().into(),
        period.until().into(),
        data.status.as_str().into(),
        now.into(),
    ]
}

/// Deletes an event and its words.
pub(crate) async fn event_delete(tx: &Tx, owner: &Caller, number: i64) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM events WHERE number = ?2 AND owner_id = ?1",
        params![owner.id, number],
    )
    .await?;
    tx.execute(
        "UPDATE event_owners SET events = events - 1 WHERE owner_id = ?1 AND events > 0",
        params![owner.id],
    )
    .await?;
    Ok(())
}

/// All words in one statement: an event has at most 2,200 characters, each a word at most (Chinese characters are),
/// so 2,202 parameters at most, of the 32,766 that SQLite takes.
async fn words_insert(
    tx: &Tx,
    owner: &Caller,
    number: i64,
    data: &EventData,
) -> Result<(), DbError> {
    let words = words_of(&data.title, data.description.as_ref());
    if words.is_empty() {
        return Ok(());
    }
    let rows: Vec<String> = (3..words.len() + 3)
        .map(|place| format!("(?1, ?2, ?{place})"))
        .collect();
    let statement = format!(
        "INSERT INTO event_words (owner_id, event_number, word) VALUES {}",
        rows.join(", ")
    );
    let mut parameters = vec![Value::from(owner.id), Value::from(number)];
    parameters.extend(words.into_iter().map(Value::from));
    tx.execute(&statement, &parameters).await?;
    Ok(())
}
