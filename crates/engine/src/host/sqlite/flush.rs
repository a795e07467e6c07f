//! Getting commits to the disk, many at once.
//!
//! SQLite flushes its write-ahead log at every commit (`synchronous = FULL`), one commit after another. Here a
//! connection commits without that (`NORMAL`: the database stays whole whatever happens) and the guest is told once a
//! flush of the log that began after its commit has ended. While one flush runs other connections commit, and the next
//! flush is for all of them. What was acknowledged is on the disk as before. What is not yet acknowledged can be read
//! by other requests a moment before it is on the disk; what they write then is behind it in the log, and flushed with
//! it.
//!
//! Linux tells a write that failed behind a program's back once to each open file, and not at all to one that is opened
//! after somebody has heard of it. SQLite has files of its own, and flushes when it empties the log. So the log stays
//! open here for as long as its database is in use: what SQLite passes over in silence is heard all the same.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use thiserror::Error;
use tokio::sync::watch;

use crate::threads::Share;

/// Why commits are not known to be on the disk.
#[derive(Clone, Debug, Error)]
pub(super) enum Unflushed {
    /// The log could not be opened, for want of file handles. A later flush makes up for it.
    #[error("the write-ahead log cannot be opened")]
    Closed(#[source] Arc<io::Error>),
    /// The disk refused. The kernel may have forgotten what it could not write and say nothing of it at the next
    /// flush, so the log may have a gap that would swallow all that comes after it: nothing is committed any more.
    #[error("the disk did not take the write-ahead log: no changes until a restart")]
    Broken(#[source] Arc<io::Error>),
    /// The process ends.
    #[error("the write-ahead log was not flushed before the end")]
    Ended,
}

/// The flushes of one database.
pub(super) struct Flusher {
    log: Box<dyn Log>,
    state: Mutex<State>,
}

/// What is flushed.
pub(super) trait Log: Send + Sync {
    /// Gets to the disk what was written before.
    fn flush(&self) -> Result<(), Unflushed>;

    /// Lets go of the file, with a last flush of what it was open for.
    fn close(&self) -> Result<(), Unflushed> {
        Ok(())
    }
}

impl<F: Fn() -> Result<(), Unflushed> + Send + Sync> Log for F {
    fn flush(&self) -> Result<(), Unflushed> {
        self()
    }
}

/// The write-ahead log of a database.
struct LogFile {
    path: PathBuf,
    open: Mutex<Option<File>>,
}

impl LogFile {
    fn of(database: &Path) -> Self {
        let mut path = database.to_owned().into_os_string();
        path.push("-wal");
        Self {
            path: path.into(),
            open: Mutex::default(),
        }
    }

    fn open(&self) -> MutexGuard<'_, Option<File>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `file` is the one that is there now: the log is deleted when nobody has the database open.
    fn is_current(&self, file: &File) -> io::Result<bool> {
        let (now, open) = (std::fs::metadata(&self.path)?, file.metadata()?);
        Ok((now.dev(), now.ino()) == (open.dev(), open.ino()))
    }
}

impl Log for LogFile {
    fn flush(&self) -> Result<(), Unflushed> {
        nokube_faults::crash_point("sqlite.before_flush");
        let mut open = self.open();
        let is_current = open
            .as_ref()
            .map_or(Ok(false), |file| self.is_current(file));
        if !matches!(is_current, Ok(true)) {
            *open = match File::open(&self.path) {
                Ok(file) => Some(file),
                // Not in write-ahead mode: SQLite has flushed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(Unflushed::Closed(Arc::new(error))),
            };
        }
        open.as_ref().map_or(Ok(()), sync)
    }

    fn close(&self) -> Result<(), Unflushed> {
        // A log that is deleted while it is open here would take its room on the disk until then.
        self.open().take().as_ref().map_or(Ok(()), sync)
    }
}

fn sync(log: &File) -> Result<(), Unflushed> {
    // A change of the file's times alone is not waited for. Closing the file does not release locks of SQLite's: it has
    // none on the log.
    log.sync_data()
        .map_err(|error| Unflushed::Broken(Arc::new(error)))
}

#[derive(Default)]
struct State {
    /// Commits that the flush which runs may have missed.
    next: Option<Batch>,
    running: bool,
    broken: Option<Unflushed>,
}

impl State {
    fn refuse(&mut self, of: &Arc<Flusher>, reason: Unflushed) {
        if self.broken.replace(reason).is_none() {
            // Known until the process ends, also when nobody has the file open.
            std::mem::forget(Arc::clone(of));
        }
    }
}

/// Commits that one flush is for; says how it ended.
type Batch = watch::Sender<Option<Result<(), Unflushed>>>;

/// The end of the flush that a commit needs.
pub(super) struct Flushed(watch::Receiver<Option<Result<(), Unflushed>>>);

/// Those of every file that is open. An application that is loaded anew, and two revisions of one that run side by
/// side, share their file's: a disk that refused one of them has refused all.
static OF_FILES: LazyLock<Mutex<HashMap<PathBuf, Weak<Flusher>>>> = LazyLock::new(Mutex::default);

impl Flusher {
    /// Of the database in the file `path`, whoever else has it open.
    pub(super) fn of(path: &Path) -> Arc<Self> {
        Self::shared(path, || Self::new(LogFile::of(path)))
    }

    /// The one of `path`, made if nobody has the file open.
    pub(super) fn shared(path: &Path, make: impl FnOnce() -> Self) -> Arc<Self> {
        let mut all = OF_FILES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flusher) = all.get(path).and_then(Weak::upgrade) {
            return flusher;
        }
        all.retain(|_, flusher| flusher.strong_count() > 0);
        let flusher = Arc::new(make());
        all.insert(path.to_owned(), Arc::downgrade(&flusher));
        flusher
    }

    pub(super) fn new(log: impl Log + 'static) -> Self {
        Self {
            log: Box::new(log),
            state: Mutex::default(),
        }
    }

    /// Lets go of the log when nobody but the caller has the database open.
    pub(super) fn rest(self: &Arc<Self>) {
        if Arc::strong_count(self) == 1
            && let Err(broken) = self.log.close()
        {
            self.refuse(broken);
        }
    }

    /// From now on nothing is committed.
    pub(super) fn refuse(self: &Arc<Self>, reason: Unflushed) {
        self.lock().refuse(self, reason);
    }

    /// Whether nothing may be committed any more.
    pub(super) fn is_broken(&self) -> bool {
        self.lock().broken.is_some()
    }

    /// Called after a commit, on a thread that may block: flushes, or joins those whom the next flush is for. Flushes
    /// at most once; when others have joined meanwhile, theirs is for another of `threads`.
    pub(super) fn commit(self: &Arc<Self>, threads: &Share) -> Flushed {
        let (batch, flushed) = {
            let mut state = self.lock();
            if let Some(broken) = &state.broken {
                return Flushed(watch::channel(Some(Err(broken.clone()))).1);
            }
            let batch = state.next.take().unwrap_or_else(|| Batch::new(None));
            let flushed = Flushed(batch.subscribe());
            if state.running {
                state.next = Some(batch);
                return flushed;
            }
            state.running = true;
            (batch, flushed)
        };
        self.run(batch, threads);
        flushed
    }

    /// Commits that wait for the next flush.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().next.as_ref().map_or(0, Batch::receiver_count)
    }

    fn run(self: &Arc<Self>, batch: Batch, threads: &Share) {
        let outcome = self.log.flush();
        let next = {
            let mut state = self.lock();
            let next = state.next.take();
            if let Err(broken @ Unflushed::Broken(_)) = &outcome {
                state.refuse(self, broken.clone());
                if let Some(next) = &next {
                    next.send_replace(Some(outcome.clone()));
                }
            }
            let next = next.filter(|_| state.broken.is_none());
            state.running = next.is_some();
            next
        };
        batch.send_replace(Some(outcome));
        if let Some(next) = next {
            let (this, on) = (Arc::clone(self), threads.clone());
            threads.spawn(move || this.run(next, &on));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flushed {
    /// Waits for it.
    pub(super) async fn wait(mut self) -> Result<(), Unflushed> {
        match self.0.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            Ok(None) | Err(_) => Err(Unflushed::Ended),
        }
    }
}

impl std::fmt::Debug for Flusher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flusher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::threads::Threads;

    /// A flusher whose flushes end when they are let, and how they are told.
    struct ByHand {
        flusher: Arc<Flusher>,
        threads: Share,
        end: mpsc::Sender<Ending>,
        begun: Arc<AtomicUsize>,
    }

    enum Ending {
        Well,
        Closed,
        Broken,
    }

    fn by_hand() -> ByHand {
        let (end, ends) = mpsc::channel::<Ending>();
        let (ends, begun) = (Mutex::new(ends), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&begun);
        let flusher = Flusher::new(move || {
            count.fetch_add(1, Ordering::AcqRel);
            let error = || Arc::new(io::Error::other("for a test"));
            match ends.lock().unwrap().recv().unwrap() {
                Ending::Well => Ok(()),
                Ending::Closed => Err(Unflushed::Closed(error())),
                Ending::Broken => Err(Unflushed::Broken(error())),
            }
        });
        ByHand {
            flusher: Arc::new(flusher),
            threads: Arc::new(Threads::new("test", 4, 0).unwrap()).share(4),
            end,
            begun,
        }
    }

    impl ByHand {
        /// A commit that flushes by itself. Returns when that flush has begun.
        async fn first(&self) -> tokio::task::JoinHandle<Flushed> {
            let (flusher, threads) = (Arc::clone(&self.flusher), self.threads.clone());
            let before = self.begun.load(Ordering::Acquire);
            let flushed = tokio::task::spawn_blocking(move || flusher.commit(&threads));
            while self.begun.load(Ordering::Acquire) == before && !flushed.is_finished() {
                tokio::task::yield_now().await;
            }
            flushed
        }

        /// A commit while a flush runs.
        fn join(&self) -> Flushed {
            self.flusher.commit(&self.threads)
        }

        fn end(&self, ending: Ending) {
            self.end.send(ending).unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_committed_during_a_flush_shares_the_next_one() {
        let flusher = by_hand();
        let first = flusher.first().await;
        let others = [(); 5].map(|()| flusher.join());
        flusher.end(Ending::Well);
        first.await.unwrap().wait().await.unwrap();
        assert!(
            others.iter().all(|other| other.0.borrow().is_none()),
            "a flush that began before them is not theirs"
        );
        flusher.end(Ending::Well);
        for other in others {
            other.wait().await.unwrap();
        }
        assert_eq!(flusher.begun.load(Ordering::Acquire), 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_log_that_could_not_be_opened_fails_those_it_was_opened_for_and_no_others() {
        let flusher = by_hand();
        let first = flusher.first().await;
        let second = flusher.join();
        flusher.end(Ending::Closed);
        flusher.end(Ending::Well);
        let outcome = first.await.unwrap().wait().await;
        assert!(matches!(outcome, Err(Unflushed::Closed(_))), "{outcome:?}");
        second.wait().await.unwrap();
        let third = flusher.first().await;
        flusher.end(Ending::Well);
        third.await.unwrap().wait().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn after_a_checkpoint_that_the_disk_refused_nothing_is_acknowledged() {
        let flusher = by_hand();
        let error = Arc::new(io::Error::other("for a test"));
        flusher.flusher.refuse(Unflushed::Broken(error));
        assert!(flusher.flusher.is_broken());
        let outcome = flusher.join().wait().await;
        assert!(matches!(outcome, Err(Unflushed::Broken(_))), "{outcome:?}");
        assert_eq!(flusher.begun.load(Ordering::Acquire), 0);
    }

    #[test]
    fn the_log_stays_open_until_the_database_is_closed_or_has_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db-wal");
        let log = LogFile::of(&folder.path().join("app.db"));
        let open = || {
            let open = log.open();
            open.as_ref().map(|file| file.metadata().unwrap().ino())
        };
        let there = || std::fs::metadata(&path).unwrap().ino();
        log.flush().unwrap();
        assert_eq!(open(), None, "there is no log yet");
        std::fs::write(&path, "one").unwrap();
        log.flush().unwrap();
        assert_eq!(open(), Some(there()));
        // Beside the one that is open, so that it is another file.
        let next = folder.path().join("next");
        std::fs::write(&next, "two").unwrap();
        std::fs::rename(&next, &path).unwrap();
        assert_ne!(open(), Some(there()));
        log.flush().unwrap();
        assert_eq!(open(), Some(there()));
        log.close().unwrap();
        assert_eq!(open(), None);
    }

    #[test]
    fn what_the_kernel_says_of_a_flush_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::of(&folder.path().join("app.db"));
        // A device that takes whatever is written, and refuses to be flushed: EINVAL, fsync(2).
        std::os::unix::fs::symlink("/dev/null", folder.path().join("app.db-wal")).unwrap();
        for outcome in [log.flush(), log.flush(), log.close()] {
            let Err(Unflushed::Broken(error)) = outcome else {
                panic!("nobody asked the kernel: {outcome:?}");
            };
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn after_a_flush_that_the_disk_refused_nothing_is_acknowledged() {
        let flusher = by_hand();
        let first = flusher.first().await;
        let during = flusher.join();
        flusher.end(Ending::Broken);
        let later = flusher.first();
        for flushed in [first.await.unwrap(), during, later.await.await.unwrap()] {
            let outcome = flushed.wait().await;
            assert!(matches!(outcome, Err(Unflushed::Broken(_))), "{outcome:?}");
        }
        assert!(flusher.flusher.is_broken());
        let begun = flusher.begun.load(Ordering::Acquire);
        assert_eq!(begun, 1, "it is not tried again");
    }
}
