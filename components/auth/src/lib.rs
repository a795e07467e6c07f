//! Accounts, sessions and access tokens.
//!
//! The only component that reads credentials: it has a database of its own and the only private key.
//! Everyone else verifies its tokens without asking. What an access token of an API token is good for
//! its scopes say, which `nokube_guest` enforces everywhere.

mod admission;
mod api_token;
mod common;
#[cfg(test)]
mod contract;
mod error;
mod handlers;
mod hashing;
mod limits;
mod machine;
mod password;
mod second_factor;
mod store;
mod throttle;
mod tokens;
mod totp;

#[cfg(test)]
mod tests;

pub use machine::MACHINE;
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
        // The API token is.
        POST "/api/v1/auth/token" => handlers::api_tokens::exchange_api_token;
    }
    any_scope {
        GET "/api/v1/auth/verify" => handlers::sessions::verify_token;
    }
    user {
        POST "/api/v1/auth/logout" => handlers::sessions::logout;
        GET "/api/v1/auth/me" => handlers::me::get_me;
        PATCH "/api/v1/auth/me" => handlers::me::update_me;
        DELETE "/api/v1/auth/me" => handlers::leaving::delete_me;
        GET "/api/v1/auth/me/export" => handlers::leaving::export_me;
        POST "/api/v1/auth/password" => handlers::password::change_password;
        GET "/api/v1/auth/sessions" => handlers::session_list::list_sessions;
        GET "/api/v1/auth/sessions/:id" => handlers::session_list::get_session;
        DELETE "/api/v1/auth/sessions/:id" => handlers::session_list::end_session;
        POST "/api/v1/auth/tokens" => handlers::api_tokens::create_api_token;
        GET "/api/v1/auth/tokens" => handlers::api_tokens::list_api_tokens;
        GET "/api/v1/auth/tokens/:id" => handlers::api_tokens::get_api_token;
        DELETE "/api/v1/auth/tokens/:id" => handlers::api_tokens::revoke_api_token;
        // One's own entries; administrators see all.
        GET "/api/v1/auth/audit" => handlers::audit::list_auth_audit;
    }
    admin {
        GET "/api/v1/auth/users" => handlers::users::list_users;
        GET "/api/v1/auth/users/:id" => handlers::users::get_user;
        PATCH "/api/v1/auth/users/:id" => handlers::users::update_user;
    }
    user {
        GET "/api/v1/auth/totp" => handlers::totp::get_totp;
        POST "/api/v1/auth/totp" => handlers::totp::begin_totp;
        POST "/api/v1/auth/totp/confirm" => handlers::totp::confirm_totp;
        DELETE "/api/v1/auth/totp" => handlers::totp::delete_totp;
    }
    admin {
        POST "/api/v1/auth/invitations" => handlers::invitations::create_invitation;
        GET "/api/v1/auth/invitations" => handlers::invitations::list_invitations;
        GET "/api/v1/auth/invitations/:id" => handlers::invitations::get_invitation;
        DELETE "/api/v1/auth/invitations/:id" => handlers::invitations::delete_invitation;
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
