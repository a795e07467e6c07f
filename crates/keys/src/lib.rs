//! What is made with the platform's symmetric keys: sealed secrets and blob tickets.
//!
//! Used by guests (which seal secrets and sign tickets) and by the sidecar (which opens and checks
//! them). It reads no file and no environment; keys and nonces come in as arguments.

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod sealed;
mod ticket;

pub use sealed::{NONCE_BYTES, SealError, SealingKey, Secret};
pub use ticket::{BlobTicket, TicketError, TicketKey, TicketUse};
