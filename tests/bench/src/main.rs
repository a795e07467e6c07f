//! `cargo xtask bench`: measures the platform on this machine beside its peers, as tables to read and as JSON.
//!
//! Every figure comes from a run of the real programs over real sockets. Server and load generator are processes of
//! their own, and what each of them computes per request is told apart; they share the machine all the same: figures
//! are for comparing within one run.
#![expect(clippy::print_stdout, reason = "the tables are the program's result")]

mod beside;
mod cold;
mod disk;
mod events;
mod generator;
mod hello;
mod idle;
mod interfaces;
mod load;
mod login;
mod platform;
mod pocketbase;
mod process;
mod seeds;
mod server;
mod table;
mod up;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Write the figures here as JSON too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Put the tables between the markers of this Markdown page too.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

/// What every part is measured with.
#[derive(clap::Args)]
struct Options {
    /// Seconds per load figure and round.
    #[arg(long, default_value_t = 1.25)]
    seconds: f64,
    /// Rounds: the contestants take turns in each, and the median is told.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The `wasmtime` program to compare with; without it those rows say so.
    #[arg(long, env = "NOKUBE_WASMTIME")]
    wasmtime: Option<PathBuf>,
    /// The PocketBase program to compare with; without it those rows are left out.
    #[arg(long, env = "NOKUBE_POCKETBASE")]
    pocketbase: Option<PathBuf>,
    /// Idle applications that are deployed.
    #[arg(long, default_value_t = 1000)]
    idle_apps: usize,
}

impl Options {
    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A greeting, beside `wasmtime serve` and a native server.
    Hello,
    /// SQLite and calls between components.
    Interfaces,
    /// The first request of applications.
    Cold,
    /// The whole platform: calls, a release, memory.
    Platform,
    /// Signing in: what time tells, and what a crowd costs others.
    Login,
    /// What others notice of an application that misbehaves.
    Beside,
    /// Events and signing in, beside PocketBase.
    Events,
    /// Many deployed applications that nobody asks.
    Idle,
    /// A second `cargo xtask up`.
    Up,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until it is killed (the benchmark starts itself so).
    #[command(hide = true)]
    Serve {
        /// What, in JSON.
        what: String,
    },
    /// Asks a server (the benchmark starts itself so).
    #[command(hide = true)]
    Load {
        /// What and how, a JSON file.
        what: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Serve { what }) => server::run(serde_json::from_str(what)?),
        Some(Command::Load { what }) => {
            generator::run(&serde_json::from_slice(&std::fs::read(what)?)?)
        }
        None => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
            .block_on(measure(&arguments)),
    }
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let options = &arguments.options;
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let mut report = table::Report::default();
    // An aim that was missed fails the run when its figures have been said.
    let mut missed = Vec::new();
    if wanted(Part::Hello) {
        hello::measure(&mut report, options).await?;
    }
    if wanted(Part::Interfaces) {
        interfaces::measure(&mut report, options).await?;
    }
    if wanted(Part::Cold) {
        cold::measure(&mut report).await?;
    }
    if wanted(Part::Platform) {
        platform::measure(&mut report, options).await?;
    }
    if wanted(Part::Login) {
        login::measure(&mut report, options).await?;
    }
    if wanted(Part::Beside) {
        missed = beside::measure(&mut report, options).await?;
    }
    if wanted(Part::Events) {
        events::measure(&mut report, options).await?;
    }
    if wanted(Part::Idle) {
        idle::measure(&mut report, options).await?;
    }
    if wanted(Part::Up) {
        up::measure(&mut report)?;
    }
    println!("{}", report.markdown());
    if let Some(path) = &arguments.json {
        std::fs::write(path, report.json())?;
    }
    if let Some(path) = &arguments.markdown {
        let page = std::fs::read_to_string(path)?;
        std::fs::write(path, report.placed_in(&page)?)?;
    }
    anyhow::ensure!(missed.is_empty(), "missed: {}", missed.join(", "));
    Ok(())
}
