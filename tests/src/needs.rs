//! Programs and rights that a machine may lack. Which they are, `cargo xtask test` knows (`xtask/src/needs.rs`).

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

/// Whether a test that found `is_there` can go on. False when it is not, and the run was told to do without `what`.
///
/// # Panics
/// When nobody told it: as for [`program`].
#[must_use]
pub fn ability(what: &str, is_there: bool) -> bool {
    assert!(
        is_there || may_be_missing(what),
        "this machine lacks {what}; `cargo xtask test` leaves its tests out, and says so, or set \
         NOKUBE_TESTS_WITHOUT={what}"
    );
    is_there
}

fn may_be_missing(what: &str) -> bool {
    std::env::var("NOKUBE_TESTS_WITHOUT")
        .is_ok_and(|names| names.split(',').any(|name| name == what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_used() {
        assert!(ability("an-ability-of-no-machine", true));
        assert!(program("sh", None).is_some());
    }

    #[test]
    #[should_panic(expected = "NOKUBE_TESTS_WITHOUT=an-ability-of-no-machine")]
    fn what_is_missing_and_nobody_knows_of_fails_the_test() {
        let _ = ability("an-ability-of-no-machine", false);
    }
}
