//! `cargo xtask test`: every test there is, from a bare checkout.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::layout::Layout;
use crate::report::{note, step, timed};
use crate::toolchain::{self, TARGET, Toolchain};
use crate::{build, control_plane, machine, needs, process, schemathesis};

/// Which tests are wanted.
pub(crate) struct Options {
    /// Without exception: what is missing on this machine is a failure.
    pub(crate) everything: bool,
    pub(crate) cluster: Cluster,
}

/// Whether tests of the cluster target are wanted, also when its control plane has to be built first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cluster {
    /// Only where the control plane is told.
    #[default]
    No,
    /// With all others.
    Too,
    /// Without any other.
    Alone,
}

/// Builds what tests need, then runs native tests, those across processes, and guests' own.
pub(crate) fn run(layout: &Layout, filters: &[String], options: Options) -> anyhow::Result<()> {
    let Options {
        everything,
        cluster,
    } = options;
    machine::prepare_sandbox();
    let is_alone = cluster == Cluster::Alone;
    let schemathesis = match is_alone {
        true => None,
        false => schemathesis::prepare(layout),
    };
    let control_plane = control_plane::prepare(layout, cluster != Cluster::No)?;
    let prepared = [
        schemathesis.as_ref().map(|_| needs::SCHEMATHESIS),
        control_plane.as_ref().map(|_| control_plane::NEED),
    ];
    let prepared: Vec<_> = prepared.into_iter().flatten().collect();
    let missing = needs::look(&prepared);
    if !is_alone {
        missing.tell();
        missing.check(everything)?;
    }
    let toolchain = toolchain::prepare(layout)?;
    build::guests(layout, &toolchain)?;
    build::native_for_tests(layout)?;
    for folder in standalone_guests(layout)? {
        build_standalone(layout, &toolchain, &folder)?;
    }
    // Two runs: in one, what guests need of shared crates would have everything native compiled once more.
    let mut natives = process::cargo(&layout.root);
    natives.args(["test", "--locked", "--release", "--no-fail-fast"]);
    build::select_natives(&mut natives);
    if is_alone {
        natives.args(["--test", "cluster"]);
    }
    tell_where_things_are(layout, &toolchain, &mut natives)?;
    natives.env(needs::WITHOUT, missing.left_out());
    if let Some(program) = &schemathesis {
        natives.env(schemathesis::VARIABLE, program);
    }
    if let Some(folders) = &control_plane {
        natives.env(control_plane::VARIABLE, folders);
    }
    natives.arg("--").args(filters);
    forget_figures(layout)?;
    let natives = timed("native tests, and those across processes", || {
        process::run(&mut natives)
    });
    tell_figures(layout)?;
    if is_alone {
        return natives;
    }

    let mut guests = process::cargo(&layout.root);
    guests.args(["test", "--locked", "--release", "--no-fail-fast"]);
    build::select_guests(&mut guests);
    guests.arg("--").args(filters);
    let guests = timed("guests' own tests, run natively", || {
        process::run(&mut guests)
    });
    // Once more, where it is seen.
    missing.tell();
    natives.and(guests)
}

/// Where tests leave what they measured; what `docs/benchmarks.md` says of a cluster is from there.
fn figures(layout: &Layout) -> PathBuf {
    layout.root.join("target/figures")
}

fn forget_figures(layout: &Layout) -> anyhow::Result<()> {
    let folder = figures(layout);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}

fn tell_figures(layout: &Layout) -> anyhow::Result<()> {
    let folder = figures(layout);
    if !folder.exists() {
        return Ok(());
    }
    step("what tests measured");
    let mut files = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    for file in files {
        for line in fs::read_to_string(file)?.lines() {
            note(line);
        }
    }
    Ok(())
}

/// Tests across processes start what was built here; they are told where it is rather than building it again.
pub(crate) fn tell_where_things_are(
    layout: &Layout,
    toolchain: &Toolchain,
    command: &mut Command,
) -> anyhow::Result<()> {
    command
        .env("NOKUBE_BIN", layout.program("nokube"))
        .env("NOKUBE_SIDECAR_BIN", layout.program("nokube-sidecar"))
        .env("NOKUBE_TOOLCHAIN", layout.toolchain_file())
        .env("NOKUBE_GUEST_CARGO", toolchain.program("cargo")?);
    Ok(())
}

/// Packages that are workspaces of their own: the examples, and guests that only tests use.
pub(crate) fn standalone_guests(layout: &Layout) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![];
    for top in ["examples", "tests/guests"] {
        collect_packages(&layout.root.join(top), &mut found)
            .with_context(|| format!("looking for packages in {top}"))?;
    }
    found.sort();
    Ok(found)
}

/// A folder with a `Cargo.toml` is one to build; what is below it belongs to it.
fn collect_packages(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if folder.join("Cargo.toml").exists() {
        found.push(folder.to_path_buf());
        return Ok(());
    }
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name() != "target" {
            collect_packages(&entry.path(), found)?;
        }
    }
    Ok(())
}

/// Builds one of them as its `spin.toml` says, but into one shared folder, so that what they share is compiled once.
fn build_standalone(layout: &Layout, toolchain: &Toolchain, folder: &Path) -> anyhow::Result<()> {
    let name = folder
        .strip_prefix(&layout.root)
        .unwrap_or(folder)
        .display();
    timed(&format!("building {name}"), || {
        process::run(
            toolchain
                .command("cargo")?
                .current_dir(folder)
                .args([
                    "build",
                    "--quiet",
                    "--locked",
                    "--release",
                    "--target",
                    TARGET,
                ])
                .arg("--target-dir")
                .arg(layout.standalone_target()),
        )
    })
}
