//! The platform's own processes on one machine.
//!
//! ```text
//! up, standalone   the front process: listener, sidecar, children     (P)
//! tenants          tenants' applications, in a process of its own     (T)
//! runner           builds                                             (R)
//! compile          WebAssembly to native code, a process per module   (C)
//! ```
//!
//! Keys are read in P alone. T and C get none; R gets its own token.

mod cache;
mod cache_sweep;
mod child;
pub(crate) mod compile;
mod confine;
mod data_dir;
mod database_keys;
mod front;
mod key_rotation;
pub(crate) mod keys;
mod local_target;
mod machine;
pub(crate) mod pack;
mod platform_app;
mod process;
pub(crate) mod runner;
mod runtime_config;
mod settled;
pub(crate) mod standalone;
pub(crate) mod tenants;
mod unix;
pub(crate) mod up;
