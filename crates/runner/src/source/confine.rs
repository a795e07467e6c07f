//! Nothing in a source leads out of it: links, devices, pipes.

use std::fs;
use std::io;
use std::os::unix::fs::lchown;
use std::path::{Component, Path, PathBuf};

use tokio_util::sync::CancellationToken;

/// What to do with what leads out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// Stop at the first and describe it: fetched sources.
    Refuse,
    /// Remove it: what a build command left behind is packed by the runner, outside of the sandbox.
    Remove,
}

/// Looks through a folder. With [`Escapes::Refuse`], the first thing that leads out; with
/// [`Escapes::Remove`], nothing.
pub(crate) fn confine(
    root: &Path,
    escapes: Escapes,
    stop: &CancellationToken,
) -> io::Result<Option<String>> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        if stop.is_cancelled() {
            return Ok(None);
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let fault = if kind.is_dir() {
                folders.push(path.clone());
                None
            } else if kind.is_symlink() {
                escape_of(root, &path, &fs::read_link(&path)?)
            } else if kind.is_file() {
                None
            } else {
                Some("is neither a file, a folder nor a link".to_owned())
            };
            let Some(fault) = fault else { continue };
            match escapes {
                Escapes::Remove => fs::remove_file(&path)?,
                Escapes::Refuse => {
                    let shown = path.strip_prefix(root).unwrap_or(&path);
                    return Ok(Some(format!("\"{}\" {fault}", shown.display())));
                }
            }
        }
    }
    Ok(None)
}

/// Why a link may not stay, if so.
fn escape_of(root: &Path, link: &Path, target: &Path) -> Option<String> {
    let out = || {
        Some(format!(
            "is a link that leads out of it (to \"{}\")",
            target.display()
        ))
    };
    if target.is_absolute() {
        return out();
    }
    match link.canonicalize() {
        Ok(end) if end.starts_with(root) => None,
        Ok(_) => out(),
        // It leads nowhere (or in a circle). It must not begin to lead out when something is built.
        Err(_) => {
            let folder = link.parent().unwrap_or(root).canonicalize().ok();
            let stays = folder.is_some_and(|folder| normal(&folder.join(target)).starts_with(root));
            if stays { None } else { out() }
        }
    }
}

/// A path without `.` and `..`, by its text alone.
fn normal(path: &Path) -> PathBuf {
    let mut kept = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    kept
}

/// Gives a folder with everything in it to a user. Links themselves change hands, not their targets.
/// Nobody may be writing in it.
pub(crate) fn hand_over(root: &Path, user: u32) -> io::Result<()> {
    lchown(root, Some(user), Some(user))?;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            lchown(entry.path(), Some(user), Some(user))?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("a path").join("src");
        fs::create_dir_all(root.join("a")).expect("a folder");
        fs::write(root.join("file"), "x").expect("a file");
        (folder, root)
    }

    fn check(root: &Path) -> Option<String> {
        confine(root, Escapes::Refuse, &CancellationToken::new()).expect("a readable folder")
    }

    #[test]
    fn links_inside_stay() {
        let (_folder, root) = folder();
        symlink("../file", root.join("a/up")).expect("a link");
        symlink("nowhere/yet", root.join("a/dangling")).expect("a link");
        symlink("self", root.join("self")).expect("a link");
        assert_eq!(check(&root), None);
    }

    #[test]
    fn links_that_lead_out_are_refused_by_name_or_removed() {
        for target in [
            "/etc/passwd",
            "../../outside",
            "../..",
            "a/../../../x",
            "../../src/../x",
        ] {
            let (_folder, root) = folder();
            symlink(target, root.join("a/link")).expect("a link");
            let found = check(&root).expect(target);
            assert!(
                found.contains("a/link") && found.contains(target),
                "{found}"
            );
            confine(&root, Escapes::Remove, &CancellationToken::new()).expect("removed");
            assert_eq!(check(&root), None);
        }
    }

    #[test]
    fn pipes_are_refused() {
        let (_folder, root) = folder();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .expect("a pipe");
        assert!(check(&root).expect("refused").contains("pipe"));
    }
}
