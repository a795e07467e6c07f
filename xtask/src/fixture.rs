//! `cargo xtask fixture`: what this version leaves behind, for later versions to be tried on.
//!
//! Run when a version is released, and committed with it. `tidy` then holds its migrations fixed.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};

use crate::layout::Layout;
use crate::report::{note, step};
use crate::{build, process, test, toolchain};

/// Where fixtures are, one folder for each version.
pub(crate) const FIXTURES: &str = "tests/fixtures/upgrade";
/// The list of a version's migrations: `<sha256>  <path>`, as sha256sum writes it.
pub(crate) const MIGRATIONS: &str = "migrations.sha256";
/// Where migrations are.
const FOLDERS: [&str; 2] = ["crates/guest/src/platform", "components/auth/src/store"];

/// Runs the story of `tests/tests/upgrade.rs`, keeps a backup of it and the list of migrations.
pub(crate) fn run(layout: &Layout) -> anyhow::Result<()> {
    let folder = layout.root.join(FIXTURES).join(env!("CARGO_PKG_VERSION"));
    is_new(&folder)?;
    let toolchain = toolchain::prepare(layout)?;
    build::guests(layout, &toolchain)?;
    build::native(layout)?;
    fs::create_dir_all(&folder)?;
    step("a short story, and a backup of it");
    let mut story = process::cargo(&layout.root);
    story.args(["test", "--locked", "--release"]);
    build::select_natives(&mut story);
    test::tell_where_things_are(layout, &toolchain, &mut story)?;
    story
        .args(["--test", "upgrade", "--", "make_the_fixture"])
        .env("NOKUBE_FIXTURE", folder.join("backup.tar.gz"));
    process::run(&mut story)?;
    fs::write(folder.join(MIGRATIONS), list(layout)?)?;
    note(&format!("{} is this version's", folder.display()));
    Ok(())
}

/// What a version left behind stays: made again it would hold what later versions do, and nothing would be tried on it.
fn is_new(folder: &Path) -> anyhow::Result<()> {
    ensure!(
        !folder.exists(),
        "{} is there already: what was released is kept as it is. Raise the version first",
        folder.display()
    );
    Ok(())
}

fn list(layout: &Layout) -> anyhow::Result<String> {
    let mut lines = vec![];
    for folder in FOLDERS {
        let entries = fs::read_dir(layout.root.join(folder)).context(folder)?;
        for entry in entries {
            let name = entry?.file_name();
            let path = format!("{folder}/{}", name.to_string_lossy());
            if path.ends_with(".sql") {
                let text = fs::read_to_string(layout.root.join(&path))?;
                lines.push(format!("{}  {path}\n", digest(&text)));
            }
        }
    }
    lines.sort_by(|one, other| one[64..].cmp(&other[64..]));
    Ok(lines.concat())
}

/// SHA-256, hexadecimal.
pub(crate) fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_has_a_fixture_keeps_it() {
        let released = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(FIXTURES)
            .join("0.1.0");
        assert!(is_new(&released).is_err());
        assert!(is_new(&released.with_file_name("999.0.0")).is_ok());
    }
}
