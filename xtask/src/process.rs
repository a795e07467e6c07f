//! Starting other programs: always by argument list, never through a shell.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// A command without what Cargo told this process about itself.
///
/// `cargo run` describes the running package in the environment. Handed on, that would make builds differ
/// from those started by hand, so that both throw the other's work away.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if describes_this_package(&name) {
            command.env_remove(name);
        }
    }
    command
}

fn describes_this_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CFG_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || [
            "CARGO",
            "CARGO_CRATE_NAME",
            "CARGO_PRIMARY_PACKAGE",
            "LD_LIBRARY_PATH",
            "OUT_DIR",
        ]
        .contains(&name.as_ref())
}

/// Cargo as this checkout's native code is built with it.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = command("cargo");
    command.current_dir(root);
    command
}

/// A subcommand of Cargo's that is not in the search path; it asks the `cargo` in the search path about the project.
pub(crate) fn cargo_program(program: &Path, root: &Path) -> Command {
    let mut command = command(program);
    command.current_dir(root);
    command
}

/// Runs a command whose output the user sees; its failure is an error that names it.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = show(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("starting {shown}"))?;
    if !status.success() {
        bail!("{shown} failed ({status})");
    }
    Ok(())
}

/// Runs a command and returns what it printed, without the line end; its failure is an error with its words.
pub(crate) fn read(command: &mut Command) -> anyhow::Result<String> {
    let shown = show(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {shown}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} failed ({}): {}", output.status, words.trim());
    }
    let text = String::from_utf8(output.stdout)
        .with_context(|| format!("{shown} printed something that is not text"))?;
    Ok(text.trim_end().to_owned())
}

/// Finds a program the way the system would.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// The search path with some folders put in front.
pub(crate) fn path_with(front: &[PathBuf]) -> anyhow::Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(front.iter().cloned().chain(env::split_paths(&path)))
        .context("a folder's name cannot be part of PATH")
}

fn show(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_about_the_running_package_is_not_handed_on() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO", "OUT_DIR"] {
            assert!(describes_this_package(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "RUSTUP_TOOLCHAIN", "PATH"] {
            assert!(!describes_this_package(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_words_of_a_program_that_failed_are_in_the_error() {
        let error = read(Command::new("cargo").arg("no-such-command")).unwrap_err();
        assert!(error.to_string().contains("no-such-command"), "{error}");
    }
}
