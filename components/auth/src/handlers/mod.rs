//! Handlers: parse, call the store, answer. One file per resource.

pub(crate) mod api_tokens;
pub(crate) mod audit;
pub(crate) mod health;
pub(crate) mod internal;
pub(crate) mod invitations;
pub(crate) mod keys;
pub(crate) mod leaving;
mod live;
pub(crate) mod machine;
pub(crate) mod me;
pub(crate) mod password;
pub(crate) mod register;
pub(crate) mod session_list;
pub(crate) mod sessions;
pub(crate) mod totp;
pub(crate) mod users;

use nokube_api::auth::User;

use crate::store::users::UserRow;

/// A user as it is shown.
pub(crate) fn user_shown(row: UserRow) -> User {
    User {
        id: row.id.0,
        username: row.username,
        email: row.email,
        role: row.role,
        created_at: row.created_at_ms.to_string(),
    }
}
