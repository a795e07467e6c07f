//! The sidecar: the one part of the platform that changes what runs.
//!
//! It is told what shall be over a small HTTP API (`nokube_api::sidecar`), writes that down, and
//! converges a [`Target`] towards it for as long as it lives: one machine's engine, or a cluster. It
//! keeps the blob store that builds go through, and it drives the platform's time by calling its
//! internal tick.
//!
//! It never opens a database, knows no users, and believes no caller: every spec is checked again.
//! It knows no engine and no Kubernetes either; those are targets.

mod blobs;
mod check;
mod desired;
mod dns;
pub mod durable;
mod events;
mod housekeeping;
mod http;
mod keep;
mod plan;
mod reconcile;
mod render;
mod server;
mod space;
mod target;
mod tick;

pub use check::{SpecFault, check_spec};
pub use housekeeping::StorageOptions;
pub use keep::{Keep, Kept};
pub use plan::{Action, Wanted, plan};
pub use server::{Sidecar, SidecarOptions, StartError};
pub use target::{Adopted, Health, LogQuery, Observed, Target, TargetError, TargetEvent};
