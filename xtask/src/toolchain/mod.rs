//! The compiler that makes WebAssembly components, found or made.
//!
//! Three ways, in this order: a `wasm32-wasip2` standard library that is there; one that rustup fetches; and a
//! private sysroot made of Debian's packages, for machines where rustup may not fetch. What is found is written to
//! one file, which later runs trust as long as the compiler it names is untouched, and which `nokube up` hands to
//! the build sandbox: a tenant's plain `cargo build --target wasm32-wasip2 --release` uses the same compiler.

mod apt;
mod debian;
mod found;
mod rustup;
mod sysroot;
mod wasi_libc;

use std::env;
use std::fs;

use anyhow::{Context, bail};

pub(crate) use self::found::Toolchain;
use crate::layout::Layout;
use crate::process;
use crate::report::{note, step};

/// The target triple of every guest.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Forces one of the ways: `rustup` (the target is there or rustup fetches it) or `debian`.
const CHOICE_VARIABLE: &str = "NOKUBE_WASM_TOOLCHAIN";

/// `cargo xtask toolchain`: finds or makes the toolchain and shows it.
pub(crate) fn run(layout: &Layout, again: bool) -> anyhow::Result<()> {
    if again && layout.toolchain_file().exists() {
        fs::remove_file(layout.toolchain_file()).context("forgetting the last answer")?;
    }
    let toolchain = prepare(layout)?;
    note(&format!("compiler: {}", toolchain.describe()));
    note(&format!("written to {}", layout.toolchain_file().display()));
    Ok(())
}

/// Returns the toolchain of the last run when it still holds, else finds or makes one.
pub(crate) fn prepare(layout: &Layout) -> anyhow::Result<Toolchain> {
    let choice = env::var(CHOICE_VARIABLE)
        .ok()
        .filter(|choice| !choice.is_empty());
    if let Some(toolchain) = Toolchain::read(&layout.toolchain_file(), choice.as_deref()) {
        return Ok(toolchain);
    }
    step("preparing the WebAssembly toolchain");
    let toolchain = search(layout, choice.as_deref())?;
    prove(layout, &toolchain)?;
    toolchain.write(&layout.toolchain_file())?;
    Ok(toolchain)
}

fn search(layout: &Layout, choice: Option<&str>) -> anyhow::Result<Toolchain> {
    match choice {
        None => match rustup::find_or_add() {
            Ok(toolchain) => Ok(toolchain),
            Err(reason) => {
                note(&format!("{reason:#}; making one from Debian's packages"));
                debian::make(layout, None)
            }
        },
        Some("rustup") => rustup::find_or_add().map(|found| found.chosen_by("rustup")),
        Some("debian") => debian::make(layout, Some("debian")),
        Some(other) => bail!("{CHOICE_VARIABLE} is {other:?}; it may be rustup or debian"),
    }
}

/// Compiles and links one small program, so that a toolchain that only looks complete is noticed here.
fn prove(layout: &Layout, toolchain: &Toolchain) -> anyhow::Result<()> {
    let folder = layout.cache.join("proof");
    fs::create_dir_all(&folder).context("making a folder to try the toolchain in")?;
    let source = folder.join("proof.rs");
    fs::write(&source, "fn main() { println!(\"it works\"); }\n").context("writing a program")?;
    let mut command = toolchain.command("rustc")?;
    command
        .current_dir(&folder)
        .args([
            "--edition",
            "2024",
            "-O",
            "--target",
            TARGET,
            "-o",
            "proof.wasm",
        ])
        .arg(&source);
    process::read(&mut command).context("the WebAssembly toolchain does not work")?;
    note("it compiles and links");
    Ok(())
}
