//! What can go wrong in `auth`, and the one place where it becomes a problem.

use nokube_guest::Problem;
use nokube_guest::db::DbError;

use crate::limits::Standing;

/// An error of this component.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    #[error(transparent)]
    Guest(#[from] nokube_guest::Error),
    #[error("the name or the password is wrong")]
    WrongCredentials(Vec<Standing>),
    #[error("too many attempts")]
    TooManyAttempts(Standing),
    #[error("the refresh token is not valid")]
    RefreshRefused(Standing),
    #[error("the current password is wrong")]
    WrongPassword(Vec<Standing>),
    #[error("the API token is not valid")]
    TokenRefused(Vec<Standing>),
    #[error("the user has {0} API tokens, as many as one may")]
    TooManyTokens(u64),
    #[error("nobody would be left to administer")]
    LastAdministrator,
    #[error("the user owns {0} projects")]
    OwnsProjects(u64),
    #[error("the setup code is wrong or spent")]
    SetupCodeRefused,
    #[error("a second factor is required")]
    SecondFactorRequired,
    #[error("the second factor is wrong or was used")]
    WrongSecondFactor(Standing),
    #[error("the second factor is on")]
    SecondFactorIsOn,
    #[error("no second factor was begun")]
    SecondFactorNotBegun,
    #[error("the platform demands a second factor, and the account has none")]
    NoSecondFactor,
    #[error("nobody may register")]
    RegistrationClosed,
    #[error("registering takes an invitation")]
    InvitationRequired,
    #[error("the invitation is unknown, used, expired or somebody else's")]
    InvitationRefused,
    #[error("there are {0} open invitations")]
    TooManyInvitations(u64),
    #[error("too many passwords are being hashed")]
    TooManyHashes,
    #[error("the {0} is taken")]
    Taken(&'static str),
    #[error("hashing a password failed: {0}")]
    Hashing(String),
    #[error("signing a token failed: {0}")]
    Signing(String),
}

impl From<DbError> for AuthError {
    fn from(error: DbError) -> Self {
        Self::Guest(error.into())
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Guest(error) => error.into(),
            AuthError::WrongCredentials(standings) => standings.iter().fold(
                // The same words whether the name exists or not.
                Self::new(401, "wrong-credentials", "Wrong credentials")
                    .detail("The name or the password is wrong.")
                    .header("www-authenticate", r#"Bearer realm="nokube""#),
                |problem, standing| standing.on_problem(problem),
            ),
            // Another credential than the bearer token, so no word about that one.
            AuthError::WrongPassword(standings) => standings.iter().fold(
                Self::new(401, "wrong-credentials", "Wrong credentials")
                    .detail("The current password is wrong.")
                    .header("www-authenticate", r#"Bearer realm="nokube""#),
                |problem, standing| standing.on_problem(problem),
            ),
            AuthError::TokenRefused(standings) => standings.iter().fold(
                Self::new(401, "token-refused", "API token not valid")
                    .detail(
                        "The API token is not valid, was revoked or has ended, or its account is disabled.",
                    )
                    .header(
                        "www-authenticate",
                        r#"Bearer realm="nokube", error="invalid_token""#,
                    ),
                |problem, standing| standing.on_problem(problem),
            ),
            AuthError::TooManyTokens(limit) => {
                Self::new(409, "too-many-tokens", "Too many API tokens").detail(format!(
                    "One account may have {limit} API tokens on this platform. Revoke one first."
                ))
            }
            AuthError::LastAdministrator => {
                Self::new(409, "last-administrator", "Last administrator")
                    .detail("Nobody would be left to administer the platform. Make another administrator first.")
            }
            AuthError::OwnsProjects(count) => {
                Self::new(409, "owns-projects", "Projects remain").detail(format!(
                    "The account owns projects ({count}). Delete them first, so that nothing runs without an owner."
                ))
            }
            AuthError::TooManyAttempts(standing) => standing
                .on_problem(
                    Self::new(429, "too-many-attempts", "Too many attempts")
                        .detail("There were too many attempts. Wait as long as Retry-After says."),
                )
                .header("retry-after", standing.reset_seconds.to_string()),
            AuthError::RefreshRefused(standing) => standing.on_problem(
                Self::new(401, "refresh-refused", "Refresh token not valid")
                    .detail(
                        "The refresh token is not valid, was used before or has ended. Sign in again.",
                    )
                    .header(
                        "www-authenticate",
                        r#"Bearer realm="nokube", error="invalid_token""#,
                    ),
            ),
            AuthError::SetupCodeRefused => {
                Self::new(403, "setup-code-refused", "Setup code refused").detail(
                    "The setup code is wrong, or an administrator registered with it before.",
                )
            }
            AuthError::SecondFactorRequired => {
                Self::new(401, "second-factor-required", "Second factor required")
                    .detail("Send totp_code, or one of your recovery codes as recovery_code.")
                    .header("www-authenticate", r#"Bearer realm="nokube""#)
            }
            AuthError::WrongSecondFactor(standing) => standing.on_problem(
                Self::new(401, "wrong-second-factor", "Wrong second factor")
                    .detail("The code is wrong, or was used before. Wait for the next one.")
                    .header("www-authenticate", r#"Bearer realm="nokube""#),
            ),
            AuthError::SecondFactorIsOn => {
                Self::new(409, "second-factor-on", "Second factor is on")
                    .detail("The second factor is on already. Take it away first.")
            }
            AuthError::SecondFactorNotBegun => {
                Self::new(409, "second-factor-not-begun", "No second factor")
                    .detail("There is no second factor to confirm or to take away.")
            }
            AuthError::NoSecondFactor => Self::new(403, "no-second-factor", "No second factor")
                .detail(
                    "The platform demands a second factor, and the account has none. Sign in with \
                     the password and set one up: POST /auth/totp, or nokube totp enable.",
                ),
            AuthError::RegistrationClosed => {
                Self::new(403, "registration-closed", "Registration is closed")
                    .detail("Nobody can register here. Ask an administrator.")
            }
            AuthError::InvitationRequired => {
                Self::new(403, "invitation-required", "Invitation required")
                    .detail("Registering takes the invitation_code that an administrator gave you.")
            }
            AuthError::InvitationRefused => {
                Self::new(403, "invitation-refused", "Invitation refused")
                    .detail("The invitation is unknown, used, expired or for another address.")
            }
            AuthError::TooManyInvitations(limit) => {
                Self::new(409, "too-many-invitations", "Too many invitations").detail(format!(
                    "At most {limit} invitations may be open at a time. Withdraw some."
                ))
            }
            AuthError::TooManyHashes => Self::new(429, "too-many-sign-ins", "Too many sign-ins")
                .detail("Too many people sign in at the same time. Try again shortly.")
                .header("retry-after", "2"),
            AuthError::Taken(what) => Self::new(409, "taken", "Already taken")
                .detail(format!("Another account has this {what}.")),
            AuthError::Hashing(_) | AuthError::Signing(_) => Self::internal(&error),
        }
    }
}
