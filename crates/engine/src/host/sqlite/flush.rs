//! Getting commits to the disk, many at once.
//!
//! SQLite flushes its write-ahead log at every commit (`synchronous = FULL`), one commit after another. Here a
//! connection commits without that (`NORMAL`: the database stays whole whatever happens) and the guest is told once a
//! flush of the log that began after its commit has ended. While one flush runs other connections commit, and the next
//! flush is for all of them. What was acknowledged is on the disk as before. What is not yet acknowledged can be read
//! by other requests a moment before it is on the disk; what they write then is behind it in the log, and flushed with
//! it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
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
    flush: Box<dyn Fn() -> Result<(), Unflushed> + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Commits that the flush which runs may have missed.
    next: Option<Batch>,
    running: bool,
    broken: Option<Unflushed>,
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
        Self::shared(path, || Self::of_file(path))
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

    fn of_file(path: &Path) -> Self {
        let mut log = path.to_owned().into_os_string();
        log.push("-wal");
        let log = PathBuf::from(log);
        Self::new(move || {
            nokube_faults::crash_point("sqlite.before_flush");
            let file = match File::open(&log) {
                Ok(file) => file,
                // Not in write-ahead mode: SQLite has flushed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(Unflushed::Closed(Arc::new(error))),
            };
            // A change of the file's times alone is not waited for. Closing the file does not release locks of
            // SQLite's: it has none on the log.
            file.sync_data()
                .map_err(|error| Unflushed::Broken(Arc::new(error)))
        })
    }

    pub(super) fn new(flush: impl Fn() -> Result<(), Unflushed> + Send + Sync + 'static) -> Self {
        Self {
            flush: Box::new(flush),
            state: Mutex::default(),
        }
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
        let outcome = (self.flush)();
        let next = {
            let mut state = self.lock();
            let next = state.next.take();
            if let Err(broken @ Unflushed::Broken(_)) = &outcome {
                state.broken = Some(broken.clone());
                // Known until the process ends, also when nobody has the file open.
                std::mem::forget(Arc::clone(self));
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
