//! `cargo xtask up`: everything a new user needs, then the platform in the place of this process.

use std::os::unix::process::CommandExt;

use anyhow::Context;

use crate::args::UpArguments;
use crate::layout::Layout;
use crate::report::step;
use crate::{build, machine, process, toolchain};

/// Prepares, builds, and becomes `nokube up`, so that Ctrl-C and signals reach it and nothing stands between.
pub(crate) fn run(layout: &Layout, arguments: &UpArguments) -> anyhow::Result<()> {
    let toolchain = toolchain::prepare(layout)?;
    machine::prepare_sandbox();
    build::guests(layout, &toolchain)?;
    build::native(layout)?;
    step("starting nokube");
    let mut command = process::command(layout.program("nokube"));
    command
        .current_dir(&layout.root)
        .args(["up", "--manifest", "spin.toml", "--toolchain"])
        .arg(layout.toolchain_file())
        .args(["--listen", &arguments.listen, "--data-dir"])
        .arg(&arguments.data_dir);
    if let Some(base_domain) = &arguments.base_domain {
        command.args(["--base-domain", base_domain]);
    }
    command.args(&arguments.rest);
    let error = command.exec();
    Err(error).context("starting nokube")
}
