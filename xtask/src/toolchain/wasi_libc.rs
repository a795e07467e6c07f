//! The C library below Rust's standard library, from the release's backports, unpacked into a private folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{TARGET, apt};
use crate::layout::Layout;
use crate::process;
use crate::report::note;

/// The folder with `libc.a` and the start-up objects: the machine's own if it knows the target, else a private one.
pub(super) fn find_or_fetch(layout: &Layout) -> anyhow::Result<PathBuf> {
    let below = Path::new("usr/lib").join(TARGET);
    let private = layout.cache.join("wasi-libc");
    for candidate in [Path::new("/").join(&below), private.join(&below)] {
        if candidate.join("libc.a").exists() {
            return Ok(candidate);
        }
    }
    fetch(layout, &private).context("fetching wasi-libc from the release's backports")?;
    Ok(private.join(below))
}

fn fetch(layout: &Layout, into: &Path) -> anyhow::Result<()> {
    note("fetching wasi-libc from the release's backports into a private folder");
    let work = layout.cache.join("apt");
    fs::create_dir_all(&work)?;
    for folder in ["parts", "lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(work.join(folder))?;
    }
    fs::write(
        work.join("parts/backports.sources"),
        apt::backports_source()?,
    )?;
    // apt with its own state: signatures, proxies and keys as the machine has them, nothing of it changed.
    process::read(apt_get(&work).arg("update"))?;
    process::read(
        apt_get(&work)
            .current_dir(&work)
            .args(["download", "wasi-libc"]),
    )?;
    let Some(package) = newest_package(&work)? else {
        bail!("apt downloaded no package");
    };
    let fresh = into.with_extension("new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    process::read(
        process::command("dpkg-deb")
            .arg("-x")
            .arg(&package)
            .arg(&fresh),
    )?;
    if !fresh.join("usr/lib").join(TARGET).join("libc.a").exists() {
        bail!("this wasi-libc knows no {TARGET}");
    }
    if into.exists() {
        fs::remove_dir_all(into)?;
    }
    fs::rename(&fresh, into)?;
    fs::remove_dir_all(&work)?;
    Ok(())
}

fn apt_get(work: &Path) -> std::process::Command {
    let mut command = process::command("apt-get");
    for (name, value) in [
        ("Dir::Etc::sourcelist", "/dev/null".to_owned()),
        (
            "Dir::Etc::sourceparts",
            work.join("parts").display().to_string(),
        ),
        (
            "Dir::State::lists",
            work.join("lists").display().to_string(),
        ),
        ("Dir::Cache", work.join("cache").display().to_string()),
        // apt's own user could not write below a private folder.
        ("APT::Sandbox::User", String::new()),
        ("Acquire::Languages", "none".to_owned()),
    ] {
        command.arg("-o").arg(format!("{name}={value}"));
    }
    command.arg("--quiet");
    command
}

fn newest_package(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let mut packages = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            packages.push(path);
        }
    }
    packages.sort();
    Ok(packages.pop())
}
