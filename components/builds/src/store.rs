//! SQL of builds. Every function on users' behalf takes the caller and sees only rows of projects
//! that the caller may see; functions for runners and the tick name a build by its lease or state.

pub(crate) mod builds;
pub(crate) mod images;
pub(crate) mod leases;
pub(crate) mod logs;
pub(crate) mod old;
pub(crate) mod overdue;
