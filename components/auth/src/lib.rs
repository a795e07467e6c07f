//! Accounts, sessions and access tokens.
//!
//! The only component that reads credentials: it has a database of its own and the only private key.
//! Everyone else verifies its tokens without asking. Later: personal API tokens, a list of sessions,
//! administration of users.

#[cfg(test)]
mod contract;
mod error;
mod handlers;
mod limits;
mod password;
mod store;
mod throttle;
mod tokens;

#[cfg(test)]
mod tests;

use nokube_guest::{Component, Route};

/// The component.
pub static COMPONENT: Component = Component {
    name: "auth",
    routes: ROUTES,
};

static ROUTES: &[Route] = nokube_guest::routes! {
    public {
        GET "/api/v1/auth/health" => handlers::health::get_auth_health;
        GET "/api/v1/auth/.well-known/jwks.json" => handlers::keys::get_jwks;
        POST "/api/v1/auth/register" => handlers::register::register_user;
        POST "/api/v1/auth/login" => handlers::sessions::login;
        // The refresh token is the credential.
        POST "/api/v1/auth/refresh" => handlers::sessions::refresh_tokens;
    }
    user {
        POST "/api/v1/auth/logout" => handlers::sessions::logout;
        GET "/api/v1/auth/verify" => handlers::sessions::verify_token;
        GET "/api/v1/auth/me" => handlers::me::get_me;
        PATCH "/api/v1/auth/me" => handlers::me::update_me;
    }
    system {
        GET "/internal/setup" => handlers::internal::get_setup_state;
        GET "/internal/users" => handlers::internal::list_user_names;
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
