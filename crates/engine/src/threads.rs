//! Threads for host work that blocks, apart from the runtime's own, and shared out among applications.
//!
//! The runtime's blocking threads are few and serve files and whatever else a process does. A statement or a name
//! look-up occupies its thread for seconds when an application wants it to, so those run on sets of their own, and of
//! each set an application gets a few places: what it fills up is its own.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

/// How long a thread waits for more work before it ends.
const IDLE: Duration = Duration::from_secs(5);

/// A set of threads. They are started when there is work.
pub struct Threads {
    /// Only its blocking pool is used: a queue and threads that come and go. Taken when dropped.
    runtime: Option<Runtime>,
    count: usize,
}

impl Threads {
    /// At most `count` threads called `name`, `nice` steps behind the one that makes them when others want to run too.
    ///
    /// # Errors
    ///
    /// When the system has nothing to start threads with.
    pub fn new(name: &str, count: usize, nice: i32) -> io::Result<Self> {
        let count = count.max(1);
        let runtime = Builder::new_current_thread()
            .thread_name(name)
            .max_blocking_threads(count)
            .thread_keep_alive(IDLE)
            .on_thread_start(move || {
                // A system that does not allow it has all threads alike.
                let _ = rustix::process::nice(nice);
            })
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            count,
        })
    }

    /// A share for one application: `places` threads at a time.
    #[must_use]
    pub fn share(self: &Arc<Self>, places: usize) -> Share {
        Share {
            threads: Arc::clone(self),
            places: Arc::new(Semaphore::new(places.clamp(1, self.count))),
        }
    }

    fn handle(&self) -> &Handle {
        self.runtime
            .as_ref()
            .expect("only dropping takes the runtime")
            .handle()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: this may be a thread that must not block.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// What one application may use of a set of threads. Clones are the same share.
#[derive(Clone, Debug)]
pub struct Share {
    threads: Arc<Threads>,
    places: Arc<Semaphore>,
}

/// The work ended without a result: it panicked, or the process is ending.
#[derive(Debug, thiserror::Error)]
#[error("the work was not finished: {0}")]
pub struct Unfinished(String);

impl Share {
    /// Runs `job` once one of the share's places is free. A job that has begun goes on, in its place, when nobody
    /// waits for it any more.
    ///
    /// # Errors
    ///
    /// When the job panics or the process ends.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|closed| Unfinished(closed.to_string()))?;
        let running = self.threads.handle().spawn_blocking(move || {
            let result = job();
            drop(place);
            result
        });
        running.await.map_err(|error| Unfinished(error.to_string()))
    }

    /// Runs `job` without waiting for it, from anywhere, also from one of these threads. For cleaning up after a job: it
    /// takes no place, since the one who has to clean up may be the one whose jobs fill them.
    pub fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        drop(self.threads.handle().spawn_blocking(job));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn an_application_that_blocks_its_places_leaves_the_others_theirs() {
        let threads = Arc::new(Threads::new("test", 4, 0).expect("threads"));
        let (greedy, other) = (threads.share(2), threads.share(2));
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        let jobs: Vec<_> = (0..8)
            .map(|_| {
                let (greedy, blocked) = (greedy.clone(), Arc::clone(&blocked));
                tokio::spawn(async move {
                    greedy
                        .run(move || drop(blocked.lock().map(|blocked| blocked.recv())))
                        .await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(other.run(|| 1).await.expect("done"), 1);
        assert!(jobs.iter().all(|job| !job.is_finished()));
        drop(release);
        for job in jobs {
            job.await.expect("no panic").expect("done");
        }
    }

    #[tokio::test]
    async fn a_job_keeps_its_place_when_nobody_waits_for_it() {
        let share = Arc::new(Threads::new("test", 4, 0).expect("threads")).share(1);
        let (release, blocked) = mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let given_up = tokio::spawn({
            let share = share.clone();
            async move {
                share
                    .run(move || {
                        let _ = begun.send(());
                        let _ = blocked.recv();
                    })
                    .await
            }
        });
        begins.await.expect("it begins");
        given_up.abort();
        let mut next = tokio::spawn(async move { share.run(|| ()).await });
        let early = tokio::time::timeout(Duration::from_millis(100), &mut next).await;
        assert!(early.is_err(), "the place was free");
        drop(release);
        next.await.expect("no panic").expect("done");
    }
}
