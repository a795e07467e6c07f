//! Projects: what builds and deployments belong to, who works on them, and what was done.
//!
//! Answerable for the database `platform`, whose migrations are in `nokube_guest::platform`.

#[cfg(test)]
mod contract;
mod error;
mod handlers;
mod store;

#[cfg(test)]
mod tests;

use nokube_guest::{Component, Route};

/// The component.
pub static COMPONENT: Component = Component {
    name: "projects",
    routes: ROUTES,
};

static ROUTES: &[Route] = nokube_guest::routes! {
    public {
        GET "/api/v1/projects/health" => handlers::health::get_projects_health;
    }
    user {
        POST "/api/v1/projects" => handlers::projects::create_project;
        GET "/api/v1/projects" => handlers::projects::list_projects;
        GET "/api/v1/projects/:id" => handlers::projects::get_project;
        PATCH "/api/v1/projects/:id" => handlers::projects::update_project;
        DELETE "/api/v1/projects/:id" => handlers::projects::delete_project;
        GET "/api/v1/projects/:id/members" => handlers::members::list_members;
        GET "/api/v1/projects/:id/members/:username" => handlers::members::get_member;
        PUT "/api/v1/projects/:id/members/:username" => handlers::members::put_member;
        DELETE "/api/v1/projects/:id/members/:username" => handlers::members::delete_member;
        GET "/api/v1/projects/:id/activity" => handlers::audit::list_project_activity;
        // One's own entries; administrators see all.
        GET "/api/v1/audit" => handlers::audit::list_audit;
    }
    system {
        GET "/internal/owners/:id" => handlers::internal::get_user_data;
        DELETE "/internal/owners/:id" => handlers::internal::forget_user;
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
