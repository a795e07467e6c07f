//! What users send, as schemas for the API's document. Components read these bodies field by field (so that every fault
//! is named), not into these types; a test of each component holds the two against each other.
//!
//! A schema says what can be said of one field alone. What depends on other fields, on the platform's settings or on a
//! list (the most common passwords) is told by the answer 422.

pub mod auth;
pub mod builds;
pub mod deploy;
pub mod events;
pub mod projects;
