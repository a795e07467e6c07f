//! The programs of the control plane, as `cargo xtask test --cluster` built them.

use std::path::PathBuf;

use crate::needs;

/// Names the folders that hold them, in the form of a search path.
const VARIABLE: &str = "NOKUBE_CONTROL_PLANE";

/// The folders.
pub(super) struct Tools(Vec<PathBuf>);

impl Tools {
    /// Nothing when the run was told to do without them.
    ///
    /// # Panics
    /// When they are missing and nobody said that they may be.
    pub(super) fn find() -> Option<Self> {
        let named = std::env::var_os(VARIABLE);
        needs::ability("control-plane", named.is_some())
            .then(|| Self(std::env::split_paths(&named.unwrap_or_default()).collect()))
    }

    /// Where a program is.
    ///
    /// # Panics
    /// When it is in none of the folders.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        let mut candidates = self.0.iter().map(|folder| folder.join(name));
        candidates
            .find(|path| path.is_file())
            .unwrap_or_else(|| panic!("{VARIABLE} names no folder with {name}"))
    }

    /// The definitions of resources that are not Kubernetes' own, as YAML.
    ///
    /// # Panics
    /// When they cannot be read, or there are none.
    pub(super) fn definitions(&self) -> Vec<String> {
        let folders = self.0.iter().map(|folder| folder.join("definitions"));
        let found: Vec<String> = folders
            .filter(|folder| folder.is_dir())
            .flat_map(|folder| std::fs::read_dir(folder).expect("a folder can be read"))
            .map(|entry| entry.expect("a folder can be read").path())
            .map(|path| std::fs::read_to_string(path).expect("a definition can be read"))
            .collect();
        assert!(!found.is_empty(), "{VARIABLE} names no definitions");
        found
    }
}
