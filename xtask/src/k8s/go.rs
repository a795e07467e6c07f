//! Programs and files that are had as Go modules: built or fetched once, of one version, into the user's cache.
//!
//! Go checks what it fetches against its checksum database.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use crate::layout::Layout;
use crate::machine;
use crate::process::{self, find_program};
use crate::report::timed;

/// Where Go's own archive is unpacked to, when that is not in the search path.
const USUAL: &str = "/usr/local/go/bin/go";

/// A program.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    pub(super) version: &'static str,
}

/// The `go` program.
pub(super) struct Go(PathBuf);

/// What `go mod download -json` says.
#[derive(Deserialize)]
struct Downloaded {
    #[serde(rename = "Dir")]
    dir: PathBuf,
}

impl Program {
    fn folder(&self, layout: &Layout) -> PathBuf {
        let name = format!("{}-{}", self.name, self.version);
        layout.tools().join("go").join(name)
    }

    /// Where it is; built when it is not there.
    pub(super) fn prepare(&self, layout: &Layout) -> anyhow::Result<PathBuf> {
        let folder = self.folder(layout);
        let program = folder.join(self.name);
        if !program.is_file() {
            let go = Go::find()?;
            machine::make_folder(&folder)?;
            timed(&format!("building {}, once", self.name), || {
                go.install(self, &folder)
            })?;
        }
        Ok(program)
    }
}

impl Go {
    /// Finds it.
    pub(super) fn find() -> anyhow::Result<Self> {
        find_program("go")
            .or_else(|| Some(PathBuf::from(USUAL)).filter(|path| path.is_file()))
            .map(Self)
            .context("go is not installed (https://go.dev/dl)")
    }

    fn install(&self, program: &Program, folder: &Path) -> anyhow::Result<()> {
        let mut command = process::command(&self.0);
        command
            .current_dir(folder)
            .env("GOBIN", folder)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=mod")
            // Without what a debugger needs: half the size.
            .args(["install", "-trimpath", "-ldflags=-s -w", "--"])
            .arg(format!("{}@{}", program.package, program.version));
        process::read(&mut command).map(drop)
    }

    /// Where a module's files are, fetched when they are not there: `path@version`.
    pub(super) fn module(&self, module: &str) -> anyhow::Result<PathBuf> {
        let mut command = process::command(&self.0);
        command
            // No module of ours: what is asked for is all there is.
            .current_dir(std::env::temp_dir())
            .env("GOFLAGS", "-mod=mod")
            .args(["mod", "download", "-json", "--", module]);
        let told = process::read(&mut command).with_context(|| format!("fetching {module}"))?;
        let downloaded: Downloaded =
            serde_json::from_str(&told).with_context(|| format!("what Go says of {module}"))?;
        Ok(downloaded.dir)
    }
}
