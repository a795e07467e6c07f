//! What the platform's components share: the way from a request to an answer.
//!
//! A component is a table of routes ([`routes!`]), each with who may call it. [`serve`] (on
//! WebAssembly) or [`handle`] (anywhere) finds the route, checks the caller, runs the handler and
//! turns whatever comes back into an answer with the headers every answer has.
//!
//! A handler is `async fn name(cx: Ctx) -> Result<Response, E>` where the component's error `E`
//! becomes a [`Problem`]; in the groups `user` and `admin` it takes a [`Caller`] too, so a handler
//! that needs one can't stand in a group that has none.
//!
//! Everything from outside (time, randomness, variables, databases, other services) comes through
//! [`host::Host`]. Only `spin.rs` knows which SDK implements it; tests implement it natively.
//!
//! Deliberately absent: request state in statics. The one static is the bounded cache of verified
//! tokens ([`token`]), keyed by everything its entries depend on.

mod address;
mod asked;
mod audit;
mod bearer;
mod body;
mod call;
mod caller;
mod context;
mod cors;
mod cursor;
pub mod db;
mod dispatch;
mod error;
mod etag;
mod fields;
#[cfg(all(any(test, feature = "fuzzing"), not(target_family = "wasm")))]
pub mod fuzzing;
mod git_rules;
mod health;
pub mod host;
mod idempotency;
pub mod limits;
#[cfg(all(feature = "native", not(target_family = "wasm")))]
pub mod native;
mod page;
pub mod platform;
mod problem;
mod public_keys;
mod response;
mod routes;
mod search;
#[cfg(target_family = "wasm")]
mod spin;
#[cfg(all(
    any(feature = "testing", feature = "native"),
    not(target_family = "wasm")
))]
mod sqlite;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub mod testing;
pub mod token;

pub use audit::Audit;
pub use body::DEFAULT_BODY_BYTES;
pub use call::Answer;
pub use caller::Caller;
pub use context::Ctx;
pub use cursor::{Cursor, TimeCursor};
pub use dispatch::handle;
pub use error::Error;
pub use etag::etag_of;
pub use fields::{Change, Fields, FromJson};
pub use git_rules::GitRules;
pub use health::health;
pub use idempotency::once;
pub use page::Paging;
pub use problem::Problem;
pub use public_keys::{PublicKey, public_keys};
pub use response::{BodyStream, Response};
pub use routes::{Access, Component, Route};
pub use search::like_pattern;
#[cfg(target_family = "wasm")]
pub use spin::serve;

pub use http::Method;
pub use nokube_api::problem::FieldFault;
