//! The sidecar's cluster target on a real control plane: etcd, the API server with its admission and RBAC, its
//! controllers, the scheduler, SpinKube's operator. kwok stands in for nodes, so no program of a tenant runs.
//!
//! `cargo xtask test --cluster` builds what is needed; without it these tests are left out, and that is said.

mod admission;
mod faults;
mod input;
mod life;
mod load;
mod objects;
mod outages;
mod reasons;
mod rendered;
mod replicas;
mod rights;
mod spin;
mod story;
mod tenants;
mod variants;
