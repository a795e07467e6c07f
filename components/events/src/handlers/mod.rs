//! Handlers: parse, authorize, call the store, answer. One file per resource.

pub(crate) mod calendar;
pub(crate) mod events;
pub(crate) mod feed;
pub(crate) mod health;
pub(crate) mod list;
mod request;
mod view;
