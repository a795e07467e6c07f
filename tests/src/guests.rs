//! Guest programs for tests: built once per machine for `wasm32-wasip2` into `target/`, by the `cargo`
//! that `cargo xtask test` names in `NOKUBE_GUEST_CARGO` (any `cargo` that has the target will do).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::platform::repository_root;

/// Two tests must not build into the same folder at once within a process; cargo's lock does the rest.
static BUILDING: Mutex<()> = Mutex::new(());

/// The manifest of the example `notes`, for its built component beside it, `notes.wasm`.
pub const NOTES_MANIFEST: &str = r#"spin_manifest_version = 2
[application]
name = "notes"
[variables]
greeting = { default = "Notes" }
[[trigger.http]]
route = "/..."
component = "notes"
[component.notes]
source = "notes.wasm"
sqlite_databases = ["default"]
key_value_stores = ["default"]
[component.notes.variables]
greeting = "{{ greeting }}"
"#;

/// The component of the program that misbehaves on request (`tests/guests/probe`).
///
/// # Panics
/// When it does not compile.
#[must_use]
pub fn probe() -> Vec<u8> {
    let wasm = build(&repository_root().join("tests/guests/probe"));
    std::fs::read(&wasm).expect("what was just built can be read")
}

/// The component of an example application.
///
/// # Panics
/// When it does not compile.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    build(&repository_root().join("examples").join(name))
}

/// The component of a program in `tests/guests`.
///
/// # Panics
/// When it does not compile.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    build(&repository_root().join("tests/guests").join(name))
}

/// The component of one of the programs for both worlds of WASI (`tests/guests/worlds`), such as `wasi03_hello`.
///
/// # Panics
/// When they do not compile.
#[must_use]
pub fn world(program: &str) -> PathBuf {
    let last = build(&repository_root().join("tests/guests/worlds"));
    last.with_file_name(format!("{program}.wasm"))
}

fn build(source: &Path) -> PathBuf {
    let _one_at_a_time = BUILDING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let target = repository_root().join("target/guest-tests");
    let cargo = std::env::var_os("NOKUBE_GUEST_CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--locked",
            "--target",
            "wasm32-wasip2",
            "--message-format",
            "json",
            "--target-dir",
        ])
        .arg(&target)
        .current_dir(source)
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{} does not compile:\n{}",
        source.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    // The last artifact is the program itself.
    let messages = String::from_utf8_lossy(&output.stdout);
    let wasm = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let files = message["filenames"].as_array()?.iter();
        let mut files = files.filter_map(|file| file.as_str());
        files
            .rfind(|file| file.ends_with(".wasm"))
            .map(PathBuf::from)
    });
    wasm.unwrap_or_else(|| panic!("{} makes no component", source.display()))
}
