//! The developer's commands: `cargo xtask <command>`.
//!
//! Everything a checkout needs is reached from here, so that the README has two lines and continuous
//! integration has no script of its own. This program builds and starts things; it holds no logic of the
//! platform, and depends on none of its crates.
#![expect(clippy::print_stdout, reason = "a command line program")]

mod args;
mod bench;
mod build;
mod check;
mod control_plane;
mod definitions;
mod fixture;
mod fuzz;
mod go;
mod image;
mod k8s;
mod keys;
mod layout;
mod machine;
mod needs;
mod openapi;
mod process;
mod report;
mod schemathesis;
mod test;
mod tidy;
mod toolchain;
mod up;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match args::Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
