//! How much the host keeps and does for one instance, beside its linear memory.

use serde::{Deserialize, Serialize};

/// Bounds of what an instance has the host keep for it. Together they bound the host's memory for one instance: most
/// of all by `objects` times `field_bytes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostLimits {
    /// Things of the host that it holds at once: requests and answers with their fields and bodies, streams, timers,
    /// open files.
    pub objects: u32,
    /// Handles it holds at once, those of its own components' resources and of what it awaits among them.
    pub handles: u32,
    /// Bytes that one call hands over to the host.
    pub call_bytes: u64,
    /// Bytes of one set of header fields, with what the host needs to keep them.
    pub field_bytes: u64,
    /// Bytes of randomness that one call asks for.
    pub random_bytes: u64,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            // Some ten for each request that is under way in either direction.
            objects: 512,
            handles: 8_192,
            // Above the largest value of a database and of a piece of a body.
            call_bytes: 32 << 20,
            // What a server takes as a request's head.
            field_bytes: 64 << 10,
            random_bytes: 1 << 20,
        }
    }
}

impl HostLimits {
    /// For the platform's own components.
    pub fn platform() -> Self {
        Self {
            objects: 4_096,
            handles: 16_384,
            call_bytes: 128 << 20,
            ..Self::default()
        }
    }
}
