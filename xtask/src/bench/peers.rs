//! What the platform is compared with: `wasmtime serve`, of the version that the engine is built on, and PocketBase.

use std::path::PathBuf;

use anyhow::Context;

use crate::layout::Layout;
use crate::report::note;
use crate::{machine, process};

/// Enough of it to serve components as it does by default.
const FEATURES: &str =
    "run,serve,cranelift,parallel-compilation,pooling-allocator,component-model-async";

/// Names a `wasmtime` to use as it is; empty for none.
pub(super) const WASMTIME: &str = "NOKUBE_WASMTIME";
/// Names a PocketBase to use as it is; empty for none.
pub(super) const POCKETBASE: &str = "NOKUBE_POCKETBASE";

/// The `wasmtime` program, built at the first call; nothing when it can't be had or is not wanted.
pub(super) fn wasmtime(layout: &Layout) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(WASMTIME) {
        return (!named.is_empty()).then(|| named.into());
    }
    match find_or_build(layout) {
        Ok(program) => Some(program),
        Err(reason) => {
            note(&format!("nothing to compare with: {reason:#}"));
            None
        }
    }
}

fn find_or_build(layout: &Layout) -> anyhow::Result<PathBuf> {
    let lock =
        std::fs::read_to_string(layout.root.join("Cargo.lock")).context("reading Cargo.lock")?;
    let version = locked_version(&lock, "wasmtime").context("wasmtime is not in Cargo.lock")?;
    let program = layout.tools().join("bin/wasmtime");
    let is_that_version = |words: String| words.split_whitespace().nth(1) == Some(version);
    if program.is_file()
        && process::read(process::command(&program).arg("--version")).is_ok_and(is_that_version)
    {
        return Ok(program);
    }
    machine::make_folder(&layout.tools())?;
    note(&format!(
        "building wasmtime {version} to compare with, once; this takes some minutes"
    ));
    process::run(
        process::command("nice")
            .current_dir(&layout.cache)
            .args([
                "-n",
                "10",
                "cargo",
                "install",
                "--quiet",
                "--locked",
                "wasmtime-cli",
            ])
            .arg(format!("--version={version}"))
            .args(["--no-default-features", "--features", FEATURES, "--root"])
            .arg(layout.tools()),
    )?;
    Ok(program)
}

/// What PocketBase is built from, a Go module. Newer ones want a newer Go than Debian's backports have.
const POCKETBASE_MODULE: &str = "github.com/pocketbase/pocketbase/examples/base@v0.39.0";

/// PocketBase, built at the first call; nothing when there is no Go.
pub(super) fn pocketbase(layout: &Layout) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(POCKETBASE) {
        return (!named.is_empty()).then(|| named.into());
    }
    let folder = layout.tools().join("pocketbase-v0.39.0");
    let program = folder.join("base");
    if program.is_file() {
        return Some(program);
    }
    note("building PocketBase to compare with, once; this takes some minutes");
    let built = machine::make_folder(&folder).and_then(|()| {
        process::run(
            process::command("nice")
                .current_dir(&folder)
                .args(["-n", "10", "go", "install", POCKETBASE_MODULE])
                .env("GOBIN", &folder)
                .env("CGO_ENABLED", "0")
                .env("GOFLAGS", "-mod=mod")
                .env("GOTOOLCHAIN", "local"),
        )
    });
    match built {
        Ok(()) => Some(program),
        Err(reason) => {
            note(&format!("no PocketBase to compare with: {reason:#}"));
            None
        }
    }
}

/// The version of a package in a lock file.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    lines
        .nth(1)?
        .strip_prefix("version = \"")?
        .strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_of_the_lock_file() {
        let lock = "[[package]]\nname = \"wasmtime-wasi\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"wasmtime\"\nversion = \"48.0.8\"\n";
        assert_eq!(locked_version(lock, "wasmtime"), Some("48.0.8"));
        assert_eq!(locked_version(lock, "none"), None);
    }
}
