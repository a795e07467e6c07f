//! The embedded engine: runs Spin applications (WASI 0.2 and 0.3 HTTP components) inside this process.
//!
//! [`Engine::load`] turns an [`AppConfig`] into an [`App`], which answers requests. A [`Registry`] holds applications by
//! id and host name and replaces them without a failed request; [`server::serve`] puts it on a socket.
//!
//! What holds for every request (DESIGN.md, "The embedded engine"):
//!
//! - a guest is bounded in memory, wall time, CPU time, body size and concurrency, and nothing it does makes another
//!   wait for long: see [`config::Limits`] and the `meter` module;
//! - a failure is an answer for that one request, and a line with its reason in the application's log ([`logs`]);
//! - nothing a client sends is believed: Spin's own headers are replaced.
//!
//! Deliberately absent: TLS, HTTP/2, artifacts and their unpacking, users and projects. It never starts a program.

mod answer;
pub mod app;
mod body;
mod chain;
mod closing;
pub mod compile;
mod component;
pub mod config;
mod engine;
mod failure;
mod folders;
mod gate;
mod holding;
pub mod host;
mod host_limits;
mod imports;
mod instance;
mod load;
pub mod logs;
mod machine;
mod meter;
mod module;
mod options;
mod pace;
mod pot;
pub mod problem;
pub mod registry;
mod request;
mod running;
pub mod server;
mod share;
pub mod threads;
mod ticker;
mod within;

pub use app::{App, ProbeError};
pub use compile::CompileError;
pub use component::ModuleError;
pub use config::{AppConfig, ComponentFiles, Egress, Limits, Reuse, ShareLimits};
pub use engine::{Engine, EngineError};
pub use failure::Failure;
pub use holding::holding;
pub use host_limits::HostLimits;
pub use load::{Fault, LoadError};
pub use options::EngineOptions;
pub use registry::{AppInfo, Registry};
pub use request::{Client, settle_request_id};

/// The body of requests and answers.
pub type Body = wasmtime_wasi_http::WasiBody;

/// What goes wrong while a [`Body`] is read.
pub type BodyError = wasmtime_wasi_http::Error;
