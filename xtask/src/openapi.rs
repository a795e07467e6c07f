//! `cargo xtask openapi`: the API's documents, joined of what each component's tests make of its code.
//!
//! A component's part is a whole document of its own routes (`crates/contract`). Parts have what is fixed in common;
//! where two say different things about one, that is an error. What is written is the same on every machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::layout::Layout;
use crate::report::{note, step, timed};
use crate::{build, process};

/// What there is in `docs/`: the API for everybody, which is served, and what the platform's own parts ask each other.
const DOCUMENTS: [&str; 2] = ["openapi", INTERNAL];
/// One document for each component, by its name: several answer `/internal/tick`, each at its own address.
const INTERNAL: &str = "openapi-internal";
/// Tells the components' tests to write their parts (`crates/guest/src/testing/contract.rs`).
const WRITE_TO: &str = "NOKUBE_OPENAPI_DIR";

/// Writes the documents.
pub(crate) fn run(layout: &Layout) -> anyhow::Result<()> {
    for (file, text) in make(layout)? {
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        note(&format!("written: {}", file.display()));
    }
    Ok(())
}

/// Fails when a committed document is not what the code says.
pub(crate) fn check(layout: &Layout) -> anyhow::Result<()> {
    for (file, text) in make(layout)? {
        if fs::read_to_string(&file).unwrap_or_default() != text {
            bail!(
                "{} is not what the code says: run `cargo xtask openapi` and look at what changed",
                file.display()
            );
        }
    }
    Ok(())
}

fn make(layout: &Layout) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let parts = layout.root.join("target/openapi");
    if parts.exists() {
        fs::remove_dir_all(&parts)?;
    }
    fs::create_dir_all(&parts)?;
    timed("the API's documents, of the components' code", || {
        let mut command = process::cargo(&layout.root);
        command.args(["test", "--quiet", "--locked", "--release"]);
        // The selection that `cargo xtask test` compiles, too.
        build::select_guests(&mut command);
        process::run(command.args(["--", "contract::"]).env(WRITE_TO, &parts))
    })?;
    let mut made = Vec::new();
    for name in DOCUMENTS {
        let mut document = Value::Null;
        for component in components(layout) {
            let file = parts.join(format!("{name}.{component}.json"));
            let part = read(&file)?;
            let part = if name == INTERNAL {
                serde_json::json!({ component: part })
            } else {
                part
            };
            join(&mut document, part, &mut String::new())?;
        }
        let mut text = serde_json::to_string_pretty(&document)?;
        text.push('\n');
        made.push((layout.root.join(format!("docs/{name}.json")), text));
    }
    step("joined");
    Ok(made)
}

/// Guests that have routes.
fn components(layout: &Layout) -> impl Iterator<Item = &'static str> {
    let folder = layout.root.join("components");
    build::GUESTS
        .into_iter()
        .filter(move |guest| folder.join(guest).is_dir())
}

fn read(file: &Path) -> anyhow::Result<Value> {
    let bytes = fs::read(file).with_context(|| {
        format!(
            "{} was not written: has the component a `src/contract.rs` with its test?",
            file.display()
        )
    })?;
    serde_json::from_slice(&bytes).with_context(|| format!("reading {}", file.display()))
}

/// Adds what `part` has to `whole`; both may have the same, but nothing different at one place.
fn join(whole: &mut Value, part: Value, pointer: &mut String) -> anyhow::Result<()> {
    match (whole, part) {
        (whole @ Value::Null, part) => *whole = part,
        (Value::Object(whole), Value::Object(part)) => {
            for (name, value) in part {
                let length = pointer.len();
                pointer.push('/');
                pointer.push_str(&name);
                join(whole.entry(name).or_insert(Value::Null), value, pointer)?;
                pointer.truncate(length);
            }
        }
        (whole, part) if *whole == part => {}
        _ => bail!("two components say different things about {pointer}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_joined_and_a_contradiction_is_named() {
        let mut whole = Value::Null;
        let mut add = |part| join(&mut whole, part, &mut String::new());
        assert!(add(json!({ "paths": { "/a": { "get": 1 } }, "tags": ["x"] })).is_ok());
        assert!(add(json!({ "paths": { "/a": { "put": 2 } }, "tags": ["x"] })).is_ok());
        let error = add(json!({ "paths": { "/a": { "put": 3 } } })).unwrap_err();
        assert!(error.to_string().ends_with("/paths//a/put"), "{error}");
        assert_eq!(
            whole,
            json!({ "paths": { "/a": { "get": 1, "put": 2 } }, "tags": ["x"] })
        );
    }
}
