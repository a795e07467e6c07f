//! What a source is: a Spin application, a static site (perhaps one that npm builds), or nothing that
//! this builder makes.

use std::path::{Path, PathBuf};

use nokube_spinapp::manifest::Manifest;

use crate::error::{BuildError, BuildStep};
use crate::job::Build;
use crate::source::Source;

/// Where sites are kept or built, in the order they are looked for.
const SITE_FOLDERS: [&str; 5] = ["dist", "build", "_site", "out", "public"];
/// A manifest or package file is text for people.
const TEXT_MAX_BYTES: u64 = 1024 * 1024;

/// What was found.
#[derive(Debug)]
pub(crate) enum Found {
    /// `spin.toml`.
    Spin(Box<Manifest>),
    /// Files to be served as they are.
    Site(PathBuf),
    /// `package.json` with a build script; its site is known once it is built.
    Npm {
        /// There is a lock file, so exactly its packages are installed.
        locked: bool,
    },
}

/// Looks at the source, says in the log what it is.
pub(crate) async fn detect(build: &Build, source: &Source) -> BuildStep<Found> {
    let folder = &source.folder;
    if let Some(text) = read_text(&folder.join("spin.toml"), &source.root)? {
        let manifest = match Manifest::parse_at_depth(&text, source.depth()) {
            Ok(manifest) => manifest,
            Err(faults) => {
                for fault in &faults.0 {
                    build.log.system(format!("spin.toml: {fault}")).await;
                }
                let message = match faults.0.as_slice() {
                    [one] => format!("spin.toml: {one}"),
                    [first, more @ ..] => format!(
                        "spin.toml has {} faults, all in the log; the first: {first}",
                        more.len() + 1
                    ),
                    [] => "spin.toml has a fault".to_owned(),
                };
                return Err(BuildError::Source(message));
            }
        };
        build
            .log
            .system(format!(
                "found a Spin application, {}",
                manifest.application.name
            ))
            .await;
        return Ok(Found::Spin(Box::new(manifest)));
    }
    if let Some(text) = read_text(&folder.join("package.json"), &source.root)?
        && has_build_script(&text)?
    {
        build
            .log
            .system("found package.json with a build script")
            .await;
        let locked = ["package-lock.json", "npm-shrinkwrap.json"]
            .iter()
            .any(|name| folder.join(name).is_file());
        return Ok(Found::Npm { locked });
    }
    if let Some(site) = find_site(folder, true) {
        let shown = site
            .strip_prefix(folder)
            .ok()
            .filter(|path| !path.as_os_str().is_empty());
        let place = shown.map_or_else(
            || "here".to_owned(),
            |path| format!("in {}", path.display()),
        );
        build
            .log
            .system(format!("found a static site {place}"))
            .await;
        return Ok(Found::Site(site));
    }
    let has_dockerfile = ["Dockerfile", "Containerfile"]
        .iter()
        .any(|name| folder.join(name).exists());
    Err(BuildError::source(if has_dockerfile {
        "there is only a Dockerfile, and this builder cannot build containers yet; add a spin.toml, or an index.html for a static site"
    } else {
        "nothing to build was found; looked for spin.toml, package.json with a build script, and index.html here or in dist, build, _site, out, public"
    }))
}

/// The folder of a site: the first that holds `index.html`.
pub(crate) fn find_site(folder: &Path, or_here: bool) -> Option<PathBuf> {
    let here = or_here.then(|| folder.to_owned());
    here.into_iter()
        .chain(SITE_FOLDERS.iter().map(|name| folder.join(name)))
        .find(|site| site.join("index.html").is_file())
}

fn has_build_script(text: &str) -> BuildStep<bool> {
    let package: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| BuildError::Source(format!("package.json is not JSON: {error}")))?;
    Ok(package["scripts"]["build"]
        .as_str()
        .is_some_and(|script| !script.trim().is_empty()))
}

/// A text file of the source; nothing when it is not there.
fn read_text(path: &Path, root: &Path) -> BuildStep<Option<String>> {
    let Ok(real) = path.canonicalize() else {
        return Ok(None);
    };
    let name = path.file_name().unwrap_or_default().display();
    if !real.starts_with(root) {
        return Err(BuildError::Source(format!(
            "{name} leads out of the source"
        )));
    }
    let metadata = std::fs::metadata(&real).map_err(BuildError::io("cannot read the source"))?;
    if !metadata.is_file() {
        return Ok(None);
    }
    if metadata.len() > TEXT_MAX_BYTES {
        return Err(BuildError::Source(format!("{name} is larger than 1 MiB")));
    }
    let text = std::fs::read(&real).map_err(BuildError::io("cannot read the source"))?;
    String::from_utf8(text)
        .map(Some)
        .map_err(|_| BuildError::Source(format!("{name} is not UTF-8 text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_where_its_index_is() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(find_site(folder.path(), true), None);
        for name in ["public", "dist"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
            std::fs::write(folder.path().join(name).join("index.html"), "x").expect("a file");
        }
        assert_eq!(
            find_site(folder.path(), true),
            Some(folder.path().join("dist"))
        );
        std::fs::write(folder.path().join("index.html"), "x").expect("a file");
        assert_eq!(
            find_site(folder.path(), true),
            Some(folder.path().to_owned())
        );
        assert_eq!(
            find_site(folder.path(), false),
            Some(folder.path().join("dist"))
        );
    }

    #[test]
    fn a_package_without_a_build_script_is_not_built() {
        assert!(has_build_script(r#"{"scripts":{"build":"vite build"}}"#).expect("JSON"));
        assert!(!has_build_script(r#"{"scripts":{"start":"x"}}"#).expect("JSON"));
        assert!(has_build_script("{").is_err());
    }
}
