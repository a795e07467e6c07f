//! What one application may use of its engine at once.
//!
//! It belongs to the application's id, not to one generation of it: what an older generation still does counts, so
//! putting a new one in place again and again gains nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::engine::EngineThreads;
use crate::host::sqlite::{Allowance, Heap};
use crate::options::EngineOptions;
use crate::threads;

/// One application's share of its engine.
#[derive(Debug)]
pub(crate) struct Share {
    /// For statements on its databases and key-value stores.
    pub(crate) databases: Allowance,
    /// For looking names up.
    pub(crate) names: threads::Share,
}

impl Share {
    fn new(options: &EngineOptions, threads: &EngineThreads, trusted: bool) -> Self {
        let places = |own: u32| if trusted { usize::MAX } else { own as usize };
        Self {
            databases: Allowance {
                threads: threads
                    .databases
                    .share(places(options.database_threads_per_app)),
                heap: if trusted {
                    Heap::unbounded()
                } else {
                    Heap::of(
                        usize::try_from(options.database_heap_bytes_per_app).unwrap_or(usize::MAX),
                    )
                },
            },
            names: threads.names.share(places(options.name_threads_per_app)),
        }
    }
}

/// The shares of the applications that are there.
#[derive(Default)]
pub(crate) struct Shares(Mutex<HashMap<String, Weak<Share>>>);

impl Shares {
    /// The share of the application `id`. One that is trusted may use all there is.
    pub(crate) fn of(
        &self,
        id: &str,
        trusted: bool,
        options: &EngineOptions,
        threads: &EngineThreads,
    ) -> Arc<Share> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(id).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Share::new(options, threads, trusted));
        shares.insert(id.to_owned(), Arc::downgrade(&share));
        share
    }
}
