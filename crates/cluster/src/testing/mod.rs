//! A cluster in memory, and what scenarios have in common.

mod fake;
mod world;

use nokube_api::sidecar::{AppSpec, ArtifactKind};
use serde_json::json;

pub(crate) use fake::{Fake, Rule};
pub(crate) use world::{World, ready};

/// An ordinary Spin application: service `api` of `shop` in production.
pub(crate) fn spec(generation: u64) -> AppSpec {
    serde_json::from_value(json!({
        "deployment_id": "01940000-0000-7000-8000-000000000001",
        "generation": generation,
        "revision": generation,
        "desired": "running",
        "owner": "ada",
        "project_id": 1,
        "project": "shop",
        "service": "api",
        "environment": "production",
        "namespace": "shop-production",
        "image_name": "registry.localhost/nokube/ada-shop-api:1",
        "digest": format!("sha256:{}", "a".repeat(64)),
        "artifact": "spin",
        "spec": {
            "display_name": null, "description": null,
            "service_type": "web", "exposure_type": "external",
            "container_port": 80, "service_port": 80, "replicas": 1,
            "cpu_request": "100m", "cpu_limit": "500m",
            "memory_request": "64Mi", "memory_limit": "128Mi",
            "custom_domain": null, "custom_path": null, "enable_https": false,
            "env_vars": { "MODE": "test" },
            "health_check_enabled": false,
            "liveness_check_path": "/", "readiness_check_path": "/", "health_check_port": null,
            "liveness_initial_delay": 0, "readiness_initial_delay": 0,
            "health_check_period": 10, "health_check_timeout": 5,
            "health_check_failure_threshold": 3,
            "storage_size": null, "storage_path": null,
            "enable_autoscaling": false, "min_replicas": 1, "max_replicas": 1,
            "target_cpu_percent": 80,
        },
        "sealed_secrets": {},
    }))
    .unwrap()
}

/// A container with everything that a container can have.
pub(crate) fn container(generation: u64) -> AppSpec {
    let mut app = spec(generation);
    app.deployment_id = "01940000-0000-7000-8000-000000000002".to_owned();
    app.service = "worker".to_owned();
    app.artifact = ArtifactKind::Container;
    app.image_name = "docker.io/library/nginx:1.27".to_owned();
    app.spec.storage_size = Some("1Gi".to_owned());
    app.spec.storage_path = Some("/data".to_owned());
    app
}
