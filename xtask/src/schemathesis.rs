//! schemathesis, for the test that makes up requests from the API's document: a virtual environment outside of the
//! checkout, with exactly the versions of `tests/schemathesis/requirements.txt`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use sha2::{Digest as _, Sha256};

use crate::layout::Layout;
use crate::report::{note, timed};
use crate::{machine, process};

/// Tells the test where it is.
pub(crate) const VARIABLE: &str = "NOKUBE_SCHEMATHESIS";

/// Where the program is, installed on first use; nothing when this machine has no Python or PyPI does not answer, which
/// is said.
pub(crate) fn prepare(layout: &Layout) -> Option<PathBuf> {
    if let Some(given) = std::env::var_os(VARIABLE) {
        return Some(given.into());
    }
    match install(layout) {
        Ok(program) => Some(program),
        Err(error) => {
            note(&format!("schemathesis cannot be installed: {error:#}"));
            None
        }
    }
}

fn install(layout: &Layout) -> anyhow::Result<PathBuf> {
    let requirements = layout.root.join("tests/schemathesis/requirements.txt");
    let wanted = fs::read(&requirements).context("reading which versions are wanted")?;
    // Other versions, another folder.
    let name = hex::encode(&Sha256::digest(&wanted)[..6]);
    let folder = layout.cache.join("schemathesis").join(name);
    let program = folder.join("bin/schemathesis");
    let complete = folder.join("complete");
    if complete.exists() && program.exists() {
        return Ok(program);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    machine::make_folder(&layout.cache)?;
    timed("installing schemathesis, once", || {
        process::read(Command::new("python3").args(["-m", "venv"]).arg(&folder))
            .context("making a Python environment (the Debian package python3-venv)")?;
        // Nothing is built: no code of a package runs before its test does.
        process::read(
            Command::new(folder.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args([
                    "--no-input",
                    "--only-binary",
                    ":all:",
                    "--no-deps",
                    "--requirement",
                ])
                .arg(&requirements),
        )
        .context("asking PyPI")?;
        fs::write(&complete, [])?;
        Ok(())
    })?;
    Ok(program)
}
