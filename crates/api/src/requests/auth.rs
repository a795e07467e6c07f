//! Accounts and sessions.

use schemars::JsonSchema;

/// As browsers have it (WHATWG HTML, "valid e-mail address").
const EMAIL: &str = concat!(
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@",
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
    r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$",
);

/// What an API token is good for.
const SCOPE: &str =
    "^(admin|((account|projects|builds|deploy|events|servers|metrics):)?(read|write))$";

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

/// `POST /auth/totp`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginTotpRequest {
    /// The present password, so that a token alone cannot do it.
    #[schemars(length(max = 1024), extend("format" = "password"))]
    pub password: String,
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

/// `POST /auth/password`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePasswordRequest {
    /// The password so far.
    #[schemars(length(max = 1024), extend("format" = "password"))]
    pub current_password: String,
    /// Another one, not among the most common ones, and neither the name nor the address.
    #[schemars(length(min = 8, max = 1024), extend("format" = "password"))]
    pub new_password: String,
    /// Revoke every API token, too. They stay otherwise.
    pub revoke_tokens: Option<bool>,
}

/// `DELETE /auth/me`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteMeRequest {
    /// The password, so that a token alone cannot do it.
    #[schemars(length(max = 1024), extend("format" = "password"))]
    pub current_password: String,
}

/// `POST /auth/tokens`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiTokenRequest {
    /// For people: what it is for.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// `read`, `write`, `admin`, or a capability with what may be done in it, such as `builds:write`.
    #[schemars(length(min = 1, max = 17), inner(regex(pattern = SCOPE)))]
    pub scopes: Vec<String>,
    /// At most 366 days ahead; 90 when it is left out.
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: Option<String>,
}

/// `POST /auth/token`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExchangeTokenRequest {
    /// `api_token`.
    #[schemars(extend("enum" = ["api_token"]))]
    pub grant_type: String,
    /// The value of an API token.
    pub token: String,
}

/// `PATCH /auth/users/{id}`: what is left out stays.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUserRequest {
    /// What the account may do from its next access token on.
    #[schemars(extend("type" = "string", "enum" = ["admin", "user"]))]
    pub role: Option<String>,
    /// Whether it may neither sign in nor go on.
    #[schemars(extend("type" = "boolean"))]
    pub disabled: Option<bool>,
}
