//! The sidecar over real HTTP, between a fake target and a fake platform.

#![expect(clippy::unwrap_used, reason = "a failure is what a test is for")]

mod apps;
mod blobs;
mod dns;
mod events;
mod housekeeping;
mod manifests;
mod support;
