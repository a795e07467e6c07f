//! What cargo compiled for the last build of the same service, so that the next one compiles only what
//! changed.
//!
//! A `target` folder is moved into the source before the build command and out again after packing:
//! a rename, however large. While a build has it, another one of the same service starts afresh.
//! It is shared by the builds of one service of one project alone, whose developers can change each
//! other's builds anyway.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::remove::remove_all;
use crate::source::hand_over;

/// Compiled dependencies that were moved into a source.
#[derive(Debug, Default)]
pub(crate) struct TargetCache {
    /// Where each is in the source, and where it is kept.
    places: Vec<(PathBuf, PathBuf)>,
}

impl TargetCache {
    /// Moves in what is kept for the cargo projects that these folders of the source belong to.
    ///
    /// `store` is a folder that builds do not see: what they leave in it can't lead the runner astray.
    pub(crate) fn move_in(
        store: &Path,
        service: &str,
        root: &Path,
        folders: &[PathBuf],
        owner: Option<u32>,
    ) -> io::Result<Self> {
        let mut moved = Self::default();
        for folder in folders {
            let Some(project) = cargo_project(root, folder) else {
                continue;
            };
            let live = project.join("target");
            if fs::symlink_metadata(&live).is_ok()
                || moved.places.iter().any(|(known, _)| *known == live)
            {
                continue;
            }
            let below = project.strip_prefix(root).unwrap_or(Path::new(""));
            let name =
                hex::encode(&Sha256::digest(format!("{service}\n{}", below.display()))[..12]);
            let kept = store.join(name);
            if fs::symlink_metadata(&kept).is_ok_and(|metadata| metadata.is_dir()) {
                fs::rename(&kept, &live)?;
                // A build may have left it in any state: then this one starts afresh.
                if renew(&live, owner).is_err() {
                    remove_all(&live)?;
                }
            }
            moved.places.push((live, kept));
        }
        Ok(moved)
    }

    /// Moves what was compiled back, for the next build. What fails is compiled anew then.
    pub(crate) fn move_out(&self) {
        for (live, kept) in &self.places {
            let is_folder = fs::symlink_metadata(live).is_ok_and(|metadata| metadata.is_dir());
            if is_folder && remove_all(kept).is_ok() {
                drop(fs::rename(live, kept));
            }
        }
    }
}

/// The folder where cargo puts `target` when it is run in `folder`: of the outermost workspace, else of
/// the innermost package.
fn cargo_project(root: &Path, folder: &Path) -> Option<PathBuf> {
    let inside = folder
        .ancestors()
        .take_while(|above| above.starts_with(root));
    let projects: Vec<&Path> = inside
        .filter(|above| above.join("Cargo.toml").is_file())
        .collect();
    let is_workspace = |project: &&&Path| {
        fs::read_to_string(project.join("Cargo.toml")).is_ok_and(|text| {
            text.lines()
                .any(|line| line.trim().starts_with("[workspace"))
        })
    };
    projects
        .iter()
        .rev()
        .find(is_workspace)
        .or(projects.first())
        .map(|project| project.to_path_buf())
}

/// Makes what another build left this one's: its user's, and without results.
fn renew(target: &Path, owner: Option<u32>) -> io::Result<()> {
    if let Some(owner) = owner
        && fs::symlink_metadata(target)?.uid() != owner
    {
        hand_over(target, owner)?;
    }
    forget_results(target)
}

/// Removes the final files of the last build (`target/<triple>/release/*.wasm` and the like): what this
/// build does not make must be missed, not taken from the last one. Cargo keeps its own copies.
fn forget_results(target: &Path) -> io::Result<()> {
    let folders = |path: &Path| -> io::Result<Vec<PathBuf>> {
        let entries: Vec<_> = fs::read_dir(path)?.collect::<io::Result<_>>()?;
        Ok(entries
            .iter()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(fs::DirEntry::path)
            .collect())
    };
    for first in folders(target)? {
        for profile in std::iter::once(first.clone()).chain(folders(&first)?) {
            for entry in fs::read_dir(&profile)? {
                let entry = entry?;
                let is_result = entry.path().extension().is_some_and(|end| end == "wasm");
                if is_result && !entry.file_type()?.is_dir() {
                    fs::remove_file(entry.path())?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compiled_comes_back_without_the_results() {
        let folder = tempfile::tempdir().expect("a folder");
        let (cache, first, second) = (
            folder.path().join("cache"),
            folder.path().join("one"),
            folder.path().join("two"),
        );
        fs::create_dir_all(&cache).expect("a folder");
        for root in [&first, &second] {
            fs::create_dir_all(root.join("api/src")).expect("a folder");
            fs::write(root.join("api/Cargo.toml"), "[package]").expect("a file");
        }
        let moved = TargetCache::move_in(&cache, "api", &first, &[first.join("api")], None)
            .expect("nothing to move");
        fs::create_dir_all(first.join("api/target/wasm32-wasip2/release/deps")).expect("a folder");
        for file in ["x.wasm", "deps/x.wasm", "deps/y.rlib"] {
            fs::write(
                first.join("api/target/wasm32-wasip2/release").join(file),
                "x",
            )
            .expect("a file");
        }
        moved.move_out();
        assert!(!first.join("api/target").exists());
        let moved = TargetCache::move_in(
            &cache,
            "api",
            &second,
            &[second.join("api"), second.join("api/src")],
            None,
        )
        .expect("moved");
        assert_eq!(moved.places.len(), 1);
        let release = second.join("api/target/wasm32-wasip2/release");
        assert!(release.join("deps/y.rlib").exists() && !release.join("x.wasm").exists());
        // Another service has its own, and a committed folder stays as it is.
        assert!(
            TargetCache::move_in(&cache, "front", &first, &[first.join("api")], None)
                .expect("nothing")
                .places[0]
                .1
                != moved.places[0].1
        );
        fs::create_dir(first.join("api/target")).expect("a folder");
        assert!(
            TargetCache::move_in(&cache, "api", &first, &[first.join("api")], None)
                .expect("nothing")
                .places
                .is_empty()
        );
    }

    #[test]
    fn a_workspaces_target_is_at_its_top() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir_all(root.join("apps/api")).expect("a folder");
        fs::write(root.join("Cargo.toml"), "[workspace]\n").expect("a file");
        fs::write(root.join("apps/api/Cargo.toml"), "[package]").expect("a file");
        assert_eq!(
            cargo_project(root, &root.join("apps/api")),
            Some(root.to_owned())
        );
        assert_eq!(cargo_project(&root.join("apps"), &root.join("apps")), None);
    }
}
