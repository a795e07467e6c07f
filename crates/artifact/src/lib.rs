//! Spin applications as OCI artifacts, and the OCI image layout that keeps them.
//!
//! - [`layout`]: a content-addressed store on disk, filled from and written to tar archives;
//! - [`pack`]: a manifest and its files become an artifact, as `spin registry push` writes it;
//! - [`unpack`]: an artifact becomes a folder that an engine can run from;
//! - [`push`]: an artifact goes to a registry;
//! - [`wasm`]: what is known of a WebAssembly file before it runs.
//!
//! Everything but `push` is synchronous: callers in async code use `spawn_blocking`. Nothing read from
//! outside (archives, manifests, source folders) can name a file outside its own folder, and all of it
//! is bounded.

mod digest;
mod durable;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod layout;
pub mod oci;
pub mod pack;
pub mod push;
pub mod unpack;
pub mod wasm;

pub use digest::{Digest, DigestError};
