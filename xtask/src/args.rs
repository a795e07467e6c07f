//! What can be said on the command line. Each command is a file of its own; here is only the list of them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::layout::Layout;
use crate::{
    bench, build, check, fixture, fuzz, image, k8s, keys, openapi, test, tidy, toolchain, up,
};

/// The commands of a NoKube checkout.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds everything and starts the platform on one port; Ctrl-C stops it
    Up(UpArguments),
    /// Builds the components and the native programs
    Build,
    /// Finds or makes the WebAssembly toolchain
    Toolchain {
        /// Looks again even when the last answer still holds
        #[arg(long)]
        again: bool,
    },
    /// Makes the keys, for running under `spin up`
    Keys {
        /// Where the platform keeps its state; `data` in the checkout by default
        #[arg(long, env = "NOKUBE_DATA_DIR")]
        data_dir: Option<PathBuf>,
        /// Makes a new signing key; tokens of the old one are good until their end
        #[arg(long)]
        rotate: bool,
    },
    /// Builds everything and runs every test, or those whose name contains a filter
    Test {
        /// Parts of test names; all tests when there is none
        filters: Vec<String>,
        /// Fails when a program is missing without which some tests are left out
        #[arg(long)]
        everything: bool,
        /// The tests of the cluster target too, or alone: builds a control plane, once, where Go and its module proxy are
        /// to be had
        #[arg(
            long,
            value_enum,
            value_name = "WHICH",
            num_args = 0..=1,
            require_equals = true,
            default_value_t,
            default_missing_value = "too"
        )]
        cluster: test::Cluster,
    },
    /// Keeps what this version leaves behind, for later versions to be tried on
    Fixture,
    /// Throws inputs at what reads what strangers send
    Fuzz {
        /// Which of the programs in `fuzz/fuzz_targets`; all of them when there is none
        targets: Vec<String>,
        /// How long each is fuzzed
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
    },
    /// Formatting, lints, tidy, dependencies and the documents of the API
    Check,
    /// Measures the platform
    Bench {
        /// Given to the measuring program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Writes the documents of the API from the code
    Openapi,
    /// Writes what the chart in `k8s/chart` makes of each set of values
    K8s {
        /// Checks the chart and what is committed, and writes nothing; `check` does it too
        #[arg(long)]
        check: bool,
    },
    /// Builds the platform's components and pushes them as one Spin artifact, for a cluster
    Image {
        /// Where to: `registry[:port]/repository:tag`
        #[arg(long, value_name = "REFERENCE")]
        push: String,
        /// Speaks HTTP without TLS: for a registry on this machine
        #[arg(long)]
        plain_http: bool,
    },
    /// The house rules that neither the compiler nor clippy knows
    Tidy,
}

/// What `up` understands itself; the rest goes to `nokube up` as it is.
#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// Where the platform answers; `NOKUBE_LISTEN` or 127.0.0.1:3000 by default
    #[arg(long)]
    pub(crate) listen: Option<String>,
    /// Where the platform keeps its keys, databases and artifacts; `data` in the checkout by default
    #[arg(long, env = "NOKUBE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Below which name tenants' applications are reached
    #[arg(long)]
    pub(crate) base_domain: Option<String>,
    /// Further arguments for `nokube up`, after `--`
    #[arg(last = true)]
    pub(crate) rest: Vec<String>,
}

impl Arguments {
    /// Runs the command that was asked for.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let layout = Layout::find()?;
        match self.command {
            Command::Up(arguments) => up::run(&layout, &arguments),
            Command::Build => build::run(&layout),
            Command::Toolchain { again } => toolchain::run(&layout, again),
            Command::Keys { data_dir, rotate } => keys::run(&layout, data_dir.as_deref(), rotate),
            Command::Test {
                filters,
                everything,
                cluster,
            } => {
                let options = test::Options {
                    everything,
                    cluster,
                };
                test::run(&layout, &filters, options)
            }
            Command::Fixture => fixture::run(&layout),
            Command::Fuzz { targets, seconds } => fuzz::run(&layout, &targets, seconds),
            Command::Check => check::run(&layout),
            Command::Bench { arguments } => bench::run(&layout, &arguments),
            Command::Openapi => openapi::run(&layout),
            Command::K8s { check: true } => k8s::check(&layout),
            Command::K8s { check: false } => k8s::run(&layout),
            Command::Image { push, plain_http } => image::run(&layout, &push, plain_http),
            Command::Tidy => tidy::run(&layout),
        }
    }
}
