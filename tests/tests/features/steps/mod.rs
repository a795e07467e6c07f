//! The steps that features are made of, by what they are about.

mod answers;
mod calendar;
mod credentials;
mod events;
mod lists;
