//! Handlers.

pub(crate) mod health;
pub(crate) mod openapi;
pub(crate) mod tick;
