//! A toolchain that was found, and the file that remembers it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::process;

/// How to run a `cargo` that builds for WebAssembly.
///
/// The first three fields are read by `nokube up --toolchain` as well; keep their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Toolchain {
    /// Folders that go in front of the search path.
    pub(crate) path_prepend: Vec<PathBuf>,
    /// Further environment variables.
    pub(crate) env: BTreeMap<String, String>,
    /// What a sandbox must show, read-only, besides `/usr`.
    pub(crate) read_only_dirs: Vec<PathBuf>,
    /// In words: which compiler, and how it came here.
    pub(crate) description: String,
    /// Files whose change calls for a new search.
    witnesses: Vec<Witness>,
    /// What the user asked for then, if anything.
    choice: Option<String>,
    /// rustup's choice then: another default toolchain calls for a new search.
    rustup_toolchain: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Witness {
    path: PathBuf,
    modified_ms: u128,
}

impl Toolchain {
    /// A toolchain of folders in front of the search path, which stands as long as the witnesses do.
    pub(crate) fn new(
        description: String,
        path_prepend: Vec<PathBuf>,
        read_only_dirs: Vec<PathBuf>,
        witnesses: &[PathBuf],
    ) -> anyhow::Result<Self> {
        let witnesses = witnesses
            .iter()
            .map(|path| Witness::of(path).with_context(|| format!("looking at {}", path.display())))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            path_prepend,
            env: BTreeMap::new(),
            read_only_dirs,
            description,
            witnesses,
            choice: None,
            rustup_toolchain: env::var("RUSTUP_TOOLCHAIN").ok(),
        })
    }

    /// Remembers that the user asked for this way.
    pub(crate) fn chosen_by(mut self, choice: &str) -> Self {
        self.choice = Some(choice.to_owned());
        self
    }

    /// What was found, in words.
    pub(crate) fn describe(&self) -> &str {
        &self.description
    }

    /// The toolchain a file remembers, if it was the same question and nothing changed since.
    pub(crate) fn read(file: &Path, choice: Option<&str>) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let toolchain: Self = serde_json::from_str(&text).ok()?;
        let stands = toolchain.choice.as_deref() == choice
            && toolchain.rustup_toolchain == env::var("RUSTUP_TOOLCHAIN").ok()
            && toolchain.path_prepend.iter().all(|folder| folder.is_dir())
            && toolchain
                .witnesses
                .iter()
                .all(|then| Witness::of(&then.path).is_ok_and(|now| now == *then));
        stands.then_some(toolchain)
    }

    /// Writes the file in one piece, so that a reader never sees half of it.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("describing the toolchain")?;
        let fresh = file.with_extension("json.new");
        fs::write(&fresh, text + "\n").with_context(|| format!("writing {}", fresh.display()))?;
        fs::rename(&fresh, file).with_context(|| format!("writing {}", file.display()))
    }

    /// Where one of its programs is.
    pub(crate) fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        self.path_prepend
            .iter()
            .map(|folder| folder.join(name))
            .find(|candidate| candidate.is_file())
            .with_context(|| format!("this toolchain has no {name}"))
    }

    /// A command whose `cargo` and `rustc` are this toolchain's.
    pub(crate) fn command(&self, program: &str) -> anyhow::Result<Command> {
        // With its whole path: the system would look in our own search path, not in the one given to the child.
        let mut command = process::command(self.program(program)?);
        command
            .env("PATH", process::path_with(&self.path_prepend)?)
            // Cargo would otherwise start rustup's compiler, whatever comes first in the search path.
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("RUSTC")
            .envs(&self.env);
        Ok(command)
    }
}

impl Witness {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let modified = fs::metadata(path)?.modified()?;
        Ok(Self {
            path: path.to_path_buf(),
            modified_ms: modified.duration_since(UNIX_EPOCH)?.as_millis(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(folder: &Path) -> Toolchain {
        let compiler = folder.join("rustc");
        fs::write(&compiler, "1").unwrap();
        let folders = vec![folder.to_path_buf()];
        Toolchain::new(
            "a compiler".to_owned(),
            folders.clone(),
            folders,
            &[compiler],
        )
        .unwrap()
    }

    #[test]
    fn a_toolchain_is_remembered_until_its_compiler_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("toolchain.json");
        let toolchain = example(folder.path());
        toolchain.write(&file).unwrap();
        assert_eq!(Toolchain::read(&file, None), Some(toolchain));

        let later = UNIX_EPOCH + std::time::Duration::from_secs(5);
        let compiler = fs::File::options()
            .write(true)
            .open(folder.path().join("rustc"))
            .unwrap();
        compiler.set_modified(later).unwrap();
        assert_eq!(Toolchain::read(&file, None), None);
    }

    #[test]
    fn asking_for_another_way_calls_for_a_new_search() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("toolchain.json");
        example(folder.path()).write(&file).unwrap();
        assert_eq!(Toolchain::read(&file, Some("debian")), None);
    }

    #[test]
    fn a_damaged_file_is_no_toolchain() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("toolchain.json");
        fs::write(&file, "{").unwrap();
        assert_eq!(Toolchain::read(&file, None), None);
    }
}
