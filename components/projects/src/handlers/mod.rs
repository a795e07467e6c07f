//! Handlers: parse, authorize, call the store, answer. One file per resource.

pub(crate) mod audit;
pub(crate) mod health;
pub(crate) mod internal;
pub(crate) mod members;
pub(crate) mod projects;
