//! `cargo xtask bench`: measures the platform on this machine, as a table to read and as JSON.
//!
//! Every figure comes from a run of the real programs over real sockets. The load generator shares the
//! machine: figures are for comparing on one machine in one run, not for advertising.
#![expect(clippy::print_stdout, reason = "the table is the program's result")]

mod hello;
mod load;
mod platform;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Seconds per load figure.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Write the figures here as JSON too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the table here as Markdown too.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the hello component on a free port (the benchmark starts itself so).
    #[command(hide = true)]
    Serve {
        /// The component.
        wasm: PathBuf,
        /// Requests per instance.
        #[arg(long)]
        reuse: u32,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if let Some(Command::Serve { wasm, reuse }) = arguments.command {
            return hello::serve(&wasm, reuse).await;
        }
        let duration = Duration::from_secs(arguments.seconds);
        let mut table = table::Table::default();
        hello::measure(&mut table, duration).await?;
        platform::measure(&mut table, duration).await?;
        println!("{}", table.markdown());
        if let Some(path) = arguments.json {
            std::fs::write(path, table.json())?;
        }
        if let Some(path) = arguments.markdown {
            std::fs::write(path, table.document())?;
        }
        Ok(())
    })
}
