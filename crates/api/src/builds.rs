//! Builds as users see them (`/api/v1/builds`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Build {
    /// Its id (UUIDv7).
    pub build_id: String,
    /// The project.
    pub project_id: i64,
    /// The service that is built.
    pub service_name: String,
    /// `pending`, `building`, `success`, `failed` or `cancelled`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["pending", "building", "success", "failed", "cancelled"])))]
    pub status: String,
    /// `runner` or `simulated`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["runner", "simulated"])))]
    pub builder: String,
    /// `<registry>/<namespace>/<owner>-<project>-<service>:<tag>`, from the start.
    pub image_full_name: String,
    /// `sha256:…` of the OCI manifest, once it succeeded.
    pub digest: Option<String>,
    /// The commit: the wanted one, or once known the built one.
    pub commit: Option<String>,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// When a runner began with the present attempt.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub started_at: Option<String>,
    /// When it reached its last status.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub completed_at: Option<String>,
    /// From `started_at` to `completed_at`.
    pub duration_seconds: Option<f64>,
    /// For people: why it failed.
    pub error_message: Option<String>,
    /// Name of the user who asked for it.
    pub created_by: String,
    /// `git` or `upload`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["git", "upload"])))]
    pub source: String,
    /// The repository, when the source is Git.
    pub repository_url: Option<String>,
    /// The branch or tag, when one was wanted.
    pub branch: Option<String>,
    /// The folder of the source that is built.
    pub subdirectory: Option<String>,
    /// Arguments for the build command's environment.
    pub build_args: BTreeMap<String, String>,
    /// How often a runner has begun it.
    pub attempts: u32,
    /// The build this one repeats.
    pub retry_of: Option<String>,
}
