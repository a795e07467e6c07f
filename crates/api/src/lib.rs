//! Wire types: what the public API, the runners and the sidecar say to each other.
//!
//! Plain data with serde; rules live in `nokube-domain`. Nothing here does I/O.

pub mod auth;
pub mod builds;
pub mod deploy;
pub mod events;
pub mod export;
pub mod health;
pub mod logs;
pub mod page;
pub mod problem;
pub mod projects;
#[cfg(feature = "schema")]
pub mod requests;
pub mod runner;
pub mod sidecar;
pub mod spec;
