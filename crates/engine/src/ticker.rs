//! The epoch clock: a thread that ticks while requests are being served and sleeps while none are.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Makes an engine's epoch advance. Dropping the last handle ends the thread.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

struct Shared {
    busy: AtomicUsize,
    ended: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Ticker {
    pub(crate) fn start(engine: wasmtime::Engine, tick: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            busy: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let ours = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || {
                while !ours.ended.load(Ordering::Acquire) {
                    if ours.busy.load(Ordering::Acquire) == 0 {
                        let guard = ours.lock.lock().unwrap_or_else(PoisonError::into_inner);
                        // Asked again under the lock: `busy` notifies under it, so no wake-up is lost.
                        if ours.busy.load(Ordering::Acquire) == 0
                            && !ours.ended.load(Ordering::Acquire)
                        {
                            drop(
                                ours.wake
                                    .wait(guard)
                                    .unwrap_or_else(PoisonError::into_inner),
                            );
                        }
                        continue;
                    }
                    std::thread::sleep(tick);
                    engine.increment_epoch();
                }
            })?;
        Ok(Self { shared })
    }

    /// Ticks at least until the guard is dropped.
    pub(crate) fn busy(&self) -> Busy {
        if self.shared.busy.fetch_add(1, Ordering::AcqRel) == 0 {
            let _guard = self
                .shared
                .lock
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            self.shared.wake.notify_all();
        }
        Busy(Arc::clone(&self.shared))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        let _guard = self
            .shared
            .lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.shared.wake.notify_all();
    }
}

/// Something runs that epochs are needed for.
pub(crate) struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}
