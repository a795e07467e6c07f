//! Accounts and sessions (`/api/v1/auth`).

use serde::{Deserialize, Serialize};

use crate::events::EventFeed;
use crate::export::{ExportedActivity, ExportedEvent, Membership};

/// A user, as users see themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct User {
    /// Its id.
    pub id: i64,
    /// Its name: never changes.
    pub username: String,
    /// Its e-mail address.
    pub email: Option<String>,
    /// `admin` or `user`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["admin", "user"])))]
    pub role: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
}

/// What a sign-in gives.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tokens {
    /// A JWT for the Authorization header.
    pub access_token: String,
    /// For the next pair; works once.
    pub refresh_token: String,
    /// `Bearer`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["Bearer"])))]
    pub token_type: String,
    /// Seconds until the access token ends.
    pub expires_in: u64,
    /// What the access token is good for, separated by spaces, when not for everything: while the platform demands a
    /// second factor that the account has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// The answer to `POST /auth/register` and `POST /auth/login`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignedIn {
    /// Who signed in.
    pub user: User,
    /// The tokens.
    #[serde(flatten)]
    pub tokens: Tokens,
}

/// The answer to `GET /auth/verify`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verified {
    /// Always true: an invalid token is 401.
    pub valid: bool,
    /// The user's id, as in the token.
    pub sub: String,
    /// The user's name.
    pub username: String,
    /// `admin` or `user`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["admin", "user"])))]
    pub role: String,
    /// When the token ends, RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub expires_at: String,
}

/// `GET /auth/.well-known/jwks.json` (RFC 7517).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JsonWebKeySet {
    /// The issuing key first.
    pub keys: Vec<JsonWebKey>,
}

/// A public key (RFC 8037).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JsonWebKey {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// The raw key, base64url.
    pub x: String,
    /// Its RFC 7638 thumbprint.
    pub kid: String,
    /// `EdDSA`.
    pub alg: String,
    /// `sig`.
    pub r#use: String,
}

/// `GET /internal/setup`: whether an administrator has registered with the setup code.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetupState {
    /// The code is spent.
    pub setup_done: bool,
}

/// `GET /internal/users?ids=1,2` and `?username=alice`: names of users, for the platform's own use.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserNames {
    /// Those that exist.
    pub users: Vec<UserName>,
}

/// A user's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserName {
    /// The id.
    pub id: i64,
    /// The name.
    pub username: String,
}

/// An invitation to register, without its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Invitation {
    /// A UUID.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "uuid")))]
    pub id: String,
    /// The address it is for; for anyone when null.
    pub email: Option<String>,
    /// `open`, `used` or `expired`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["open", "used", "expired"])))]
    pub status: String,
    /// The administrator who made it; null when that account is gone, or it was made on the machine itself.
    pub created_by: Option<i64>,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub expires_at: String,
    /// The account that was made with it.
    pub used_by: Option<i64>,
    /// RFC 3339 UTC.
    pub used_at: Option<String>,
}

/// The answer to `POST /auth/invitations`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewInvitation {
    /// The invitation.
    #[serde(flatten)]
    pub invitation: Invitation,
    /// For `invitation_code` of `POST /auth/register`. Shown this once.
    pub code: String,
}

/// `GET /auth/totp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TotpState {
    /// A sign-in takes a code.
    pub enabled: bool,
    /// Recovery codes that were not used.
    pub recovery_codes_left: u64,
}

/// The answer to `POST /auth/totp`: for an authenticator program. Shown this once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TotpBegun {
    /// Base 32 (RFC 4648).
    pub secret: String,
    /// The same as `otpauth://` URI, to be shown as a QR code.
    pub uri: String,
}

/// The answer to `POST /auth/totp/confirm`. Shown this once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveryCodes {
    /// Each good for one sign-in without the device.
    pub recovery_codes: Vec<String>,
}

/// A session: one sign-in, for as long as it is refreshed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Whether the access token that asks belongs to it.
    pub current: bool,
    /// Where it was begun from.
    pub address: Option<String>,
    /// The program that began it, as it called itself.
    pub user_agent: Option<String>,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// When it was last refreshed, RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub last_used_at: String,
    /// When it ends unless it is refreshed before, RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub expires_at: String,
}

/// A personal API token, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApiToken {
    /// Its id.
    pub id: String,
    /// For people: what it is for.
    pub name: String,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub expires_at: String,
    /// When it was last exchanged for an access token, RFC 3339 UTC.
    pub last_used_at: Option<String>,
}

/// The answer to `POST /auth/tokens`: the only one that has the value. No `Debug` for that reason.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewApiToken {
    /// The token.
    #[serde(flatten)]
    pub about: ApiToken,
    /// Its value, `nkp_…`. It cannot be shown again.
    pub token: String,
}

/// The answer to `POST /auth/token`. There is no refresh token: exchange the API token again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccessToken {
    /// A JWT for the Authorization header.
    pub access_token: String,
    /// `Bearer`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["Bearer"])))]
    pub token_type: String,
    /// Seconds until it ends.
    pub expires_in: u64,
    /// What it is good for, separated by spaces.
    pub scope: String,
    /// Who it stands for.
    pub user: User,
}

/// A user, as administrators see users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Account {
    /// What its user sees, too.
    #[serde(flatten)]
    pub user: User,
    /// Whether it may neither sign in nor go on.
    pub disabled: bool,
    /// Since when, RFC 3339 UTC.
    pub disabled_at: Option<String>,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub updated_at: String,
}

/// What `nokube admin reset-password` is answered, on the machine alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordReset {
    /// The account.
    #[serde(flatten)]
    pub account: Account,
    /// API tokens that are still good.
    pub tokens_left: u64,
    /// API tokens that were revoked.
    pub tokens_revoked: u64,
}

/// The answer to `GET /auth/me/export`: what is kept about a user and goes with the account, but for what is secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccountExport {
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub exported_at: String,
    /// The account.
    pub account: Account,
    /// The sessions that go on.
    pub sessions: Vec<Session>,
    /// The API tokens, without their values.
    pub tokens: Vec<ApiToken>,
    /// The second factor, without its secret.
    pub second_factor: TotpState,
    /// Where the user signed in from within 90 days.
    pub known_addresses: Vec<KnownAddress>,
    /// What the user did, newest first.
    pub audit: Vec<AuthAuditEntry>,
    /// Where older entries go on, as the `cursor` of `GET /auth/audit`; nothing when these are all.
    pub audit_cursor: Option<String>,
    /// The projects that the user works on.
    pub memberships: Vec<Membership>,
    /// The private address of the user's calendar, without what makes it private.
    pub calendar_feed: Option<EventFeed>,
    /// The user's events, in the order they were made.
    pub events: Vec<ExportedEvent>,
    /// Whether these are all. No more than 16 MiB are exported at once; `GET /events` has every one.
    pub events_complete: bool,
    /// What the user did with projects, builds, deployments and events, newest first.
    pub activity: Vec<ExportedActivity>,
    /// Where older entries go on, as the `cursor` of `GET /audit`; nothing when these are all.
    pub activity_cursor: Option<String>,
}

/// An address that a user signed in from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KnownAddress {
    /// Of IPv6 the first 64 bits.
    pub address: String,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub last_used_at: String,
}

/// One change that `auth` wrote down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuthAuditEntry {
    /// Never given twice.
    pub id: i64,
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub time: String,
    /// Who did it: a user's id; nothing for the platform itself.
    pub actor_id: Option<i64>,
    /// The name of who did it; `system` for the platform itself.
    pub actor: String,
    /// `<resource>.<verb>`.
    pub action: String,
    /// `<resource>:<id>`.
    pub target: String,
    /// More about it.
    pub detail: serde_json::Value,
    /// The request that did it.
    pub request_id: String,
    /// Where it came from.
    pub address: Option<String>,
}

/// A piece of `auth`'s audit trail, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuthAuditPage {
    /// The entries.
    pub data: Vec<AuthAuditEntry>,
    /// For what is older; nothing at the end.
    pub cursor: Option<String>,
}

/// The answer to `DELETE /internal/owners/{id}` of `projects`, for the platform's own use.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserForgotten {
    /// How many projects the user owns; nothing was changed unless it is 0.
    pub owned_projects: u64,
}
