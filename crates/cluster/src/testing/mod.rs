//! A cluster in memory, and what scenarios have in common.

mod fake;
mod world;

use nokube_api::sidecar::{AppSpec, ArtifactKind};

pub(crate) use fake::{Fake, Rule};
pub(crate) use world::{World, ready};

/// An ordinary Spin application: service `api` of `shop` in production.
pub(crate) fn spec(generation: u64) -> AppSpec {
    let text = include_str!("spec.json").replace("\"GENERATION\"", &generation.to_string());
    serde_json::from_str(&text).unwrap()
}

/// A container: service `worker` beside it.
pub(crate) fn container(generation: u64) -> AppSpec {
    let mut app = spec(generation);
    app.deployment_id = "01940000-0000-7000-8000-000000000002".to_owned();
    app.service = "worker".to_owned();
    app.artifact = ArtifactKind::Container;
    app.image_name = "docker.io/library/nginx:1.27".to_owned();
    app
}
