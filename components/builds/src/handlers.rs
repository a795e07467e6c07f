//! One module per cluster of routes.

pub(crate) mod builds;
pub(crate) mod health;
pub(crate) mod house;
pub(crate) mod internal;
pub(crate) mod logs;
pub(crate) mod runner;
pub(crate) mod uploads;
