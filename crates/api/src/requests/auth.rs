//! Accounts and sessions.

use schemars::JsonSchema;

/// As browsers have it (WHATWG HTML, "valid e-mail address").
const EMAIL: &str = concat!(
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@",
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
    r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$",
);

/// `POST /auth/register`: one of `username` and `email` at least.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [
    { "required": ["username"], "properties": { "username": { "type": "string" } } },
    { "required": ["email"], "properties": { "email": { "type": "string" } } },
]))]
pub struct RegisterRequest {
    /// Made from the address when it is missing.
    #[schemars(regex(pattern = r"^[a-z0-9]{2,32}$"))]
    pub username: Option<String>,
    /// An address of one's own.
    #[schemars(length(max = 254), regex(pattern = EMAIL))]
    pub email: Option<String>,
    /// Not among the most common ones, and neither the name nor the address.
    #[schemars(length(min = 8, max = 1024), extend("format" = "password"))]
    pub password: String,
    /// What the first start printed: makes the account an administrator's.
    pub setup_code: Option<String>,
    /// Of an administrator's invitation, where registering takes one.
    pub invitation_code: Option<String>,
}

/// `POST /auth/login`: one of `username` and `email` at least.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["username"] }, { "required": ["email"] }]))]
pub struct LoginRequest {
    /// The account's name.
    pub username: Option<String>,
    /// Or its address.
    pub email: Option<String>,
    /// Its password.
    #[schemars(length(max = 1024), extend("format" = "password"))]
    pub password: String,
    /// Where the account has a second factor: the six digits that the program shows.
    pub totp_code: Option<String>,
    /// Or a recovery code.
    pub recovery_code: Option<String>,
}

/// `POST /auth/refresh`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// Of the last pair; works once.
    pub refresh_token: String,
}

/// `PATCH /auth/me`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateMeRequest {
    /// The new address; `null` removes it.
    #[schemars(length(max = 254), regex(pattern = EMAIL))]
    pub email: Option<String>,
}

/// `POST /auth/invitations`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvitationRequest {
    /// Only somebody with this address may use it.
    #[schemars(length(max = 254), regex(pattern = EMAIL))]
    pub email: Option<String>,
    /// A week by default.
    #[schemars(range(min = 1, max = 720))]
    pub expires_in_hours: Option<u32>,
}

/// `POST /auth/totp/confirm`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmTotpRequest {
    /// The six digits that the program shows.
    pub code: String,
}

/// `DELETE /auth/totp`: with one of the two codes.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["code"] }, { "required": ["recovery_code"] }]))]
pub struct DeleteTotpRequest {
    /// The present password.
    #[schemars(length(max = 1024), extend("format" = "password"))]
    pub password: String,
    /// The six digits that the program shows.
    pub code: Option<String>,
    /// Or a recovery code.
    pub recovery_code: Option<String>,
}
