//! The platform's rules: values that exist only when they are valid, and what may be done with them.
//!
//! Pure: no I/O, no clock, no randomness (both come in as arguments), no wire types. A value that came
//! from outside becomes one of these types by its one constructor, `parse`, or is refused with an
//! [`Invalid`] whose words are for the person who sent it.

pub mod build;
mod challenge;
mod container;
pub mod deploy;
mod digest;
pub mod event;
mod fault;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod git_source;
mod ids;
mod names;
mod namespace;
mod quantity;
mod request_id;
mod roles;
mod scopes;
mod service;
mod text;
mod time;

pub use challenge::{challenge_name, check_challenge_name};
pub use container::ContainerImage;
pub use digest::Digest;
pub use fault::{Fault, Faults};
pub use ids::{BuildId, DeploymentId, EventId, ProjectId, UserId, Uuid7};
pub use names::{DnsLabel, Email, Slug, Username};
pub use namespace::Namespace;
pub use quantity::Quantity;
pub use request_id::is_harmless_request_id;
pub use roles::{ProjectRole, UserRole};
pub use scopes::{Capability, Reach, Scope, Scopes};
pub use service::{Environment, HostLabel, PRODUCTION, ServiceName, check_custom_domain};
pub use text::{Description, DisplayName};
pub use time::Timestamp;

use std::borrow::Cow;

/// Why a value was refused, in words for whoever sent it. Never repeats the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub Cow<'static, str>);

impl Invalid {
    /// A refusal with fixed words.
    #[must_use]
    pub const fn new(detail: &'static str) -> Self {
        Self(Cow::Borrowed(detail))
    }
}

impl From<String> for Invalid {
    fn from(detail: String) -> Self {
        Self(Cow::Owned(detail))
    }
}
