//! The build runner: leases builds from the platform, fetches the source, detects what it is, runs its
//! build command in a sandbox, packs a Spin OCI artifact and hands it over.
//!
//! `nokube runner` calls [`run`]; the sandbox starts `nokube sandbox-init`, which is [`sandbox_init`].
//! The way of one build, one module each: `job` → `source` → `detect` → `build` → `pack`. Nothing
//! here opens a database, and no program is started through a shell outside of the sandbox.

mod build;
mod caches;
mod client;
mod detect;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod job;
mod log;
mod options;
mod pack;
mod process;
mod remove;
mod sandbox;
mod simulated;
mod source;
mod target_cache;
mod toolchain;
mod usage;
mod workdir;
mod worker;

pub use error::RunnerError;
pub use options::{Egress, Helper, Limits, PushRegistry, RunnerOptions};
pub use sandbox::init::sandbox_init;
pub use worker::run;

pub use nokube_domain::git_source::GitAccess;
