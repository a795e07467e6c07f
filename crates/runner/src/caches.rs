//! What builds of a project keep for its next ones: `shared`, which they see (fetched packages), and
//! `targets`, which they do not (what cargo compiled).
//!
//! One folder per project, so that no tenant writes into another's. Together they are bounded: the
//! project that was built the longest ago goes first. A folder that a build uses stays.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid, fchmod, fchown, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use crate::remove::{FOLDER, remove_all};
use crate::source::hand_over;
use crate::usage::disk_usage;
use crate::workdir::make_private;

/// The caches of a project that was not built for so long are removed at the next start.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How often a folder is made anew that something else took the place of.
const ATTEMPTS: u32 = 8;
/// Names of what is to be removed; no project's.
const OLD: &str = "old-";

/// How large caches may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CacheBounds {
    /// Of one project.
    pub(crate) project_bytes: u64,
    /// Together.
    pub(crate) total_bytes: u64,
}

/// The caches of all projects.
pub(crate) struct Caches {
    root: PathBuf,
    bounds: CacheBounds,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By name of the folder.
    projects: HashMap<String, Project>,
    /// How many folders were taken out of the way.
    old: u64,
}

#[derive(Default)]
struct Project {
    bytes: u64,
    /// It could not be looked through: larger than it seems.
    is_opaque: bool,
    /// Builds that use it.
    users: usize,
}

impl Caches {
    /// Looks at what is there, in a folder that exists, and removes what is too old or too much.
    pub(crate) fn open(root: PathBuf, bounds: CacheBounds) -> Self {
        let caches = Self {
            root,
            bounds,
            state: Mutex::default(),
        };
        let mut old = Vec::new();
        for entry in fs::read_dir(&caches.root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let age = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .ok()
                .and_then(|used| used.elapsed().ok());
            if name.starts_with(OLD) || age.is_some_and(|age| age > MAX_AGE) {
                old.push(entry.path());
            } else {
                caches.measure(&name);
            }
        }
        remove(old);
        caches.tidy();
        caches
    }

    /// The cache of a project, which is not removed while the answer lives; emptied when it had grown
    /// too large and no other build uses it.
    pub(crate) fn of(self: &Arc<Self>, project_id: i64) -> CacheUse {
        let name = project_id.to_string();
        let mut state = self.lock();
        let limit = self.bounds.project_bytes;
        let project = state.projects.entry(name.clone()).or_default();
        let is_too_large = project.is_opaque || project.bytes > limit;
        let old = (is_too_large && project.users == 0)
            .then(|| self.take_away(&mut state, &name))
            .flatten();
        state.projects.entry(name.clone()).or_default().users += 1;
        drop(state);
        if let Some(old) = old {
            // It may be large, and the build need not wait.
            tokio::task::spawn_blocking(move || remove(vec![old]));
        }
        CacheUse {
            caches: Arc::clone(self),
            name,
        }
    }

    /// Measures what a build has left of its project's cache, and removes what is too much of all.
    /// Reads and removes many files.
    pub(crate) fn settle(&self, project_id: i64) {
        self.measure(&project_id.to_string());
        self.tidy();
    }

    /// Removes caches that no build uses, until there is enough room.
    pub(crate) fn make_room(&self, is_enough: impl Fn() -> bool) {
        while !is_enough() {
            let mut state = self.lock();
            let Some(name) = self.next_to_go(&state) else {
                return;
            };
            let old = self.take_away(&mut state, &name);
            drop(state);
            remove(old.into_iter().collect());
        }
    }

    fn measure(&self, name: &str) {
        let usage = disk_usage(&self.root.join(name));
        let mut state = self.lock();
        let project = state.projects.entry(name.to_owned()).or_default();
        project.bytes = usage.bytes;
        project.is_opaque = usage.is_opaque;
    }

    fn tidy(&self) {
        loop {
            let mut state = self.lock();
            let total: u64 = state.projects.values().map(|project| project.bytes).sum();
            let opaque = state
                .projects
                .iter()
                .find(|(_, project)| project.is_opaque && project.users == 0)
                .map(|(name, _)| name.clone());
            let excess = || {
                (total > self.bounds.total_bytes)
                    .then(|| self.next_to_go(&state))
                    .flatten()
            };
            let Some(name) = opaque.or_else(excess) else {
                return;
            };
            let old = self.take_away(&mut state, &name);
            drop(state);
            remove(old.into_iter().collect());
        }
    }

    /// The cache that was used the longest ago, of those that no build uses.
    fn next_to_go(&self, state: &State) -> Option<String> {
        let used = |name: &str| {
            fs::symlink_metadata(self.root.join(name))
                .and_then(|metadata| metadata.modified())
                .unwrap_or(SystemTime::UNIX_EPOCH)
        };
        state
            .projects
            .iter()
            .filter(|(_, project)| project.users == 0)
            .min_by_key(|(name, _)| used(name))
            .map(|(name, _)| name.clone())
    }

    /// Forgets a cache and renames it to where nobody finds it: a build may begin to fill its own again
    /// while it is removed.
    fn take_away(&self, state: &mut State, name: &str) -> Option<PathBuf> {
        state.projects.remove(name);
        loop {
            state.old += 1;
            let place = self.root.join(format!("{OLD}{}", state.old));
            if fs::symlink_metadata(&place).is_err() {
                return fs::rename(self.root.join(name), &place)
                    .is_ok()
                    .then_some(place);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(old: Vec<PathBuf>) {
    for path in old {
        if let Err(error) = remove_all(&path) {
            tracing::warn!(path = %path.display(), %error, "a build's old cache cannot be removed; it takes up room");
        }
    }
}

/// A project's cache while a build uses it.
pub(crate) struct CacheUse {
    caches: Arc<Caches>,
    name: String,
}

impl CacheUse {
    /// Its folder; not there before [`prepare`].
    pub(crate) fn folder(&self) -> PathBuf {
        self.caches.root.join(&self.name)
    }
}

impl Drop for CacheUse {
    fn drop(&mut self) {
        if let Some(project) = self.caches.lock().projects.get_mut(&self.name) {
            project.users = project.users.saturating_sub(1);
        }
    }
}

/// What of a project's cache its builds see.
pub(crate) fn shared(folder: &Path) -> PathBuf {
    folder.join("shared")
}

/// What of it they do not.
pub(crate) fn targets(folder: &Path) -> PathBuf {
    folder.join("targets")
}

/// The user that a project's cache belongs to, if there is one.
pub(crate) fn owner(folder: &Path) -> Option<u32> {
    fs::symlink_metadata(shared(folder))
        .ok()
        .map(|metadata| metadata.uid())
}

/// Makes what is missing of a project's cache, and all of it `owner`'s.
///
/// Another build of the project may run meanwhile, and swap anything in `shared` for a link: no path
/// leads through it, and a mode or owner is changed of a folder that is open.
pub(crate) fn prepare(folder: &Path, owner: Option<u32>) -> io::Result<()> {
    make_private(folder)?;
    // The folder's own time says when it was last used.
    fs::write(folder.join("used"), "")?;
    fs::remove_file(folder.join("used"))?;
    let project = openat(CWD, folder, FOLDER, Mode::empty())?;
    own_folder(&project, "targets", None)?;
    // Of another user, no build uses it: builds of one project at once are one user.
    if let (Some(owner), Some(before)) = (owner, self::owner(folder))
        && before != owner
        && hand_over(&shared(folder), owner).is_err()
    {
        remove_all(&shared(folder))?;
    }
    let shared = own_folder(&project, "shared", owner)?;
    for name in ["cargo", "npm", "xdg"] {
        own_folder(&shared, name, owner)?;
    }
    Ok(())
}

/// Opens a folder in `at` that nobody but `owner` may enter; made, when it is not there or something
/// else is.
fn own_folder(at: &OwnedFd, name: &str, owner: Option<u32>) -> io::Result<OwnedFd> {
    for _ in 0..ATTEMPTS {
        match mkdirat(at, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        match openat(at, name, FOLDER, Mode::empty()) {
            Ok(folder) => {
                fchmod(&folder, Mode::RWXU)?;
                if let Some(owner) = owner {
                    fchown(
                        &folder,
                        Some(Uid::from_raw(owner)),
                        Some(Gid::from_raw(owner)),
                    )?;
                }
                return Ok(folder);
            }
            // A file or a link: an earlier build put it there, or one that runs.
            Err(Errno::NOTDIR | Errno::LOOP) => match unlinkat(at, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                Err(error) => return Err(error.into()),
            },
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("another build keeps changing the cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: CacheBounds = CacheBounds {
        project_bytes: 300_000,
        total_bytes: 500_000,
    };

    fn fill(root: &Path, project: i64, bytes: usize, age_seconds: u64) {
        let folder = root.join(project.to_string());
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("packages"), vec![1; bytes]).expect("a file");
        let used = SystemTime::now() - Duration::from_secs(age_seconds);
        let times = fs::FileTimes::new().set_modified(used);
        let folder = fs::File::open(folder).expect("a folder");
        folder.set_times(times).expect("its time");
    }

    fn names(root: &Path) -> Vec<String> {
        let entries = fs::read_dir(root).expect("a folder").flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn at_the_start_the_caches_used_the_longest_ago_go_until_the_rest_has_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        for (project, age) in [(1, 50), (2, 400), (3, 300), (4, 10)] {
            fill(root, project, 200_000, age);
        }
        fill(root, 5, 10, MAX_AGE.as_secs() + 60);
        fs::create_dir(root.join("old-1")).expect("a folder");
        drop(Caches::open(root.to_owned(), BOUNDS));
        assert_eq!(names(root), ["1", "4"]);
    }

    #[tokio::test]
    async fn a_cache_that_a_build_uses_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let caches = Arc::new(Caches::open(root.to_owned(), BOUNDS));
        let first = caches.of(1);
        fill(root, 1, 400_000, 900);
        fill(root, 2, 300_000, 5);
        caches.settle(1);
        caches.settle(2);
        // Together too much: the older one is in use.
        assert_eq!(names(root), ["1"]);
        // Alone too much, but another build has it.
        let second = caches.of(1);
        assert_eq!(names(root), ["1"]);
        drop((first, second));
        let third = caches.of(1);
        assert!(!third.folder().exists());
        caches.make_room(|| false);
        assert!(!third.folder().exists());
    }

    #[test]
    fn links_in_the_place_of_a_caches_folders_are_replaced_and_not_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().expect("a folder");
        let (cache, victim) = (folder.path().join("7"), folder.path().join("victim"));
        fs::create_dir(&victim).expect("a folder");
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o755)).expect("open");
        let root = rustix::process::geteuid().is_root();
        let owner = root.then_some(crate::sandbox::slots::FIRST_USER);
        prepare(&cache, owner).expect("prepared");
        for name in ["cargo", "npm"] {
            fs::remove_dir(shared(&cache).join(name)).expect("it is empty");
            symlink(&victim, shared(&cache).join(name)).expect("a link");
        }
        // As a build does that runs meanwhile: whatever is there turns into a link again and again.
        let running = std::sync::atomic::AtomicBool::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (place, link) = (shared(&cache).join("npm"), shared(&cache).join("link"));
                while running.load(std::sync::atomic::Ordering::Relaxed) {
                    drop(symlink(&victim, &link));
                    drop(fs::remove_dir(&place));
                    drop(fs::rename(&link, &place));
                }
            });
            for _ in 0..2000 {
                // It may give up, and does no harm.
                drop(prepare(&cache, owner));
            }
            running.store(false, std::sync::atomic::Ordering::Relaxed);
        });
        let metadata = fs::metadata(&victim).expect("still there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o755);
        assert_eq!(metadata.uid(), rustix::process::geteuid().as_raw());
        prepare(&cache, owner).expect("prepared");
        let cargo = fs::symlink_metadata(shared(&cache).join("cargo")).expect("there");
        assert!(cargo.is_dir());
        assert_eq!(cargo.permissions().mode() & 0o777, 0o700);
        assert!(owner.is_none_or(|owner| cargo.uid() == owner));
    }

    #[test]
    fn a_cache_of_another_user_changes_hands_with_what_is_in_it() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let (cache, victim) = (folder.path().join("7"), folder.path().join("victim"));
        let (first, second) = (
            crate::sandbox::slots::FIRST_USER,
            crate::sandbox::slots::FIRST_USER + 1,
        );
        prepare(&cache, Some(first)).expect("prepared");
        fs::write(&victim, "x").expect("a file");
        let packages = shared(&cache).join("cargo/registry");
        fs::create_dir(&packages).expect("a folder");
        fs::write(packages.join("index"), "x").expect("a file");
        std::os::unix::fs::symlink(&victim, packages.join("link")).expect("a link");
        prepare(&cache, Some(second)).expect("prepared");
        assert_eq!(owner(&cache), Some(second));
        for name in ["index", "link"] {
            let metadata = fs::symlink_metadata(packages.join(name)).expect("kept");
            assert_eq!(metadata.uid(), second, "{name}");
        }
        assert_eq!(fs::metadata(&victim).expect("there").uid(), 0);
    }

    #[test]
    fn room_is_made_one_cache_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fill(root, 1, 10, 20);
        fill(root, 2, 10, 10);
        let caches = Caches::open(root.to_owned(), BOUNDS);
        caches.make_room(|| !root.join("1").exists());
        assert_eq!(names(root), ["2"]);
    }
}
