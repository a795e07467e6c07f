//! The tables of the database `platform` that are about projects. SQL is here and nowhere else.

pub(crate) mod audit;
pub(crate) mod members;
pub(crate) mod projects;
pub(crate) mod users;
