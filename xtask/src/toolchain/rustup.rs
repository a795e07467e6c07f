//! The first two ways: the compiler in the search path has the target's standard library, or rustup fetches it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{TARGET, Toolchain};
use crate::process::{self, find_program};
use crate::report::note;

/// Finds the target, asking rustup for it when it is missing.
pub(super) fn find_or_add() -> anyhow::Result<Toolchain> {
    let sysroot = PathBuf::from(process::read(
        process::command("rustc").args(["--print", "sysroot"]),
    )?);
    if !has_target(&sysroot) {
        add_target()?;
        if !has_target(&sysroot) {
            bail!("rustup says that it added {TARGET}, but it is not there");
        }
    }
    let version = process::read(process::command("rustc").arg("--version"))?;
    let bin = sysroot.join("bin");
    // The toolchain's own programs, not rustup's stand-ins: a sandbox then needs neither rustup nor its settings,
    // and a tenant's `rust-toolchain.toml` cannot make a build fetch a compiler.
    let read_only = if sysroot.starts_with("/usr") {
        vec![]
    } else {
        vec![sysroot.clone()]
    };
    Toolchain::new(
        format!("{version}, with its own {TARGET}"),
        vec![bin.clone()],
        read_only,
        &[bin.join("rustc"), library(&sysroot)],
    )
}

fn library(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib").join(TARGET).join("lib")
}

fn has_target(sysroot: &Path) -> bool {
    std::fs::read_dir(library(sysroot)).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
        })
    })
}

fn add_target() -> anyhow::Result<()> {
    if find_program("rustup").is_none() {
        bail!("the compiler has no {TARGET}, and there is no rustup to fetch it");
    }
    note(&format!("asking rustup for {TARGET}"));
    process::read(process::command("rustup").args(["target", "add", TARGET]))
        .map_err(|error| anyhow::anyhow!("{}", last_line(&format!("{error:#}"))))
        .context("rustup could not fetch it")?;
    Ok(())
}

/// rustup prints its whole progress on failure; its last line that says `error` is the reason.
fn last_line(words: &str) -> String {
    words
        .lines()
        .rfind(|line| line.starts_with("error"))
        .or_else(|| words.lines().next())
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_complaint_the_reason_is_kept() {
        let words = "info: downloading\nerror: could not download file\n   0: backtrace";
        assert_eq!(last_line(words), "error: could not download file");
    }
}
