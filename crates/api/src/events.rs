//! Events (`/api/v1/events`).

use serde::{Deserialize, Serialize};

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
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
    /// Its owner's name.
    pub owner: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub updated_at: String,
}

/// `POST /events`, and without what is only shown `PUT /events/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EventRequest {
    /// 1 to 200 characters.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 200)))]
    pub title: String,
    /// Up to 2000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 2000)))]
    pub description: Option<String>,
    /// RFC 3339 with any offset, or a date without a time: a whole day.
    pub start_date: String,
    /// Of the same kind as `start_date`, and not before it.
    pub end_date: String,
    /// What the dates say already; refused when it says something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_day: Option<bool>,
    /// `draft`, `published` or `archived`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["draft", "published", "archived"])))]
    pub status: String,
}

/// `PATCH /events/{id}`: what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EventChangeRequest {
    /// As in [`EventRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 200), extend("type" = "string")))]
    pub title: Option<String>,
    /// `null` removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("maxLength" = 2000)))]
    pub description: Option<Option<String>>,
    /// As in [`EventRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("type" = "string")))]
    pub start_date: Option<String>,
    /// As in [`EventRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("type" = "string")))]
    pub end_date: Option<String>,
    /// As in [`EventRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_day: Option<bool>,
    /// As in [`EventRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(extend("type" = "string", "enum" = ["draft", "published", "archived"]))
    )]
    pub status: Option<String>,
}

/// The private address of the caller's calendar, without what makes it private.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventFeed {
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// When a program last read it.
    pub last_read_at: Option<String>,
}

/// A new private address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewEventFeed {
    /// Shown this once. Whoever has it reads the calendar.
    pub url: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
}
