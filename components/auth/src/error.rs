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
    RefreshRefused,
    #[error("the setup code is wrong or spent")]
    SetupCodeRefused,
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
            AuthError::TooManyAttempts(standing) => standing
                .on_problem(
                    Self::new(429, "too-many-attempts", "Too many attempts")
                        .detail("There were too many attempts. Wait as long as Retry-After says."),
                )
                .header("retry-after", standing.reset_seconds.to_string()),
            AuthError::RefreshRefused => Self::new(
                401,
                "refresh-refused",
                "Refresh token not valid",
            )
            .detail("The refresh token is not valid, was used before or has ended. Sign in again.")
            .header(
                "www-authenticate",
                r#"Bearer realm="nokube", error="invalid_token""#,
            ),
            AuthError::SetupCodeRefused => {
                Self::new(403, "setup-code-refused", "Setup code refused").detail(
                    "The setup code is wrong, or an administrator registered with it before.",
                )
            }
            AuthError::Taken(what) => Self::new(409, "taken", "Already taken")
                .detail(format!("Another account has this {what}.")),
            AuthError::Hashing(_) | AuthError::Signing(_) => Self::internal(&error),
        }
    }
}
