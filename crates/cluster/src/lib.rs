//! A Kubernetes cluster as the place where a platform's applications run, and the program that makes them
//! run there: `nokube-sidecar`.
//!
//! The sidecar's own work (what is wanted, when to try again, the blob store, the tick) is
//! `nokube-sidecar`'s, and what objects look like is `nokube-manifests`'. Here is what knows the cluster's
//! API: [`Target`](nokube_sidecar::Target) for it, desired state in Secrets, one leader by a Lease.

mod api;
mod args;
mod artifacts;
mod inventory;
mod leader;
mod memory;
mod metrics;
mod permissions;
mod run;
#[cfg(test)]
mod scenarios;
mod secrets;
mod seen;
mod serve;
mod target;
#[cfg(test)]
mod testing;

pub use args::Cli;
pub use run::run;
