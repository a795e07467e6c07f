//! What a Spin application is: text in, types out, no I/O.
//!
//! - [`manifest`]: a `spin.toml` of version 2, with every fault of it at once;
//! - [`locked`]: the locked application, the JSON that an OCI artifact carries and the engine runs;
//! - [`variables`]: templates (`{{ name }}`) and where values come from;
//! - [`outbound`]: the patterns of `allowed_outbound_hosts`;
//! - [`routes`]: which component answers a path;
//! - [`runtime_config`]: the runtime configuration file;
//! - [`reuse`]: how many requests an instance of a component may serve.
//!
//! Used by the engine, the runner, the packer and the command line. Where Spin's documentation is
//! silent, the behaviour of Spin 4.1 itself was followed; what we do not run is refused by name.

/// How many components an application has at most: each costs compiling and memory, whether it is asked
/// for or not.
pub const MAX_COMPONENTS: usize = 64;

/// How many databases, and how many key-value stores, an application has at most, those of all its components
/// together: each is a file of its own, with a log, connections and a largest size.
pub const MAX_STORES: usize = 16;

mod fault;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod ids;
pub mod locked;
pub mod manifest;
pub mod outbound;
pub mod reuse;
pub mod routes;
pub mod runtime_config;
mod tree;
pub mod variables;

pub use fault::{Fault, Faults};
pub use locked::LockedApp;
pub use manifest::Manifest;
pub use reuse::Reuse;
