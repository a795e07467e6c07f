//! Projects.

use schemars::JsonSchema;

/// `POST /projects`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProjectRequest {
    /// For people; the slug is made from it.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// For people.
    #[schemars(length(max = 2000))]
    pub description: Option<String>,
    /// Where its source is, when a build does not say.
    #[schemars(length(min = 1, max = 2048))]
    pub repository_url: Option<String>,
    /// A branch or tag as Git has them, when a build does not say.
    #[schemars(length(min = 1, max = 255))]
    pub branch: Option<String>,
}

/// `PATCH /projects/{id}`: what is left out stays, `null` unsets.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateProjectRequest {
    /// For people; the slug stays.
    #[schemars(length(min = 1, max = 100), extend("type" = "string"))]
    pub name: Option<String>,
    /// For people.
    #[schemars(length(max = 2000))]
    pub description: Option<String>,
    /// Where its source is, when a build does not say.
    #[schemars(length(min = 1, max = 2048))]
    pub repository_url: Option<String>,
    /// A branch or tag as Git has them, when a build does not say.
    #[schemars(length(min = 1, max = 255))]
    pub branch: Option<String>,
    /// The caller's own name: an owner takes the project over, and its addresses carry that name.
    #[schemars(length(min = 2, max = 32), extend("type" = "string"))]
    pub owner: Option<String>,
}
