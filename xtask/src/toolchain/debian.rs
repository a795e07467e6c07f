//! The third way: a compiler and its library's source from Debian's packages, made into a private sysroot.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{Toolchain, sysroot, wasi_libc};
use crate::layout::Layout;
use crate::machine;
use crate::process;
use crate::report::note;

/// Debian's compiler for its web browsers, newer than the release's own.
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// What the packages bring.
pub(super) struct Compiler {
    /// The compiler.
    pub(super) rustc: PathBuf,
    /// Cargo of the same version.
    pub(super) cargo: PathBuf,
    /// The linker for WebAssembly of the compiler's LLVM.
    pub(super) wasm_ld: PathBuf,
    /// Such as `1.96.0`.
    pub(super) version: String,
    /// Such as `x86_64-unknown-linux-gnu`.
    pub(super) host: String,
}

/// Makes the sysroot, or finds that of an earlier run, with what it needs from the packages.
pub(super) fn make(layout: &Layout, choice: Option<&str>) -> anyhow::Result<Toolchain> {
    let compiler = find_or_install()?;
    let libc = wasi_libc::find_or_fetch(layout)?;
    let made = sysroot::find_or_make(layout, &compiler, &libc)?;
    let toolchain = Toolchain::new(
        format!("Debian's rustc {} with a private sysroot", compiler.version),
        vec![made.join("bin")],
        vec![made.clone()],
        &[compiler.rustc, compiler.wasm_ld, made.join("bin/rustc")],
    )?;
    Ok(match choice {
        Some(choice) => toolchain.chosen_by(choice),
        None => toolchain,
    })
}

fn find_or_install() -> anyhow::Result<Compiler> {
    if let Some(compiler) = find()? {
        return Ok(compiler);
    }
    // Also where an older version is there already: a newer one of them may have come since.
    machine::install(&PACKAGES)?;
    let about = about(Path::new("/usr/bin/rustc"))?;
    if !is_new_enough(&about.version) {
        bail!(
            "Debian's newest compiler here is rustc {}, but {} is needed: is the security suite among apt's sources?",
            about.version,
            env!("CARGO_PKG_RUST_VERSION")
        );
    }
    let linker = format!("lld-{}", about.llvm_major);
    machine::install(&[&linker])?;
    find()?.with_context(|| {
        format!(
            "{} and {linker} are installed, but not complete",
            PACKAGES.join(", ")
        )
    })
}

fn find() -> anyhow::Result<Option<Compiler>> {
    let rustc = PathBuf::from("/usr/bin/rustc");
    let cargo = PathBuf::from("/usr/bin/cargo");
    if !rustc.exists() || !cargo.exists() || !has_library_source() {
        return Ok(None);
    }
    let about = about(&rustc)?;
    if !is_new_enough(&about.version) {
        return Ok(None);
    }
    let wasm_ld = PathBuf::from(format!("/usr/bin/wasm-ld-{}", about.llvm_major));
    if !wasm_ld.exists() {
        return Ok(None);
    }
    note(&format!("Debian's rustc {} is there", about.version));
    Ok(Some(Compiler {
        rustc,
        cargo,
        wasm_ld,
        version: about.version,
        host: about.host,
    }))
}

fn has_library_source() -> bool {
    Path::new("/usr/lib/rustlib/src/rust/library/std").exists()
}

/// Whether a compiler can build what says `rust-version` in this workspace.
fn is_new_enough(version: &str) -> bool {
    numbers(version) >= numbers(env!("CARGO_PKG_RUST_VERSION"))
}

/// The parts of a version that can be compared; what is not a number ends them.
fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect()
}

struct About {
    version: String,
    host: String,
    llvm_major: String,
}

fn about(rustc: &Path) -> anyhow::Result<About> {
    let text = process::read(process::command(rustc).arg("-vV"))?;
    parse_about(&text)
        .with_context(|| format!("{} describes itself strangely: {text}", rustc.display()))
}

fn parse_about(text: &str) -> Option<About> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::to_owned)
    };
    Some(About {
        version: field("release")?,
        host: field("host")?,
        llvm_major: field("LLVM version")?.split('.').next()?.to_owned(),
    })
}

/// `wasm-component-ld`, which turns the linker's module into a component: Debian's newer compilers and rustup ship it,
/// else Cargo builds it.
pub(super) fn component_linker(layout: &Layout, host: &str) -> anyhow::Result<PathBuf> {
    let name = "wasm-component-ld";
    let mut sysroots = vec![PathBuf::from("/usr")];
    if let Ok(sysroot) = process::read(process::command("rustc").args(["--print", "sysroot"])) {
        sysroots.push(PathBuf::from(sysroot));
    }
    let shipped = sysroots
        .iter()
        .map(|sysroot| {
            sysroot
                .join("lib/rustlib")
                .join(host)
                .join("bin")
                .join(name)
        })
        .find(|path| path.exists());
    if let Some(path) = shipped {
        return Ok(path);
    }
    let built = layout.tools().join("bin").join(name);
    if !built.exists() {
        note("building wasm-component-ld, which takes a minute or two");
        fs::create_dir_all(layout.tools())?;
        process::run(
            process::command("cargo")
                .args(["install", "--quiet", "--locked", name, "--root"])
                .arg(layout.tools()),
        )?;
    }
    if !built.exists() {
        bail!("cargo install left no {name}");
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linker_must_be_of_the_compilers_llvm() {
        let text = "rustc 1.96.0 (built from a source tarball)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n\
                    release: 1.96.0\nLLVM version: 22.1.8";
        let about = parse_about(text).unwrap();
        assert_eq!(about.llvm_major, "22");
        assert_eq!(about.host, "x86_64-unknown-linux-gnu");
        assert!(parse_about("rustc 1").is_none());
    }

    #[test]
    fn a_compiler_older_than_the_workspace_asks_for_is_not_taken() {
        assert!(!is_new_enough("1.85.0"));
        assert!(is_new_enough("1.96.0"));
        assert!(is_new_enough("2.0.0"));
        assert!(numbers("1.100.0") > numbers("1.95"));
    }
}
