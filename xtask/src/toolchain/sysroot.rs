//! A compiler's home for one more target: the standard library, compiled once, and programs that know where it is.
//!
//! With the C library and the linker at the places where rustc looks by itself, no flag is needed: a plain
//! `cargo build --target wasm32-wasip2` works, and flags of the project being built stay untouched.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::TARGET;
use super::debian::{Compiler, component_linker};
use crate::layout::Layout;
use crate::process;
use crate::report::{note, timed};

/// Counted up when what is made here changes, so that older ones are not taken for it.
const EDITION: u32 = 2;

/// The sysroot for a compiler; `bin/` below it has its `cargo` and `rustc`.
pub(super) fn find_or_make(
    layout: &Layout,
    compiler: &Compiler,
    libc: &Path,
) -> anyhow::Result<PathBuf> {
    let folder = layout
        .cache
        .join(format!("sysroot-{}-{EDITION}", compiler.version));
    if folder.join("bin/cargo").exists() {
        return Ok(folder);
    }
    let linker = component_linker(layout, &compiler.host)?;
    let fresh = folder.with_extension("new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    timed(
        "compiling the standard library for WebAssembly, once (about a minute)",
        || place_library(compiler, libc, &fresh),
    )
    .context("compiling the standard library")?;
    place_linkers(compiler, &linker, &fresh).context("placing the linkers")?;
    place_wrappers(compiler, &fresh, &folder).context("writing cargo and rustc")?;
    // Moved when complete: a run that was interrupted leaves nothing that looks whole.
    fs::rename(&fresh, &folder)?;
    note(&format!("made {}", folder.display()));
    Ok(folder)
}

fn place_library(compiler: &Compiler, libc: &Path, sysroot: &Path) -> anyhow::Result<()> {
    let library = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let objects = library.join("self-contained");
    fs::create_dir_all(&objects)?;
    copy_all(libc, &objects, |_| true)?;

    let work = sysroot.join("build");
    fs::create_dir_all(work.join("src"))?;
    fs::write(work.join("Cargo.toml"), EMPTY_CRATE)?;
    fs::write(work.join("src/lib.rs"), "#![no_std]\n")?;
    process::run(
        process::command(&compiler.cargo)
            .current_dir(&work)
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO_TARGET_DIR")
            .env("RUSTC", &compiler.rustc)
            // The library may only be compiled with unstable features, which this lets a stable compiler do.
            .env("RUSTC_BOOTSTRAP", "1")
            // Machine code and bitcode: programs are linked with and without link-time optimization.
            .env("RUSTFLAGS", "-C embed-bitcode=yes")
            .args(["build", "--quiet", "--release", "--target", TARGET])
            .arg("-Zbuild-std=std,panic_abort"),
    )?;
    let built = work.join("target").join(TARGET).join("release/deps");
    copy_all(&built, &library, |name| {
        name.ends_with(".rlib") && !name.starts_with("libempty-")
    })?;
    fs::remove_dir_all(&work)?;
    Ok(())
}

const EMPTY_CRATE: &str = "\
[package]
name = \"empty\"
version = \"0.0.0\"
edition = \"2024\"

[workspace]

[profile.release]
opt-level = 3
debug = false
";

fn place_linkers(
    compiler: &Compiler,
    component_linker: &Path,
    sysroot: &Path,
) -> anyhow::Result<()> {
    let host = sysroot.join("lib/rustlib").join(&compiler.host);
    let programs = host.join("bin");
    fs::create_dir_all(&programs)?;
    fs::copy(component_linker, programs.join("wasm-component-ld"))?;
    // rustc puts this folder into the linker's search path.
    symlink(&compiler.wasm_ld, programs.join("wasm-ld"))?;
    // Build scripts and procedural macros run on this machine and need its own library.
    let own = Path::new("/usr/lib/rustlib")
        .join(&compiler.host)
        .join("lib");
    if !own.exists() {
        bail!("{} is missing", own.display());
    }
    symlink(own, host.join("lib"))?;
    Ok(())
}

/// Programs by the names `cargo` and `rustc`, to be put in front of the search path.
fn place_wrappers(compiler: &Compiler, fresh: &Path, final_place: &Path) -> anyhow::Result<()> {
    let programs = fresh.join("bin");
    fs::create_dir_all(&programs)?;
    let rustc = final_place.join("bin/rustc");
    write_program(
        &programs.join("rustc"),
        &format!(
            "exec {} --sysroot {} \"$@\"",
            quoted(&compiler.rustc)?,
            quoted(final_place)?
        ),
    )?;
    write_program(
        &programs.join("cargo"),
        &format!(
            // Without RUSTC, Cargo under rustup would start rustup's compiler.
            "unset RUSTUP_TOOLCHAIN\nRUSTC={} exec {} \"$@\"",
            quoted(&rustc)?,
            quoted(&compiler.cargo)?
        ),
    )
}

fn write_program(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(path)?;
    Ok(writeln!(file, "#!/bin/sh\n{text}")?)
}

/// A path as one word of a script.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not text", path.display()))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

fn copy_all(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.path().is_file() && wanted(&name.to_string_lossy()) {
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_script() {
        assert_eq!(quoted(Path::new("/a b/it's")).unwrap(), r"'/a b/it'\''s'");
    }
}
