//! A source folder as the `.tar.gz` that the platform builds.

use std::path::Path;

use anyhow::{Context as _, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

/// What is never part of a source: version control, what other tools made, and files that hold secrets.
const LEFT_OUT: &[&str] = &[".git", "target", "node_modules", ".nokube", ".spin", ".env"];

/// Above this the platform would refuse it: say so before sending.
const MAX_BYTES: usize = 256 << 20;

/// Packs `folder` in name order. `.gitignore` is honoured, so secrets and build output that Git does
/// not see do not leave the machine; a prebuilt component named in `spin.toml` goes along nevertheless.
pub(crate) fn pack(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let folder = folder
        .canonicalize()
        .with_context(|| format!("there is no folder {}", folder.display()))?;
    if !folder.is_dir() {
        bail!("{} is not a folder", folder.display());
    }
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    archive.follow_symlinks(false);
    let mut entries = 0;
    let walk = ignore::WalkBuilder::new(&folder)
        .hidden(false)
        .require_git(false)
        .parents(true)
        .filter_entry(|entry| !LEFT_OUT.iter().any(|name| entry.file_name() == *name))
        .sort_by_file_path(Path::cmp)
        .build();
    for entry in walk {
        let entry = entry.context("cannot read the source folder")?;
        let name = entry.path().strip_prefix(&folder)?;
        if name.as_os_str().is_empty() {
            continue;
        }
        archive
            .append_path_with_name(entry.path(), name)
            .with_context(|| format!("cannot pack {}", entry.path().display()))?;
        entries += 1;
    }
    for prebuilt in prebuilt_components(&folder) {
        if !archive_has(&folder, &prebuilt) {
            archive.append_path_with_name(folder.join(&prebuilt), &prebuilt)?;
            entries += 1;
        }
    }
    if entries == 0 {
        bail!("{} holds nothing to deploy", folder.display());
    }
    let bytes = archive.into_inner()?.finish()?;
    if bytes.len() > MAX_BYTES {
        bail!(
            "the source is {} MiB packed, more than the {} MiB that are taken: leave files out with .gitignore",
            bytes.len() >> 20,
            MAX_BYTES >> 20
        );
    }
    Ok(bytes)
}

/// Component sources of a `spin.toml` without a build command: they have to be in the archive, though
/// people rarely keep them in Git.
fn prebuilt_components(folder: &Path) -> Vec<String> {
    let Ok(text) = std::fs::read_to_string(folder.join("spin.toml")) else {
        return Vec::new();
    };
    let Ok(manifest) = text.parse::<toml::Table>() else {
        return Vec::new();
    };
    let components = manifest.get("component").and_then(toml::Value::as_table);
    components
        .into_iter()
        .flatten()
        .filter(|(_, component)| component.get("build").is_none())
        .filter_map(|(_, component)| component.get("source").and_then(toml::Value::as_str))
        .filter(|source| !source.starts_with('/') && !source.split('/').any(|part| part == ".."))
        .filter(|source| folder.join(source).is_file())
        .map(str::to_owned)
        .collect()
}

/// Whether the walk above takes this file along by itself.
fn archive_has(folder: &Path, name: &str) -> bool {
    ignore::WalkBuilder::new(folder)
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| {
            !LEFT_OUT
                .iter()
                .any(|left_out| entry.file_name() == *left_out)
        })
        .build()
        .filter_map(Result::ok)
        .any(|entry| entry.path() == folder.join(name))
}

/// The service's name when none was given: the `spin.toml` application's, else the folder's.
pub(crate) fn service_name(folder: &Path) -> Option<String> {
    let from_manifest = std::fs::read_to_string(folder.join("spin.toml"))
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok())
        .and_then(|manifest| {
            Some(
                manifest
                    .get("application")?
                    .get("name")?
                    .as_str()?
                    .to_owned(),
            )
        });
    from_manifest
        .or_else(|| folder_name(folder))
        .map(|name| label(&name))
        .filter(|name| !name.is_empty())
}

/// The folder's own name.
pub(crate) fn folder_name(folder: &Path) -> Option<String> {
    Some(
        folder
            .canonicalize()
            .ok()?
            .file_name()?
            .to_str()?
            .to_owned(),
    )
}

/// `text` as a DNS label.
fn label(text: &str) -> String {
    let mut label = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(63);
    label.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bytes: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect()
    }

    #[test]
    fn what_git_ignores_and_secrets_stay_at_home() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            (".gitignore", "private\n"),
            ("index.html", "hi"),
            ("private", "x"),
            (".env", "KEY=1"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::create_dir(folder.path().join(".git")).unwrap();
        assert_eq!(
            names(&pack(folder.path()).unwrap()),
            [".gitignore", "index.html"]
        );
    }

    #[test]
    fn a_prebuilt_component_goes_along_although_git_ignores_it() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = "spin_manifest_version = 2\n[application]\nname = \"My App\"\n[component.a]\nsource = \"a.wasm\"\n";
        for (name, text) in [
            (".gitignore", "*.wasm\n"),
            ("spin.toml", manifest),
            ("a.wasm", "x"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(
            names(&pack(folder.path()).unwrap()),
            [".gitignore", "spin.toml", "a.wasm"]
        );
        assert_eq!(service_name(folder.path()).as_deref(), Some("my-app"));
    }

    #[test]
    fn an_empty_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(pack(folder.path()).is_err());
    }
}
