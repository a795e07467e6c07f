//! What the platform's database keeps of a user, for the user to take along (`GET /auth/me/export`).

use serde::{Deserialize, Serialize};

use crate::events::EventFeed;
use crate::projects::AuditEntry;

/// The answer to `GET /internal/owners/{id}`, for the platform's own use. All but the events comes with the first piece.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OwnerData {
    /// The projects that the user works on.
    pub memberships: Vec<Membership>,
    /// The private address of the user's calendar, without what makes it private.
    pub calendar_feed: Option<EventFeed>,
    /// The user's events, in the order they were made.
    pub events: Vec<ExportedEvent>,
    /// The `after` of the next piece; nothing when these are the last events.
    pub next: Option<String>,
    /// What the user did, newest first.
    pub activity: Vec<ExportedActivity>,
    /// Where older entries go on, as the `cursor` of `GET /audit`; nothing when these are all.
    pub activity_cursor: Option<String>,
}

/// A project that a user works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Membership {
    /// Its id.
    pub project_id: i64,
    /// Its name for people.
    pub project: String,
    /// `viewer`, `developer` or `owner`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["viewer", "developer", "owner"])))]
    pub role: String,
    /// Since when; RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub added_at: String,
}

/// An event as `GET /events/{id}` shows it, without the name of its owner, whose export this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportedEvent {
    /// A UUIDv7.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "uuid")))]
    pub id: String,
    /// What it is called.
    pub title: String,
    /// More about it.
    pub description: Option<String>,
    /// RFC 3339 UTC; of whole days a date, as it was sent.
    pub start_date: String,
    /// Likewise; of whole days, the last one.
    pub end_date: String,
    /// Whether the dates are whole days.
    pub all_day: bool,
    /// `draft`, `published` or `archived`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["draft", "published", "archived"])))]
    pub status: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub updated_at: String,
}

/// What a user did, and where from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportedActivity {
    /// As `GET /audit` shows it.
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// The user's address then.
    pub address: Option<String>,
}
