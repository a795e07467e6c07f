//! `cargo xtask check`: what a change must pass besides its tests.

mod deny;
mod lints;
mod scripts;

use anyhow::bail;

use crate::layout::Layout;
use crate::report::{note, step};
use crate::{k8s, machine, openapi, process, test, tidy, toolchain};

/// Runs all checks, quick ones first; one that fails does not keep the others from running.
pub(crate) fn run(layout: &Layout) -> anyhow::Result<()> {
    let toolchain = toolchain::prepare(layout)?;
    let mut failed = vec![];
    let mut part = |name: &'static str, result: anyhow::Result<()>| {
        if let Err(error) = result {
            note(&format!("{error:#}"));
            failed.push(name);
        }
    };
    part("formatting", formatting(layout));
    part("tidy", tidy::run(layout));
    part("dependencies", deny::run(layout));
    part("the API's documents", openapi::check(layout));
    part("the chart", k8s::check(layout));
    part("scripts", scripts::run(layout));
    part("lints", lints::native(layout));
    part("lints of guests", lints::guests(layout, &toolchain));
    if !failed.is_empty() {
        bail!("these checks failed: {}", failed.join(", "));
    }
    step("all checks passed");
    Ok(())
}

fn formatting(layout: &Layout) -> anyhow::Result<()> {
    step("formatting");
    process::run(process::cargo(&layout.root).args(["fmt", "--all", "--check"]))?;
    for folder in test::standalone_guests(layout)? {
        process::run(process::cargo(&folder).args(["fmt", "--check"]))?;
    }
    Ok(())
}

/// Where a tool is that Cargo installs for us, built on first use.
fn tool(layout: &Layout, name: &str) -> anyhow::Result<std::path::PathBuf> {
    if let Some(found) = process::find_program(name) {
        return Ok(found);
    }
    let built = layout.tools().join("bin").join(name);
    if !built.exists() {
        machine::make_folder(&layout.tools())?;
        note(&format!("building {name}, once; this takes some minutes"));
        process::run(
            process::cargo(&layout.cache)
                // Without optimization: it is built more slowly than it will ever run.
                .args(["install", "--quiet", "--locked", "--debug", name, "--root"])
                .arg(layout.tools()),
        )?;
    }
    Ok(built)
}
