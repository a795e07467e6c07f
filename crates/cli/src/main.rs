//! `nokube`: the platform on one machine, and the command line of its users.
//!
//! `args` says what there is; `client` talks to a platform; `platform` is one; `backup` keeps what
//! one has; `admin` mends its accounts.

mod admin;
mod args;
mod backup;
mod client;
mod platform;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A request makes and frees some hundred small things, mostly on the same thread, a few of them above the size up to
/// which the C library keeps a thread's own.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    args::run()
}
