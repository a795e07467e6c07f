//! The guest that serves a tenant's static site from the files mounted at its `/`.
//!
//! The packer puts it into the artifact of every static site, so it runs wherever Spin applications do. It answers
//! `GET` and `HEAD`, with entity tags, single ranges and a page for what is missing; it lists no folders, shows no
//! hidden files, and keeps a big file in memory nowhere. What it decides ([`answer`], [`site`], [`path`], [`range`],
//! [`etag`]) knows nothing of Spin and is tested natively; only [`send`] speaks to the host.

mod answer;
mod content_type;
mod entry;
mod etag;
mod path;
mod range;
mod send;
mod site;
