//! The tables of the database `platform` that are about events. SQL is here and nowhere else.

pub(crate) mod events;
pub(crate) mod feeds;
pub(crate) mod list;
