//! Programs that a machine may lack. Which they are, `cargo xtask test` knows (`xtask/src/needs.rs`).

use std::path::PathBuf;

/// Where `program` is: what `variable` says, or in the search path. Nothing when the run was told to do without it:
/// then the test is to end, and whoever told has said so.
///
/// # Panics
/// When it is missing and nobody said that it may be: a test that cannot test anything must not pass.
#[must_use]
pub fn program(program: &str, variable: Option<&str>) -> Option<PathBuf> {
    if let Some(path) = variable.and_then(std::env::var_os) {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file());
    assert!(
        found.is_some() || may_be_missing(program),
        "{program} is not installed; `cargo xtask test` leaves its tests out, and says so, or set \
         NOKUBE_TESTS_WITHOUT={program}"
    );
    found
}

fn may_be_missing(program: &str) -> bool {
    std::env::var("NOKUBE_TESTS_WITHOUT")
        .is_ok_and(|names| names.split(',').any(|name| name == program))
}
