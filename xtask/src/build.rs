//! `cargo xtask build`: components and other guests for WebAssembly, and the native programs.

use std::process::Command;

use crate::layout::Layout;
use crate::process;
use crate::report::timed;
use crate::toolchain::{self, TARGET, Toolchain};

/// What is compiled to WebAssembly and shipped; `tidy` sees to it that no component is missing.
pub(crate) const GUESTS: [&str; 7] = [
    "auth",
    "builds",
    "deploy",
    "events",
    "meta",
    "projects",
    "nokube-fileserver",
];

/// What guests are made of, and what their API is described with: compiled natively for tests only, and apart from what
/// runs natively, which would else be compiled once more for what they need of shared crates.
const GUEST_LIBRARIES: [&str; 2] = ["nokube-guest", "nokube-contract"];

/// Builds all of it.
pub(crate) fn run(layout: &Layout) -> anyhow::Result<()> {
    let toolchain = toolchain::prepare(layout)?;
    guests(layout, &toolchain)?;
    native(layout)
}

/// Builds the components and the file server into `target/guest/wasm32-wasip2/guest`.
pub(crate) fn guests(layout: &Layout, toolchain: &Toolchain) -> anyhow::Result<()> {
    timed("building components", || {
        let mut command = toolchain.command("cargo")?;
        command
            .current_dir(&layout.root)
            .args([
                "build",
                "--locked",
                "--profile",
                "guest",
                "--target",
                TARGET,
                "--target-dir",
            ])
            .arg(layout.guest_target());
        for guest in GUESTS {
            command.args(["--package", guest]);
        }
        process::run(&mut command)
    })
}

/// Builds `nokube`.
pub(crate) fn native(layout: &Layout) -> anyhow::Result<()> {
    timed("building nokube", || {
        process::run(process::cargo(&layout.root).args([
            "build",
            "--locked",
            "--release",
            "--package",
            "nokube-cli",
        ]))
    })
}

/// Builds `nokube` and the tests of what runs natively in one go: what tests need has some dependencies compiled with
/// more features, and all that depends on these would be compiled twice.
pub(crate) fn native_for_tests(layout: &Layout) -> anyhow::Result<()> {
    timed("building nokube and its tests", || {
        let mut command = process::cargo(&layout.root);
        command.args(["build", "--locked", "--release", "--bins", "--tests"]);
        select_natives(&mut command);
        process::run(&mut command)
    })
}

/// Adds arguments that select every package that runs natively.
pub(crate) fn select_natives(command: &mut Command) {
    command.arg("--workspace");
    for guest in GUEST_LIBRARIES.into_iter().chain(GUESTS) {
        command.args(["--exclude", guest]);
    }
}

/// Adds arguments that select guests and what they are made of.
pub(crate) fn select_guests(command: &mut Command) {
    for guest in GUEST_LIBRARIES.into_iter().chain(GUESTS) {
        command.args(["--package", guest]);
    }
}
