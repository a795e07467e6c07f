//! Builds.

use std::collections::BTreeMap;

use schemars::JsonSchema;

/// `POST /builds`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBuildRequest {
    /// Whose build it is.
    #[schemars(range(min = 1))]
    pub project_id: i64,
    /// The service that is built.
    #[schemars(regex(pattern = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub service_name: String,
    /// The project's when it is missing.
    #[schemars(length(min = 1, max = 2048))]
    pub repository_url: Option<String>,
    /// A branch or tag as Git has them.
    #[schemars(length(min = 1, max = 255))]
    pub branch: Option<String>,
    /// A full commit id.
    #[schemars(regex(pattern = r"^([0-9a-fA-F]{40}|[0-9a-fA-F]{64})$"))]
    pub commit: Option<String>,
    /// A folder of the source to build in.
    #[schemars(length(min = 1, max = 1026))]
    pub subdirectory: Option<String>,
    /// Who builds it.
    #[schemars(extend("enum" = ["runner", "simulated", null]))]
    pub builder: Option<String>,
    /// Nothing but `false`: containers are not built here.
    #[schemars(extend("enum" = [false, null]))]
    pub has_dockerfile: Option<bool>,
    /// Without effect.
    pub dockerfile_path: Option<String>,
    /// Nothing but blanks: containers are not built here.
    #[schemars(regex(pattern = r"^\s*$"))]
    pub dockerfile_content: Option<String>,
    /// The last part of the image's name.
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]+([._-][a-z0-9]+)*$"))]
    pub image_name: Option<String>,
    /// The image's tag; the build's own when it is missing.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$"))]
    pub image_tag: Option<String>,
    /// Arguments for the build command's environment.
    #[schemars(extend("maxProperties" = 50, "propertyNames" = { "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$" }))]
    pub build_args: Option<BTreeMap<String, String>>,
}
