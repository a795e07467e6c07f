//! `cargo xtask bench`: measures the platform on this machine.

mod peers;

use crate::layout::Layout;
use crate::report::step;
use crate::test::tell_where_things_are;
use crate::{build, machine, process, toolchain};

/// Builds what is measured, then runs the measuring program (`tests/bench`) with the given arguments.
pub(crate) fn run(layout: &Layout, arguments: &[String]) -> anyhow::Result<()> {
    let toolchain = toolchain::prepare(layout)?;
    machine::prepare_sandbox();
    build::guests(layout, &toolchain)?;
    build::native(layout)?;
    let wasmtime = peers::wasmtime(layout);
    step("measuring");
    let mut command = process::cargo(&layout.root);
    command.args([
        "run",
        "--quiet",
        "--locked",
        "--release",
        "--package",
        "nokube-bench",
    ]);
    tell_where_things_are(layout, &toolchain, &mut command)?;
    if let Some(wasmtime) = wasmtime {
        command.env("NOKUBE_WASMTIME", wasmtime);
    }
    command.arg("--").args(arguments);
    process::run(&mut command)
}
