//! One module per cluster of routes.

pub(crate) mod actions;
pub(crate) mod deploy;
pub(crate) mod deployments;
pub(crate) mod health;
pub(crate) mod house;
pub(crate) mod internal;
pub(crate) mod logs;
pub(crate) mod preview;
pub(crate) mod revisions;
pub(crate) mod target;
