//! The tenants' process, from both sides: `process` is what runs in it, `supervisor` keeps it running
//! from the front process, `control` is what the two say to each other.

pub(crate) mod control;
pub(crate) mod folders;
pub(crate) mod process;
pub(crate) mod supervisor;

/// Name of the socket that applications are put in place through.
pub(crate) const CONTROL_SOCKET: &str = "control";
/// Name of the socket that requests for applications come through.
pub(crate) const HTTP_SOCKET: &str = "http";
