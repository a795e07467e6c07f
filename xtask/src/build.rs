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

/// Those that a native program links too: plain libraries, of which Cargo is told to make the component. A manifest
/// that asks for both kinds costs the component its link-time optimization.
const LINKED: [&str; 1] = ["auth"];

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
        let (linked, others): (Vec<_>, Vec<_>) =
            GUESTS.into_iter().partition(|guest| LINKED.contains(guest));
        for together in linked.chunks(1).chain([&others[..]]) {
            let mut command = toolchain.command("cargo")?;
            command
                .current_dir(&layout.root)
                .args(guest_arguments(together))
                .arg("--locked");
            process::run(&mut command)?;
        }
        Ok(())
    })
}

/// What Cargo is told to build guests, by `spin.toml` too: several at once, or one of [`LINKED`].
fn guest_arguments<'a>(guests: &[&'a str]) -> Vec<&'a str> {
    let linked = guests.iter().any(|guest| LINKED.contains(guest));
    let mut arguments = vec![if linked { "rustc" } else { "build" }];
    arguments.extend(["--profile", "guest", "--target", TARGET]);
    arguments.extend(["--target-dir", "target/guest"]);
    arguments.extend(guests.iter().flat_map(|guest| ["--package", *guest]));
    if linked {
        arguments.extend(["--crate-type", "cdylib"]);
    }
    arguments
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn parsed(path: &str) -> toml::Table {
        let file = Layout::find().unwrap().root.join(path);
        fs::read_to_string(file).unwrap().parse().unwrap()
    }

    #[test]
    fn spin_builds_components_as_we_do() {
        let manifest = parsed("spin.toml");
        let components = manifest["component"].as_table().unwrap();
        for (name, component) in components {
            let command = component["build"]["command"].as_str().unwrap();
            let ours = guest_arguments(&[name.as_str()]).join(" ");
            assert_eq!(command, format!("cargo {ours}"));
        }
        assert!(LINKED.iter().all(|name| components.contains_key(*name)));
    }

    /// Cargo optimizes nothing at link time that is made as two kinds.
    #[test]
    fn a_component_is_made_as_one_kind() {
        let manifest = parsed("spin.toml");
        for name in manifest["component"].as_table().unwrap().keys() {
            let package = parsed(&format!("components/{name}/Cargo.toml"));
            let kinds = package.get("lib").and_then(|lib| lib.get("crate-type"));
            let kinds = kinds.map(ToString::to_string);
            let expected = (!LINKED.contains(&name.as_str())).then_some("[\"cdylib\"]");
            assert_eq!(kinds.as_deref(), expected, "{name}");
        }
    }
}
