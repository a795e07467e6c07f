//! `nokube-sidecar`: what makes a platform's applications run in a Kubernetes cluster.

use std::process::ExitCode;

use clap::Parser as _;
use nokube_cluster::{Cli, run};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nokube-sidecar: {error:#}");
            ExitCode::FAILURE
        }
    }
}
