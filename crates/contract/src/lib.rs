//! What the HTTP API promises, route by route, as an OpenAPI 3.1 document, and whether an answer keeps it.
//!
//! A component describes its routes in `src/contract.rs`, for its tests alone: no part of this is in what runs. From
//! its route table, those descriptions, the wire types of `nokube-api` and the list of problems in `docs/PROBLEMS.md`
//! comes [`Document`]; nothing of it is written by hand. `cargo xtask openapi` joins the components' documents.
//!
//! What follows from a route itself is not described again: its credentials, the parameters' names, and the problems
//! that any request of its kind may meet (`implied.rs`).
//!
//! Deliberately absent: rules of one component, and the routes themselves. Those are told by their tables.

mod check;
#[cfg(feature = "code")]
mod fixed;
#[cfg(feature = "code")]
mod implied;
#[cfg(feature = "code")]
mod kind;
#[cfg(feature = "code")]
mod make;
#[cfg(feature = "code")]
mod operation;
#[cfg(feature = "code")]
mod problems;
#[cfg(feature = "code")]
mod schema;

pub use check::{Document, Seen};
#[cfg(feature = "code")]
pub use kind::Kind;
#[cfg(feature = "code")]
pub use make::Audience;
#[cfg(feature = "code")]
pub use operation::{Contract, Operation};
#[cfg(feature = "code")]
pub use schemars::JsonSchema;

/// Who may call a route, as its table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Public,
    /// Anyone with an access token.
    User,
    /// Administrators.
    Admin,
    /// Build runners.
    Runner,
    /// Agents on servers.
    Agent,
    /// Webhooks.
    Webhook,
    /// The platform's own parts.
    System,
}

/// A row of a route table.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// `GET`, …
    pub method: &'static str,
    /// `/api/v1/projects/:id`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Whether an access token of an API token needs a scope for it.
    pub is_scoped: bool,
    /// The handler's name.
    pub operation_id: &'static str,
}

impl Route {
    /// The path as OpenAPI writes it: `/api/v1/projects/{id}`.
    #[must_use]
    pub fn template(&self) -> String {
        let parts = self.path.split('/').map(|part| {
            part.strip_prefix(':')
                .map_or_else(|| part.to_owned(), |name| format!("{{{name}}}"))
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// Names of the parameters in the path.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path
            .split('/')
            .filter_map(|part| part.strip_prefix(':'))
    }
}
