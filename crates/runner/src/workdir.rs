//! The runner's folder: `work/` (one folder per build, gone afterwards), `caches/` (per project),
//! `oci/` (what was packed), `runner-id`.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nokube_domain::{Timestamp, Uuid7};
use rustix::fs::{CWD, FlockOperation, Mode, fchmod, openat};

use crate::caches::{CacheBounds, Caches};
use crate::error::RunnerError;
use crate::remove::{FOLDER, remove_all};

/// What builds of earlier lives left, with a number.
const LEFTOVER: &str = "leftover-";
/// Who the runner is: whoever holds the folder.
const RUNNER_ID: &str = "runner-id";

/// The folder, held against a second runner for as long as this lives.
pub(crate) struct Folders {
    root: PathBuf,
    caches: Arc<Caches>,
    runner_id: Uuid7,
    _lock: fs::File,
}

impl Folders {
    /// Makes what is missing, removes what builds of an earlier life left behind.
    pub(crate) fn open(root: &Path, caches: CacheBounds) -> Result<Self, RunnerError> {
        let fail = |error| RunnerError::Folder(root.to_owned(), error);
        fs::create_dir_all(root).map_err(fail)?;
        let root = root.canonicalize().map_err(fail)?;
        make_private(&root).map_err(fail)?;
        let lock = fs::File::create(root.join("lock")).map_err(fail)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| RunnerError::FolderInUse(root.clone()))?;
        set_aside(&root).map_err(fail)?;
        for name in ["work", "caches", "oci"] {
            make_private(&root.join(name)).map_err(fail)?;
        }
        remove_leftovers(&root);
        let caches = Arc::new(Caches::open(root.join("caches"), caches));
        Ok(Self {
            runner_id: runner_id(&root).map_err(fail)?,
            root,
            caches,
            _lock: lock,
        })
    }

    /// Everything of the runner: no source may lie in here.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whose leases are the runner's, over all its lives in this folder.
    pub(crate) fn runner_id(&self) -> Uuid7 {
        self.runner_id
    }

    /// What was packed, as an OCI image layout.
    pub(crate) fn oci(&self) -> PathBuf {
        self.root.join("oci")
    }

    /// What is kept from build to build.
    pub(crate) fn caches(&self) -> &Arc<Caches> {
        &self.caches
    }

    /// A fresh folder for one lease of a build. Names come from the platform, so they are not
    /// trusted to be a single path component.
    pub(crate) fn work(&self, build_id: &str, lease_id: &str) -> std::io::Result<WorkDir> {
        let plain = |text: &str| {
            text.chars()
                .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
                .take(48)
                .collect::<String>()
        };
        let path = self
            .root
            .join("work")
            .join(format!("{}.{}", plain(build_id), plain(lease_id)));
        remove_all(&path)?;
        make_private(&path)?;
        Ok(WorkDir { path })
    }
}

/// The folder's id. Without a readable one there is a new one: leases of the old one run out by themselves.
fn runner_id(root: &Path) -> std::io::Result<Uuid7> {
    let path = root.join(RUNNER_ID);
    let known = fs::read_to_string(&path).ok();
    if let Some(id) = known.and_then(|text| Uuid7::parse(text.trim()).ok()) {
        return Ok(id);
    }
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|error| std::io::Error::other(error.to_string()))?;
    let now = Timestamp::from_millis(chrono::Utc::now().timestamp_millis());
    let id = Uuid7::new(now, random);
    fs::write(&path, id.to_string())?;
    Ok(id)
}

/// Takes what builds of an earlier life left out of the way. Not being able to remove it is no reason
/// not to start: it is tried again at each start.
fn set_aside(root: &Path) -> std::io::Result<()> {
    let free = (1..)
        .map(|n| root.join(format!("{LEFTOVER}{n}")))
        .find(|path| fs::symlink_metadata(path).is_err())
        .expect("there are more numbers than folders");
    match fs::rename(root.join("work"), free) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove_leftovers(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(LEFTOVER) {
            continue;
        }
        if let Err(error) = remove_all(&entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "what builds of an earlier life left cannot be removed; it takes up room");
        }
    }
}

/// The folder of one build.
pub(crate) struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the source is.
    pub(crate) fn source(&self) -> PathBuf {
        self.path.join("src")
    }

    /// Removes it. Processes that were just killed may still be writing: tries for a while.
    pub(crate) async fn remove(self) {
        for attempt in 0..10 {
            let path = self.path.clone();
            match tokio::task::spawn_blocking(move || remove_all(&path)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) if attempt == 9 => {
                    tracing::warn!(path = %self.path.display(), %error, "a work folder is left; the next start removes it");
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Makes a folder that only its owner may enter.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    // The folder itself: a link in its place is an error.
    let folder = openat(CWD, path, FOLDER, Mode::empty())?;
    Ok(fchmod(folder, Mode::RWXU)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_life_left_is_removed_at_the_next_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("runner");
        let bounds = CacheBounds {
            project_bytes: 1,
            total_bytes: 1,
        };
        let folders = Folders::open(&root, bounds).expect("a new folder");
        let work = folders.work("build", "lease").expect("a work folder");
        fs::create_dir_all(work.path().join("src/a/b")).expect("a folder");
        drop(folders);
        // The life before that could not remove its own.
        fs::create_dir_all(root.join("leftover-1/x")).expect("a folder");
        let folders = Folders::open(&root, bounds).expect("the same folder");
        assert_eq!(fs::read_dir(root.join("work")).expect("there").count(), 0);
        assert!(!root.join("leftover-1").exists() && !root.join("leftover-2").exists());
        drop(folders);
    }

    #[test]
    fn a_folder_is_the_same_runner_over_all_its_lives() {
        let folder = tempfile::tempdir().expect("a folder");
        let bounds = CacheBounds {
            project_bytes: 1,
            total_bytes: 1,
        };
        let id = || {
            let folders = Folders::open(folder.path(), bounds).expect("a folder");
            folders.runner_id()
        };
        let first = id();
        assert_eq!(id(), first);
        // Written by halves when the power failed.
        fs::write(folder.path().join(RUNNER_ID), "0194").expect("written");
        let second = id();
        assert_ne!(second, first);
        assert_eq!(id(), second);
    }
}
