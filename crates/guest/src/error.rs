//! What can go wrong in any component, and the one place where it becomes a [`Problem`].

use nokube_api::problem::FieldFault;
use nokube_domain::{Invalid, Scope};

use crate::Problem;
use crate::db::DbError;
use crate::host::{BodyError, SendError};

/// An error that any component may meet. Components wrap it in their own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No credentials, or not valid ones.
    #[error("credentials are missing or not valid")]
    Unauthenticated {
        /// Some were given.
        given: bool,
    },
    /// Known, but not allowed.
    #[error("the caller is not allowed to do this: {0}")]
    Forbidden(&'static str),
    /// The token's scopes leave this out.
    #[error("the token lacks the scope {0}")]
    ScopeMissing(Scope),
    /// There is none, or it is someone else's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// No route has this path.
    #[error("no route has this path")]
    NoSuchPath,
    /// The path has other methods.
    #[error("the path has other methods")]
    MethodNotAllowed {
        /// Those it has.
        allow: String,
    },
    /// The body is too large or broke off.
    #[error("the body could not be read")]
    Body(#[source] BodyError),
    /// The body's type is not JSON.
    #[error("the body's type is not JSON")]
    NotJsonType,
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The request has faults.
    #[error("the request has {} faults", .0.len())]
    Invalid(Vec<FieldFault>),
    /// `If-Match` names another version.
    #[error("If-Match names another version")]
    StaleVersion,
    /// An `Idempotency-Key` is not one.
    #[error("the Idempotency-Key is not valid")]
    BadIdempotencyKey,
    /// An `Idempotency-Key` was used for another request.
    #[error("the Idempotency-Key was used for another request")]
    IdempotencyKeyReused,
    /// The database.
    #[error("the database failed")]
    Database(#[from] DbError),
    /// Another service could not be reached.
    #[error("{service} cannot be reached")]
    Unreachable {
        /// Which.
        service: &'static str,
        /// Why.
        source: SendError,
    },
    /// Another service answered what it never should.
    #[error("{service} answered {status}")]
    UnexpectedAnswer {
        /// Which.
        service: &'static str,
        /// The status it gave.
        status: u16,
    },
    /// A variable is missing or unusable.
    #[error("the variable {0} is missing or not usable")]
    Configuration(&'static str),
    /// Something that cannot happen did.
    #[error("internal contradiction: {0}")]
    Contradiction(&'static str),
}

impl Error {
    /// One fault, at a JSON pointer into the body.
    #[must_use]
    pub fn invalid(pointer: &str, reason: &Invalid) -> Self {
        Self::Invalid(vec![FieldFault {
            pointer: pointer.to_owned(),
            detail: reason.to_string(),
            r#in: None,
        }])
    }

    /// One fault in a query parameter.
    #[must_use]
    pub fn invalid_query(name: &str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldFault {
            pointer: format!("/{name}"),
            detail: detail.into(),
            r#in: Some("query".to_owned()),
        }])
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Unauthenticated { given } => unauthenticated(given),
            Error::Forbidden(detail) => Self::new(403, "forbidden", "Not allowed").detail(detail),
            Error::ScopeMissing(scope) => scope_missing(scope),
            Error::NotFound(what) => {
                Self::new(404, "not-found", "Not found").detail(format!("There is no such {what}."))
            }
            Error::NoSuchPath => {
                Self::new(404, "not-found", "Not found").detail("Nothing is served at this path.")
            }
            Error::MethodNotAllowed { allow } => {
                Self::new(405, "method-not-allowed", "Method not allowed")
                    .detail(format!("This path answers {allow}."))
                    .header("allow", allow)
            }
            Error::Body(BodyError::TooLarge(limit)) => {
                Self::new(413, "body-too-large", "Body too large")
                    .detail(format!("At most {limit} bytes are accepted here."))
            }
            Error::Body(BodyError::Broken(_)) => Self::new(400, "broken-body", "Body incomplete")
                .detail("The body ended before it was complete."),
            Error::NotJsonType => {
                Self::new(415, "unsupported-media-type", "Unsupported media type")
                    .detail("Send JSON with Content-Type: application/json.")
                    .header("accept", "application/json")
            }
            Error::NotJson(detail) => Self::new(400, "not-json", "Not JSON")
                .detail(format!("The body is not valid JSON: {detail}.")),
            Error::Invalid(faults) => Self::new(422, "invalid-request", "Request not valid")
                .detail("Some fields are not valid; see errors.")
                .errors(faults),
            Error::StaleVersion => Self::new(412, "stale-version", "Changed meanwhile")
                .detail("It is no longer the version named in If-Match. Read it again."),
            Error::BadIdempotencyKey => {
                Self::new(400, "bad-idempotency-key", "Idempotency-Key not valid")
                    .detail("An Idempotency-Key has 1 to 255 visible ASCII characters.")
            }
            Error::IdempotencyKeyReused => {
                Self::new(422, "idempotency-key-reused", "Idempotency-Key reused")
                    .detail("This Idempotency-Key was used for another request within 24 hours.")
            }
            Error::Database(DbError::Busy | DbError::Unavailable(_))
            | Error::Unreachable { .. } => Self::unavailable(&error),
            Error::UnexpectedAnswer { status, .. } if status >= 500 => Self::unavailable(&error),
            Error::Database(_)
            | Error::UnexpectedAnswer { .. }
            | Error::Configuration(_)
            | Error::Contradiction(_) => Self::internal(&error),
        }
    }
}

/// RFC 6750, section 3.1: names the scope that is needed.
fn scope_missing(scope: Scope) -> Problem {
    Problem::new(403, "scope-missing", "Token not good for this")
        .detail(format!(
            "This access token lacks the scope {scope}. Make an API token that has it; or, if you signed in with a \
             password, set up the second factor that the platform demands."
        ))
        .header(
            "www-authenticate",
            format!(r#"Bearer realm="nokube", error="insufficient_scope", scope="{scope}""#),
        )
}

/// RFC 6750, section 3: `error` only when credentials were given.
fn unauthenticated(given: bool) -> Problem {
    let problem = Problem::new(401, "unauthenticated", "Sign in first");
    if given {
        problem
            .detail("The bearer token is not valid or no longer valid.")
            .header(
                "www-authenticate",
                r#"Bearer realm="nokube", error="invalid_token""#,
            )
    } else {
        problem
            .detail("This needs a bearer token in the Authorization header.")
            .header("www-authenticate", r#"Bearer realm="nokube""#)
    }
}
