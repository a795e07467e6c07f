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
    let pocketbase = peers::pocketbase(layout);
    // Selected as for tests, so that nothing is compiled for this alone.
    let mut building = process::cargo(&layout.root);
    building.args(["build", "--quiet", "--locked", "--release"]);
    build::select_natives(&mut building);
    process::run(building.args(["--bin", "nokube-bench"]))?;
    step("measuring");
    let mut command = process::command(layout.program("nokube-bench"));
    command.current_dir(&layout.root);
    tell_where_things_are(layout, &toolchain, &mut command)?;
    for (name, program) in [(peers::WASMTIME, wasmtime), (peers::POCKETBASE, pocketbase)] {
        match program {
            Some(program) => command.env(name, program),
            None => command.env_remove(name),
        };
    }
    command.args(arguments);
    process::run(&mut command)
}
