//! The Go toolchain, for programs that are had as Go modules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::process::{self, find_program};

/// Where Go's own archive is unpacked to, when that is not in the search path.
const USUAL: &str = "/usr/local/go/bin/go";

/// The `go` program.
pub(super) struct Go(PathBuf);

impl Go {
    /// Finds it.
    pub(super) fn find() -> anyhow::Result<Self> {
        find_program("go")
            .or_else(|| Some(PathBuf::from(USUAL)).filter(|path| path.is_file()))
            .map(Self)
            .context("go is not installed (https://go.dev/dl)")
    }

    /// The command that builds one program, with nothing but what `go.sum` in `source` knows.
    pub(super) fn build(
        &self,
        source: &Path,
        package: &str,
        linked: &[&str],
        output: &Path,
    ) -> Command {
        // Without what a debugger needs: half the size.
        let mut flags = vec!["-s -w".to_owned()];
        flags.extend(linked.iter().map(|variable| format!("-X {variable}")));
        let mut command = process::command("nice");
        command
            .current_dir(source)
            .env("CGO_ENABLED", "0")
            .args(["-n", "10"])
            .arg(&self.0)
            .args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath"])
            .arg(format!("-ldflags={}", flags.join(" ")))
            .arg("-o")
            .arg(output)
            .arg("--")
            .arg(package);
        command
    }

    /// Where a module that `source` names is unpacked; fetched when it is not.
    pub(super) fn module_folder(&self, source: &Path, module: &str) -> anyhow::Result<PathBuf> {
        let mut command = process::command(&self.0);
        command
            .current_dir(source)
            .args(["mod", "download", "--", module]);
        process::read(&mut command).with_context(|| format!("fetching {module}"))?;
        let mut command = process::command(&self.0);
        command.current_dir(source).args([
            "list",
            "-mod=readonly",
            "-m",
            "-f",
            "{{.Dir}}",
            "--",
            module,
        ]);
        Ok(process::read(&mut command)?.into())
    }
}
