//! Deployments.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

/// `POST /deploy`: `build_id` or `image_name`, and where it goes. What is left out stays as it was, or has its default.
#[derive(JsonSchema)]
#[schemars(extend(
    "additionalProperties" = false,
    "anyOf" = [{ "required": ["build_id"] }, { "required": ["image_name"] }],
))]
pub struct DeployRequest {
    /// The project.
    #[schemars(range(min = 1))]
    pub project_id: i64,
    /// The service.
    #[schemars(regex(pattern = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub service_name: String,
    /// `production` when it is missing; each has a host name of its own.
    #[schemars(regex(pattern = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub environment: Option<String>,
    /// A successful build of the caller's.
    #[schemars(extend("format" = "uuid"))]
    pub build_id: Option<String>,
    /// Or the image that it made; or, where the platform allows that, a container image of any registry.
    #[schemars(length(min = 1, max = 512))]
    pub image_name: Option<String>,
    /// Accepted, without effect: it comes from the project.
    #[schemars(extend("deprecated" = true))]
    pub project_name: Option<Value>,
    /// Accepted, without effect: it comes from the token.
    #[schemars(extend("deprecated" = true))]
    pub username: Option<Value>,
    /// The configuration.
    #[serde(flatten)]
    pub configuration: ConfigurationFields,
}

/// `PATCH /deployments/{id}`: the next revision of the same image. What is left out stays, `null` unsets.
#[derive(JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct UpdateDeploymentRequest {
    /// The configuration.
    #[serde(flatten)]
    pub configuration: ConfigurationFields,
}

/// What a deployment's configuration is made of.
#[derive(JsonSchema)]
pub struct ConfigurationFields {
    /// A name for people.
    #[schemars(length(min = 1, max = 100))]
    pub display_name: Option<String>,
    /// A text for people.
    #[schemars(length(max = 2000))]
    pub description: Option<String>,
    /// What it is.
    #[schemars(extend("enum" = ["web", "api", "worker", null]))]
    pub service_type: Option<String>,
    /// From where it is reached.
    #[schemars(extend("enum" = ["none", "internal", "external", "node_port", null]))]
    pub exposure_type: Option<String>,
    /// Port the program listens on (containers; Spin applications ignore it).
    #[schemars(range(min = 1, max = 65535))]
    pub container_port: Option<i64>,
    /// Port the service is reached at inside the cluster.
    #[schemars(range(min = 1, max = 65535))]
    pub service_port: Option<i64>,
    /// Wanted copies.
    #[schemars(range(min = 1, max = 100))]
    pub replicas: Option<i64>,
    /// A Kubernetes quantity, such as `100m`.
    pub cpu_request: Option<String>,
    /// A Kubernetes quantity.
    pub cpu_limit: Option<String>,
    /// A Kubernetes quantity, such as `64Mi`.
    pub memory_request: Option<String>,
    /// A Kubernetes quantity; on one machine the bound of one instance's memory.
    pub memory_limit: Option<String>,
    /// A host name of the user's own: a TXT record shows that it is, or an administrator sets it.
    #[schemars(length(max = 253))]
    pub custom_domain: Option<String>,
    /// A path prefix.
    #[schemars(length(max = 512), regex(pattern = r"^/"))]
    pub custom_path: Option<String>,
    /// Serve by HTTPS where the target can.
    pub enable_https: Option<bool>,
    /// Plain configuration, merged by name; `null` removes one.
    pub env_vars: Option<BTreeMap<String, Option<String>>>,
    /// Secrets, merged by name; `null` removes one. Values can't be read back.
    pub secrets: Option<BTreeMap<String, Option<String>>>,
    /// Probe before and while it runs.
    pub health_check_enabled: Option<bool>,
    /// Path of the liveness probe.
    #[schemars(length(max = 512), regex(pattern = r"^/"))]
    pub liveness_check_path: Option<String>,
    /// Path of the readiness probe.
    #[schemars(length(max = 512), regex(pattern = r"^/"))]
    pub readiness_check_path: Option<String>,
    /// Port to probe when it is not the container's.
    #[schemars(range(min = 1, max = 65535))]
    pub health_check_port: Option<i64>,
    /// Seconds.
    #[schemars(range(min = 0, max = 3600))]
    pub liveness_initial_delay: Option<i64>,
    /// Seconds.
    #[schemars(range(min = 0, max = 3600))]
    pub readiness_initial_delay: Option<i64>,
    /// Seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub health_check_period: Option<i64>,
    /// Seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub health_check_timeout: Option<i64>,
    /// Failures in a row that count.
    #[schemars(range(min = 1, max = 100))]
    pub health_check_failure_threshold: Option<i64>,
    /// A Kubernetes quantity.
    pub storage_size: Option<String>,
    /// Where storage is mounted.
    #[schemars(length(max = 512), regex(pattern = r"^/."))]
    pub storage_path: Option<String>,
    /// Scale by load where the target can.
    pub enable_autoscaling: Option<bool>,
    /// Bounds of autoscaling.
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: Option<i64>,
    /// Bounds of autoscaling.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: Option<i64>,
    /// Aim of autoscaling, percent of the request.
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_percent: Option<i64>,
}

/// `POST /deployments/{id}/rollback`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollBackRequest {
    /// The number of a kept revision.
    #[schemars(range(min = 1))]
    pub revision: u32,
}

/// `POST /deployments/{id}/scale`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleRequest {
    /// Wanted copies.
    #[schemars(range(min = 1, max = 100))]
    pub replicas: i64,
}
