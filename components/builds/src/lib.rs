//! Builds: what users ask for, what runners do, and what becomes of it.
//!
//! A build is a row with a state machine (`nokube_domain::build`). Runners lease rows, acknowledge,
//! send heartbeats and log lines, and report a result; whatever they leave undone the tick ends.
//! Source archives and artifacts never come through here: they go to the sidecar's blob store by
//! one-time addresses that [`blobs`] signs.

mod blobs;
#[cfg(test)]
mod contract;
mod error;
mod handlers;
mod request;
mod settings;
mod store;
mod view;

use nokube_guest::{Component, Route, routes};

static ROUTES: &[Route] = routes! {
    public {
        GET "/api/v1/builds/health" => handlers::health::get_builds_health;
    }
    user {
        POST "/api/v1/builds" => handlers::builds::create_build;
        POST "/api/v1/builds/upload" => handlers::uploads::create_build_upload;
        GET "/api/v1/builds" => handlers::builds::list_builds;
        GET "/api/v1/builds/:id" => handlers::builds::get_build;
        GET "/api/v1/builds/:id/logs" => handlers::logs::get_build_logs;
        POST "/api/v1/builds/:id/cancel" => handlers::builds::cancel_build;
        POST "/api/v1/builds/:id/retry" => handlers::builds::retry_build;
    }
    runner {
        POST "/api/v1/runner/lease" => handlers::runner::lease_build;
        POST "/api/v1/runner/builds/:id/start" => handlers::runner::start_build;
        POST "/api/v1/runner/builds/:id/heartbeat" => handlers::runner::heartbeat_build;
        POST "/api/v1/runner/builds/:id/logs" => handlers::runner::append_build_logs;
        POST "/api/v1/runner/builds/:id/result" => handlers::runner::finish_build;
    }
    system {
        GET "/internal/builds/sources" => handlers::house::list_kept_sources;
        GET "/internal/builds/:id/source" => handlers::house::get_build_source;
        POST "/internal/builds/:id/source" => handlers::internal::put_build_source;
        POST "/internal/tick" => handlers::internal::tick_builds;
    }
};

/// The component, for its entry point and for tests.
pub static COMPONENT: Component = Component {
    name: "builds",
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
