//! Events. What the command line sends as well is in `crate::events`.

use schemars::JsonSchema;

/// `PUT /events/{id}`: what is left out is unset.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceEventRequest {
    /// As in the answer; has no effect.
    pub id: Option<String>,
    /// What it is called.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// More about it.
    #[schemars(length(max = 2000))]
    pub description: Option<String>,
    /// RFC 3339 with any offset, or a date without a time: a whole day.
    pub start_date: String,
    /// Of the same kind as `start_date`, and not before it.
    pub end_date: String,
    /// What the dates say already; refused when it says something else.
    pub all_day: Option<bool>,
    /// How far it is.
    #[schemars(extend("enum" = ["draft", "published", "archived"]))]
    pub status: String,
    /// As in the answer; has no effect.
    pub owner: Option<String>,
    /// As in the answer; has no effect.
    pub created_at: Option<String>,
    /// As in the answer; has no effect.
    pub updated_at: Option<String>,
}
