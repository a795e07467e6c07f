//! What build commands find in their `PATH`: `toolchain.json`, or rustup's folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::RunnerError;

/// Where programs are on every machine.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// `toolchain.json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Toolchain {
    /// Folders before the system's in `PATH`.
    pub(crate) path_prepend: Vec<PathBuf>,
    /// Variables for build commands.
    pub(crate) env: BTreeMap<String, String>,
    /// Folders a build may read, at the same place inside the sandbox.
    pub(crate) read_only_dirs: Vec<PathBuf>,
}

impl Toolchain {
    /// Reads the file, or looks for rustup in the home of the user who runs the runner.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, RunnerError> {
        let Some(file) = file else {
            return Ok(std::env::var_os("HOME")
                .map(|home| Self::of_rustup(Path::new(&home)))
                .unwrap_or_default());
        };
        let fail = |reason: String| RunnerError::Toolchain(file.to_owned(), reason);
        let text = std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
        let toolchain: Self =
            serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
        for folder in toolchain
            .path_prepend
            .iter()
            .chain(&toolchain.read_only_dirs)
        {
            if !folder.is_absolute() {
                return Err(fail(format!(
                    "{} is not an absolute path",
                    folder.display()
                )));
            }
        }
        Ok(toolchain)
    }

    fn of_rustup(home: &Path) -> Self {
        let folder = |variable: &str, name: &str| {
            let path = std::env::var_os(variable).map_or_else(|| home.join(name), PathBuf::from);
            path.canonicalize().ok().filter(|path| path.is_dir())
        };
        let (Some(rustup), Some(cargo)) = (
            folder("RUSTUP_HOME", ".rustup"),
            folder("CARGO_HOME", ".cargo"),
        ) else {
            return Self::default();
        };
        // Of CARGO_HOME only the programs: the rest may hold registry tokens.
        let programs = cargo.join("bin");
        let env = BTreeMap::from([("RUSTUP_HOME".to_owned(), rustup.display().to_string())]);
        Self {
            path_prepend: vec![programs.clone()],
            env,
            read_only_dirs: vec![rustup, programs],
        }
    }

    /// `PATH` for a build.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for folder in &self.path_prepend {
            path.push_str(&folder.display().to_string());
            path.push(':');
        }
        path + SYSTEM_PATH
    }
}
