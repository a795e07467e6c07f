//! `cargo xtask fuzz`: throws inputs at what reads what strangers send, with libFuzzer and the stable compiler.
//!
//! What must hold is said by the `fuzzing` modules of the crates; `fuzz/` only gives them a program each. It begins with
//! `fuzz/corpus`, which `cargo xtask test` runs too. What is found goes to `target/fuzz/found`, what breaks something to
//! `target/fuzz/broken`: when that is mended, the input belongs into the corpus.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::layout::Layout;
use crate::report::{note, step, timed};
use crate::{machine, process};

/// Coverage for libFuzzer (clang's SanitizerCoverage), as `cargo fuzz` asks for it. No sanitizer: they take a nightly
/// compiler, and what is fuzzed has no `unsafe` of its own. Panics, overflows and endless loops are found without.
const COVERAGE: &str = "-Cpasses=sancov-module \
     -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";
/// A single input that takes longer is a finding: they are small.
const LONGEST_INPUT_SECONDS: u32 = 10;
/// Larger inputs find nothing that smaller ones do not, and slow everything down.
const LARGEST_INPUT_BYTES: u32 = 16 << 10;

/// Fuzzes one target after another, each for so many seconds.
pub(crate) fn run(layout: &Layout, wanted: &[String], seconds: u32) -> anyhow::Result<()> {
    let all = targets(layout)?;
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("there is no {unknown}; there are {}", all.join(", "));
    }
    let chosen = if wanted.is_empty() { &all } else { wanted };
    let triple = host_triple()?;
    let folder = layout.root.join("target/fuzz");
    timed("building what fuzzes", || {
        let mut command = process::cargo(&layout.root.join("fuzz"));
        // Not locked: what the crates depend on changes without anybody thinking of this.
        command.args(["build", "--quiet", "--release"]);
        // With a target named, programs that run while building are left as they are.
        command
            .args(["--target", &triple, "--target-dir"])
            .arg(&folder);
        command.env("RUSTFLAGS", COVERAGE);
        for name in chosen {
            command.args(["--bin", name]);
        }
        process::run(&mut command)
    })?;
    let mut broken = Vec::new();
    for name in chosen {
        step(&format!("fuzzing {name} for {seconds} s"));
        let program = folder.join(&triple).join("release").join(name);
        if let Err(error) = fuzz(layout, &folder, &program, name, seconds) {
            note(&format!("{error:#}"));
            broken.push(name.as_str());
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    let place = folder.join("broken");
    bail!(
        "broken: {}; the inputs are in {}",
        broken.join(", "),
        place.display()
    )
}

fn fuzz(
    layout: &Layout,
    folder: &Path,
    program: &Path,
    name: &str,
    seconds: u32,
) -> anyhow::Result<()> {
    let (found, broken) = (
        folder.join("found").join(name),
        folder.join("broken").join(name),
    );
    for place in [&found, &broken] {
        machine::make_folder(place)?;
    }
    let mut command = process::command(program);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={LONGEST_INPUT_SECONDS}"))
        .arg(format!("-max_len={LARGEST_INPUT_BYTES}"))
        .arg(format!("-artifact_prefix={}/", broken.display()))
        .args(["-print_final_stats=1", "-verbosity=0"])
        .arg(found)
        .arg(layout.root.join("fuzz/corpus").join(name));
    // Some of them unpack archives, thousands of times a second.
    let in_memory = Path::new("/dev/shm");
    if in_memory.is_dir() {
        command.env("TMPDIR", in_memory);
    }
    process::run(&mut command)
}

/// A program each in `fuzz/fuzz_targets`.
fn targets(layout: &Layout) -> anyhow::Result<Vec<String>> {
    let folder = layout.root.join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path: PathBuf = entry?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn host_triple() -> anyhow::Result<String> {
    let told = process::read(process::command("rustc").arg("-vV"))?;
    let line = told.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned)
        .context("rustc does not say where it runs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_corpus_and_a_program_of_its_name() {
        let layout = Layout::find().expect("a checkout");
        let manifest = fs::read_to_string(layout.root.join("fuzz/Cargo.toml")).expect("a manifest");
        let targets = targets(&layout).expect("a folder");
        for name in &targets {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
        let corpora = fs::read_dir(layout.root.join("fuzz/corpus")).expect("a folder");
        let mut corpora: Vec<String> = corpora
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        corpora.sort();
        assert_eq!(corpora, targets);
    }
}
