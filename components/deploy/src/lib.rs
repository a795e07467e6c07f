//! Deployments: releases of services, and handing them to the sidecar that serves them.
//!
//! A deployment is what is wanted (a revision, running or not, under a generation that grows with
//! every wish) beside what the target last said of it. What is wanted is committed first; handing it
//! over is tried at once and then by every tick until the target has acknowledged that generation.
//! Secrets come in, are sealed, and never go back to a user.

mod change;
#[cfg(test)]
mod contract;
mod error;
mod handlers;
mod image;
mod namespaces;
mod proof;
mod request;
mod settings;
mod sidecar;
mod store;
mod view;

use nokube_guest::{Component, Route, routes};

static ROUTES: &[Route] = routes! {
    public {
        GET "/api/v1/deploy/health" => handlers::health::get_deploy_health;
    }
    user {
        POST "/api/v1/deploy" => handlers::deploy::create_deployment;
        POST "/api/v1/deploy/preview" => handlers::preview::preview_deployment;
        GET "/api/v1/deployments" => handlers::deployments::list_deployments;
        GET "/api/v1/deployments/:id" => handlers::deployments::get_deployment;
        PATCH "/api/v1/deployments/:id" => handlers::revisions::update_deployment;
        DELETE "/api/v1/deployments/:id" => handlers::deployments::delete_deployment;
        GET "/api/v1/deployments/:id/revisions" => handlers::revisions::list_deployment_revisions;
        POST "/api/v1/deployments/:id/rollback" => handlers::revisions::roll_back_deployment;
        POST "/api/v1/deployments/:id/scale" => handlers::actions::scale_deployment;
        POST "/api/v1/deployments/:id/restart" => handlers::actions::restart_deployment;
        POST "/api/v1/deployments/:id/stop" => handlers::actions::stop_deployment;
        POST "/api/v1/deployments/:id/start" => handlers::actions::start_deployment;
        GET "/api/v1/deployments/:id/logs" => handlers::logs::get_deployment_logs;
        GET "/api/v1/deployments/:id/manifests" => handlers::target::get_deployment_manifests;
        GET "/api/v1/deployments/:id/events" => handlers::target::get_deployment_events;
    }
    system {
        GET "/internal/artifacts" => handlers::house::list_kept_artifacts;
        DELETE "/internal/projects/:id" => handlers::internal::delete_project_deployments;
        POST "/internal/tick" => handlers::internal::tick_deployments;
    }
};

/// The component, for its entry point and for tests.
pub static COMPONENT: Component = Component {
    name: "deploy",
    routes: ROUTES,
};

/// The host's way in.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "what the macro makes of the component's export")]
mod entry {
    #[spin_sdk::http_component]
    async fn entry(
        request: spin_sdk::http::IncomingRequest,
        out: spin_sdk::http::ResponseOutparam,
    ) {
        nokube_guest::serve(&super::COMPONENT, request, out).await;
    }
}

#[cfg(test)]
mod tests;
