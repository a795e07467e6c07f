//! Projects and the audit trail (`/api/v1/projects`, `/api/v1/audit`).

use serde::{Deserialize, Serialize};

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Project {
    /// Its id.
    pub id: i64,
    /// Its name for people.
    pub name: String,
    /// Its name in host and image names: a DNS label, unique per owner. It stays when the name changes.
    pub slug: String,
    /// For people.
    pub description: Option<String>,
    /// Where its source is, when a build does not say.
    pub repository_url: Option<String>,
    /// Which branch, when a build does not say.
    pub branch: Option<String>,
    /// The name that its addresses and images carry: one of its owners. Another owner takes the project over by
    /// changing it to their own.
    pub owner: String,
    /// The caller's role in it: `viewer`, `developer` or `owner`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["viewer", "developer", "owner"])))]
    pub role: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub updated_at: String,
}

/// A member of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Member {
    /// Who.
    pub username: String,
    /// As what: `viewer`, `developer` or `owner`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["viewer", "developer", "owner"])))]
    pub role: String,
    /// Since when; RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub added_at: String,
}

/// The body of `PUT /projects/{id}/members/{username}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PutMemberRequest {
    /// `viewer`, `developer` or `owner`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["viewer", "developer", "owner"])))]
    pub role: String,
}

/// One change, by whom and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditEntry {
    /// Grows with time.
    pub id: i64,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub time: String,
    /// Who did it; `system` for the platform itself.
    pub actor: String,
    /// `<resource>.<verb>`.
    pub action: String,
    /// `<resource>:<id>`.
    pub target: String,
    /// The project it belongs to.
    pub project_id: Option<i64>,
    /// More about it.
    pub detail: serde_json::Value,
    /// The request that did it.
    pub request_id: String,
}

/// A piece of the audit trail, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditPage {
    /// The entries.
    pub data: Vec<AuditEntry>,
    /// For what is older; nothing at the end.
    pub cursor: Option<String>,
}
