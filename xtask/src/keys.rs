//! `cargo xtask keys`: the keys for running the platform under `spin up`.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::layout::Layout;
use crate::report::{note, step};
use crate::{build, process};

/// Has `nokube` make the keys (it is the only program that knows them), then says how to use them.
pub(crate) fn run(layout: &Layout, data_dir: Option<&Path>, rotate: bool) -> anyhow::Result<()> {
    build::native(layout)?;
    // A folder that was named is meant from where the user is, not from the checkout.
    let data_dir = match data_dir {
        Some(path) => std::path::absolute(path).context("finding the data folder")?,
        None => PathBuf::from("data"),
    };
    step(match rotate {
        true => "making a new signing key",
        false => "making keys where they are missing",
    });
    process::run(
        process::command(layout.program("nokube"))
            .current_dir(&layout.root)
            .arg("keys")
            .args(rotate.then_some("rotate"))
            .arg("--data-dir")
            .arg(&data_dir),
    )?;
    let file = data_dir.join("keys.env");
    note("under Spin, in one terminal the platform:");
    note(&format!("  set -a; . {}; set +a", shown(&file)));
    note("  export SPIN_VARIABLE_GIT_ACCESS=local SPIN_VARIABLE_DENIED_PORTS=3000,3001,3080");
    note("  spin up --runtime-config-file runtime-config/local.toml");
    note("and in another what runs the applications and drives time:");
    note(&format!(
        "  target/release/nokube sidecar --target local --data-dir {}",
        data_dir.display()
    ));
    Ok(())
}

/// A path that a shell takes for a file to read, not for a name to look up.
fn shown(file: &Path) -> String {
    match file.is_absolute() {
        true => file.display().to_string(),
        false => format!("./{}", file.display()),
    }
}
