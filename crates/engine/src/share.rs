//! What one application may use of its engine at once.
//!
//! It belongs to the application's id, not to one generation of it: what an older generation still does counts, so
//! putting a new one in place again and again gains nothing.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::config::{AppConfig, ShareLimits};
use crate::engine::Engine;
use crate::host::outbound_http;
use crate::host::sqlite::{Allowance, Heap};
use crate::pot::Pot;

/// More than an idle instance takes to go.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// One application's share of its engine.
#[derive(Debug)]
pub(crate) struct Share {
    limits: ShareLimits,
    most_instances: u32,
    instances: Arc<Semaphore>,
    /// Told once for each instance that idles and should rather make room for another.
    pub(crate) wanted: Arc<Notify>,
    /// Linear memory of its instances.
    pub(crate) memory: Arc<Pot>,
    /// For statements on its databases and key-value stores.
    pub(crate) databases: Allowance,
    /// For its outgoing requests.
    pub(crate) outbound: outbound_http::Allowance,
}

impl Share {
    /// One that is trusted may use all there is.
    fn new(config: &AppConfig, engine: &Engine) -> Self {
        let ShareLimits {
            instances,
            memory_bytes,
        } = config.share;
        let (options, threads) = (engine.options(), engine.threads());
        let total = engine.memory().limit();
        let most_instances = if config.trusted {
            options.max_instances
        } else {
            instances.clamp(1, options.max_instances)
        };
        let memory = if config.trusted {
            total
        } else {
            memory_bytes.min(total / 2)
        };
        let heap_bytes = usize::try_from(options.database_heap_bytes_per_app);
        let places = |own: u32| {
            if config.trusted {
                usize::MAX
            } else {
                own as usize
            }
        };
        Self {
            limits: config.share.clone(),
            most_instances,
            instances: Arc::new(Semaphore::new(most_instances as usize)),
            wanted: Arc::default(),
            memory: Arc::new(Pot::new(memory, Some(Arc::clone(engine.memory())))),
            databases: Allowance {
                threads: threads
                    .databases
                    .share(places(options.database_threads_per_app)),
                heap: if config.trusted {
                    Heap::unbounded()
                } else {
                    Heap::of(heap_bytes.unwrap_or(usize::MAX))
                },
            },
            outbound: outbound_http::Allowance {
                names: threads.names.share(places(options.name_threads_per_app)),
                connections: if config.trusted {
                    vec![Arc::clone(engine.connections())]
                } else {
                    let own = Semaphore::new(options.connections_per_app as usize);
                    vec![Arc::new(own), Arc::clone(engine.connections())]
                },
            },
        }
    }

    /// How many instances it may have.
    pub(crate) fn most_instances(&self) -> u32 {
        self.most_instances
    }

    /// Places for an instance. Those that idle, of other components mostly, are kept for speed alone: while it waits one
    /// after the other is asked to go.
    pub(crate) async fn places(&self, count: u32) -> Option<OwnedSemaphorePermit> {
        let own = || Arc::clone(&self.instances);
        if let Ok(places) = own().try_acquire_many_owned(count) {
            return Some(places);
        }
        let mut places = pin!(own().acquire_many_owned(count));
        loop {
            self.wanted.notify_one();
            if let Ok(places) = tokio::time::timeout(ASK_AGAIN, places.as_mut()).await {
                return places.ok();
            }
        }
    }
}

/// The shares of the applications that are there.
#[derive(Default)]
pub(crate) struct Shares(Mutex<HashMap<String, Weak<Share>>>);

impl Shares {
    /// The share of an application: the one that its other generations have, unless their limits were others.
    pub(crate) fn of(&self, config: &AppConfig, engine: &Engine) -> Arc<Share> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&config.id).and_then(Weak::upgrade)
            && share.limits == config.share
        {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Share::new(config, engine));
        shares.insert(config.id.clone(), Arc::downgrade(&share));
        share
    }
}
