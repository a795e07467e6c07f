//! Host interfaces beyond WASI that a component can be granted: Spin's variables, key-value and SQLite, and the policy
//! for outgoing HTTP.
//!
//! Each module has a state that lives as long as one instance, what instances share behind an [`Arc`], and an
//! `add_to_linker` that is generic over the store's data: it takes the function which finds the state in there. Nothing
//! here knows what else the store holds, reads a manifest, or decides who is granted what.
//!
//! [`Arc`]: std::sync::Arc

pub mod bindings;
mod buffered;
pub mod grants;
pub mod key_value;
pub mod outbound_http;
pub mod sqlite;
#[cfg(test)]
mod tests;
pub mod variables;

pub use self::grants::Grants;

/// Where the engine writes its own remarks about an application, beside what the application prints itself.
///
/// Called from any thread, also while a request is being served: an implementation must not block.
pub trait LogSink: Send + Sync {
    /// Adds one remark, without a newline at its end, about the request with this id if it is about one.
    fn system(&self, request_id: Option<&str>, text: &str);
}
