//! The guest programs of `tests/guests/worlds`: one per interface and behaviour, compiled when a test first asks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Stage, engine};

/// The folder with all of them as WebAssembly.
fn built() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = root.join("target/guest-tests");
        let cargo = std::env::var_os("NOKUBE_GUEST_CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--release", "--locked"])
            .args(["--target", "wasm32-wasip2", "--target-dir"])
            .arg(&target)
            .current_dir(root.join("tests/guests/worlds"))
            .output()
            .expect("cargo runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "they do not compile:\n{errors}");
        target.join("wasm32-wasip2/release")
    })
}

/// All of them as WebAssembly, each with its source.
pub(crate) fn all() -> Vec<(PathBuf, PathBuf)> {
    let worlds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/worlds");
    let sources = ["wasi02/src/bin", "wasi03/src/bin"]
        .into_iter()
        .flat_map(|folder| {
            let sources = std::fs::read_dir(worlds.join(folder)).expect("the programs");
            sources.map(|source| source.expect("a program").path())
        });
    sources
        .map(|source| {
            let name = source.file_stem().expect("a name");
            (built().join(name).with_extension("wasm"), source)
        })
        .collect()
}

/// One of them as native code.
pub(crate) fn program(name: &str) -> PathBuf {
    static NATIVE: Mutex<Option<TempDir>> = Mutex::new(None);
    let wasm = built().join(name).with_extension("wasm");
    let mut folder = NATIVE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder.get_or_insert_with(|| tempfile::tempdir().expect("a folder"));
    let native = folder.path().join(name).with_extension("cwasm");
    if !native.exists() {
        engine()
            .compile_file(&wasm, &native)
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    native
}

/// An application with one of them at `/...`; `metadata` is the component's.
pub(crate) fn stage(guest: &str, metadata: &Value) -> Stage {
    let id = guest.replace('_', "-");
    let mut stage = Stage::of(&id, &[("probe", json!("/..."))], metadata);
    put(&mut stage, "probe", guest);
    stage
}

/// Has `component` of an application be `guest`.
pub(crate) fn put(stage: &mut Stage, component: &str, guest: &str) {
    let files = stage.config.components.get_mut(component);
    files.expect("it is there").module = program(guest);
}
