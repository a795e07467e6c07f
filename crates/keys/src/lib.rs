//! What is made with the platform's symmetric keys: sealed secrets, blob tickets and proofs of domains.
//!
//! Used by guests (which seal secrets, sign tickets and ask for proofs) and by the sidecar (which opens and checks
//! them). It reads no file and no environment; keys and nonces come in as arguments.

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod proof;
mod sealed;
mod ticket;

pub use proof::ProofKey;
pub use sealed::{NONCE_BYTES, SealError, SealingKey, Secret};
pub use ticket::{BlobTicket, TicketError, TicketKey, TicketUse};
