//! The whole application: its health, its tick, and what its API promises.
//!
//! Without a database and without rules of its own: it asks the components, by chaining. Its last
//! route in `spin.toml` takes every path that no component has, so that those are problems like all
//! others.

#[cfg(test)]
mod contract;
mod handlers;

#[cfg(test)]
mod tests;

use nokube_guest::{Component, Route};

/// The component.
pub static COMPONENT: Component = Component {
    name: "meta",
    routes: ROUTES,
};

static ROUTES: &[Route] = nokube_guest::routes! {
    public {
        GET "/health" => handlers::health::get_health;
        GET "/api/v1/openapi.json" => handlers::openapi::get_openapi;
    }
    system {
        POST "/internal/tick" => handlers::tick::tick;
    }
};

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
