//! SQL of deployments. Functions on users' behalf take the caller and see only rows of projects that
//! the caller may see, or take the project that was checked; the tick and hand-overs name a
//! deployment by its generation.

pub(crate) mod deployments;
pub(crate) mod handover;
pub(crate) mod images;
pub(crate) mod leftovers;
pub(crate) mod namespaces;
pub(crate) mod old;
pub(crate) mod revisions;
