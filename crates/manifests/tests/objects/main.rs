//! What comes out for whole deployments, by example and by chance.

#![expect(clippy::unwrap_used, reason = "a failure is what a test is for")]

mod names;
mod pods;
mod refusals;
mod shape;
mod snapshots;
mod support;
