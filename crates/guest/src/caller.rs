//! Who is calling.

use nokube_domain::{Scopes, UserId, UserRole};

/// A user whose access token was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub id: UserId,
    /// The user's name, which never changes.
    pub username: String,
    /// The user's role when the token was issued, at most 15 minutes ago. A token whose scopes leave out
    /// `admin` acts as any other user's.
    pub role: UserRole,
    /// The session (family of refresh tokens) the token belongs to; `token:<id>` for one that was
    /// exchanged for an API token.
    pub session_id: String,
    /// What the token is good for; nothing means everything its user may do.
    pub scopes: Option<Scopes>,
    /// When the token ends, in Unix seconds.
    pub expires_at_seconds: i64,
}

impl Caller {
    /// Whether the user is an administrator.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role == UserRole::Admin
    }
}
