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

fn main() -> ExitCode {
    args::run()
}
