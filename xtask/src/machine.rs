//! What the machine itself must have: Debian packages, installed when this may be done and said when not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, bail};

use crate::process::{self, find_program};
use crate::report::note;

/// Makes sure that the sandbox for build commands is there; without it the platform runs, but refuses such builds.
pub(crate) fn prepare_sandbox() {
    if find_program("bwrap").is_some() {
        return;
    }
    if let Err(reason) = install(&["bubblewrap"]) {
        note(&format!("no build sandbox: {reason:#}"));
        note(
            "builds whose spin.toml has a build command will be refused until bubblewrap is installed",
        );
    }
}

/// Installs Debian packages, or fails with the command that does it.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let names = packages.join(" ");
    if find_program("apt-get").is_none() {
        bail!("missing: {names} (and this machine has no apt-get)");
    }
    if !is_root()? {
        bail!(
            "missing: {names}; install with: sudo apt-get install --no-install-recommends {names}"
        );
    }
    note(&format!("installing Debian packages: {names}"));
    // Always: lists that are old, or of some of the sources only, would bring an older version or none.
    process::read(apt_get().arg("update")).context("updating the package lists")?;
    apt_install(packages)
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
}

fn apt_install(packages: &[&str]) -> anyhow::Result<()> {
    process::read(
        apt_get()
            // --no-remove: what the user has installed is not ours to take away.
            .args([
                "install",
                "--yes",
                "--no-install-recommends",
                "--no-remove",
                "--",
            ])
            .args(packages),
    )?;
    Ok(())
}

fn apt_get() -> std::process::Command {
    let mut command = process::command("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .arg("--quiet");
    command
}

/// Whether this process runs as root, told by who owns its own entry in `/proc`.
fn is_root() -> anyhow::Result<bool> {
    let entry = fs::metadata("/proc/self").context("asking who runs this")?;
    Ok(entry.uid() == 0)
}
