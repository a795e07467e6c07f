//! What end-to-end tests share: a platform of their own on a free port with its own data folder, a
//! client of its API, Git repositories, and waiting for conditions.
//!
//! The tests run what `cargo xtask build` made: `target/release/nokube` and the components beside it.

pub mod api;
pub mod archive;
pub mod cli;
pub mod cluster;
pub mod figures;
pub mod git_server;
pub mod guests;
pub mod needs;
pub mod platform;
pub mod repository;
pub mod runner;
pub mod runner_platform;
pub mod wait;
