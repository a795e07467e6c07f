//! The engine from outside: real components (`tests/guests`), real HTTP on a free port.
//!
//! One program, because linking the engine is what takes long.

mod chaining;
mod connections;
mod crowds;
mod guests;
mod hoarding;
mod interfaces;
mod lifecycle;
mod limits;
mod loading;
mod measure;
mod serving;
mod shares;
mod support;
mod together;
mod worlds;
