//! Handlers.

pub(crate) mod health;
pub(crate) mod tick;
