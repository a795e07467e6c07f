//! What one application may use of its engine at once, and all applications of one owner together.
//!
//! It belongs to the application's id, not to one generation of it: what an older generation still does counts, so
//! putting a new one in place again and again gains nothing. An owner gets half of what there is: four greedy
//! applications of one user leave the other half to everybody else.
//!
//! Two such owners have all of it between them, and whoever may register can be two. Of the instances an eighth is kept
//! for the first [`FIRST`] of each owner. Nothing is kept of memory and connections: who finds none is answered 503 with
//! `Retry-After`, or the guest is told, until a wall limit ends what the two have started. What an operator can do about
//! it is to close registration.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::config::{AppConfig, ShareLimits};
use crate::engine::Engine;
use crate::host::outbound_http;
use crate::host::sqlite::{Allowance, Heap, Space};
use crate::pot::Pot;

/// More than an idle instance takes to go.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Instances of an owner that may take what is kept: the one that is asked, and one that it asks.
const FIRST: usize = 2;

/// How many of an engine's instances are for whoever comes first; the others are kept for those who have few.
pub(crate) fn common_places(instances: u32) -> usize {
    (instances - instances / 8) as usize
}

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
    /// Places to compute for long, each of which takes one of all these: the application's own, its owner's, all
    /// applications'. Each has as many as there are, so that who is alone gets all of them; and since nobody has more
    /// than that among those who wait for the last, they are taken in turns by owners, and by the applications of one.
    pub(crate) heavy: Arc<[Arc<Semaphore>]>,
    /// For statements on its databases and key-value stores.
    pub(crate) databases: Allowance,
    /// For its outgoing requests.
    pub(crate) outbound: outbound_http::Allowance,
    /// The name of whose it is, and their share.
    owner: Option<(String, Arc<OwnersShare>)>,
}

/// What all applications of one owner may use.
#[derive(Debug)]
struct OwnersShare {
    most_instances: u32,
    instances: Arc<Semaphore>,
    /// Each instance has its place here or in `common`.
    first: Arc<Semaphore>,
    /// Of all owners.
    common: Arc<Semaphore>,
    memory: Arc<Pot>,
    heavy: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// Applications whose idle instances may be asked to go.
    members: Mutex<Vec<Weak<Notify>>>,
}

impl OwnersShare {
    fn new(engine: &Engine) -> Self {
        let options = engine.options();
        let half = |all: u32| (all / 2).max(1);
        let places = |count: u32| Arc::new(Semaphore::new(count as usize));
        let most_instances = half(options.max_instances);
        let memory = engine.memory();
        Self {
            most_instances,
            instances: places(most_instances),
            first: Arc::new(Semaphore::new(FIRST)),
            common: Arc::clone(engine.common()),
            memory: Arc::new(Pot::new(memory.limit() / 2, Some(Arc::clone(memory)))),
            heavy: heavy_places(engine),
            connections: places(half(options.connections)),
            members: Mutex::default(),
        }
    }

    fn add(&self, member: &Arc<Notify>) {
        let mut members = self.members();
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(member));
    }

    /// Places among its own instances, and among all owners'.
    async fn places(&self, count: u32) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = taken(&self.instances, count, || self.ask_for_room()).await?;
        let at_once = [&self.first, &self.common]
            .into_iter()
            .find_map(|places| Arc::clone(places).try_acquire_many_owned(count).ok());
        let of_all = match at_once {
            Some(place) => place,
            // An instance that takes more places than the first have waits for the others alone.
            None => tokio::select! {
                place = taken(&self.first, count, || self.ask_for_room()) => place?,
                place = Arc::clone(&self.common).acquire_many_owned(count) => place.ok()?,
            },
        };
        Some([own, of_all])
    }

    fn ask_for_room(&self) {
        for member in self.members().iter().filter_map(Weak::upgrade) {
            member.notify_one();
        }
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Notify>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn heavy_places(engine: &Engine) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(engine.options().heavy_slots.max(1) as usize))
}

/// An instance's places, held for as long as its store is there.
#[derive(Debug)]
pub(crate) struct Places {
    _of_app: OwnedSemaphorePermit,
    _of_owner: Option<[OwnedSemaphorePermit; 2]>,
}

impl Share {
    /// One that is trusted may use all there is.
    fn trusted(config: &AppConfig, engine: &Engine) -> Self {
        let (options, threads) = (engine.options(), engine.threads());
        let memory = engine.memory();
        Self {
            limits: config.share.clone(),
            most_instances: options.max_instances,
            instances: Arc::new(Semaphore::new(options.max_instances as usize)),
            wanted: Arc::default(),
            memory: Arc::new(Pot::new(memory.limit(), Some(Arc::clone(memory)))),
            heavy: Arc::new([Arc::clone(engine.heavy())]),
            databases: Allowance {
                threads: threads.databases.share(usize::MAX),
                heap: Heap::unbounded(),
                space: None,
            },
            outbound: outbound_http::Allowance {
                names: threads.names.share(usize::MAX),
                connections: vec![Arc::clone(engine.connections())],
            },
            owner: None,
        }
    }

    fn tenants(config: &AppConfig, engine: &Engine, owner: Option<Arc<OwnersShare>>) -> Self {
        let limits = config.share.clone();
        let (options, threads) = (engine.options(), engine.threads());
        let of_owner = owner.as_deref();
        let all_instances = of_owner.map_or(options.max_instances, |owner| owner.most_instances);
        let most_instances = limits.instances.clamp(1, all_instances);
        let memory = of_owner.map_or(engine.memory(), |owner| &owner.memory);
        let most_memory = limits.memory_bytes.min(engine.memory().limit() / 2);
        let heap_bytes = usize::try_from(options.database_heap_bytes_per_app);
        let own_connections = Arc::new(Semaphore::new(options.connections_per_app as usize));
        let shared = |own, owners: Option<&Arc<Semaphore>>, all: &Arc<Semaphore>| {
            let owners = owners.map(Arc::clone);
            [Some(own), owners, Some(Arc::clone(all))]
                .into_iter()
                .flatten()
        };
        let wanted = Arc::default();
        if let Some(owner) = of_owner {
            owner.add(&wanted);
        }
        Self {
            most_instances,
            instances: Arc::new(Semaphore::new(most_instances as usize)),
            wanted,
            memory: Arc::new(Pot::new(most_memory, Some(Arc::clone(memory)))),
            heavy: shared(
                heavy_places(engine),
                of_owner.map(|owner| &owner.heavy),
                engine.heavy(),
            )
            .collect(),
            databases: Allowance {
                threads: threads
                    .databases
                    .share(options.database_threads_per_app as usize),
                heap: Heap::of(heap_bytes.unwrap_or(usize::MAX)),
                space: Some(Arc::new(Space::of(
                    limits.disk_bytes,
                    options.disk_reserve_bytes,
                ))),
            },
            outbound: outbound_http::Allowance {
                names: threads.names.share(options.name_threads_per_app as usize),
                connections: shared(
                    own_connections,
                    of_owner.map(|owner| &owner.connections),
                    engine.connections(),
                )
                .collect(),
            },
            limits,
            owner: owner.map(|share| (config.owner.clone(), share)),
        }
    }

    /// How many instances it may have.
    pub(crate) fn most_instances(&self) -> u32 {
        self.most_instances
    }

    /// Places for an instance. Those that idle, of other components mostly, are kept for speed alone: while it waits one
    /// after the other is asked to go.
    pub(crate) async fn places(&self, count: u32) -> Option<Places> {
        let of_app = taken(&self.instances, count, || self.ask_for_room()).await?;
        let of_owner = match &self.owner {
            Some((_, owner)) => Some(owner.places(count).await?),
            None => None,
        };
        Some(Places {
            _of_app: of_app,
            _of_owner: of_owner,
        })
    }

    /// Asks an instance that idles to go.
    pub(crate) fn ask_for_room(&self) {
        self.wanted.notify_one();
    }

    fn is_owners(&self, name: &str) -> bool {
        self.owner.as_ref().map_or("", |(owner, _)| owner) == name
    }
}

async fn taken(
    places: &Arc<Semaphore>,
    count: u32,
    ask_for_room: impl Fn(),
) -> Option<OwnedSemaphorePermit> {
    if let Ok(places) = Arc::clone(places).try_acquire_many_owned(count) {
        return Some(places);
    }
    let mut places = pin!(Arc::clone(places).acquire_many_owned(count));
    loop {
        ask_for_room();
        if let Ok(places) = tokio::time::timeout(ASK_AGAIN, places.as_mut()).await {
            return places.ok();
        }
    }
}

/// The shares of the applications that are there, and of their owners.
#[derive(Default)]
pub(crate) struct Shares(Mutex<Known>);

#[derive(Default)]
struct Known {
    apps: HashMap<String, Weak<Share>>,
    owners: HashMap<String, Weak<OwnersShare>>,
}

impl Shares {
    /// The share of an application: the one that its other generations have, unless their limits were others.
    pub(crate) fn of(&self, config: &AppConfig, engine: &Engine) -> Arc<Share> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = known.apps.get(&config.id).and_then(Weak::upgrade)
            && share.limits == config.share
            && (config.trusted || share.is_owners(&config.owner))
        {
            return share;
        }
        known.apps.retain(|_, share| share.strong_count() > 0);
        known.owners.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(if config.trusted {
            Share::trusted(config, engine)
        } else {
            let owner = (!config.owner.is_empty()).then(|| known.owner(&config.owner, engine));
            Share::tenants(config, engine, owner)
        });
        known.apps.insert(config.id.clone(), Arc::downgrade(&share));
        share
    }
}

impl Known {
    fn owner(&mut self, name: &str, engine: &Engine) -> Arc<OwnersShare> {
        if let Some(share) = self.owners.get(name).and_then(Weak::upgrade) {
            return share;
        }
        let share = Arc::new(OwnersShare::new(engine));
        self.owners.insert(name.to_owned(), Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;
    use wasmtime::UpdateDeadline;

    use super::*;
    use crate::meter::Meter;
    use crate::options::EngineOptions;

    const TURNS: usize = 100;

    fn share_of(engine: &Engine, shares: &Shares, id: &str, owner: &str) -> Arc<Share> {
        let config = json!({
            "id": id, "owner": owner, "components": {}, "log_dir": "",
            "locked": { "spin_lock_version": 1, "metadata": { "name": id }, "triggers": [], "components": [] },
        });
        let config: AppConfig = serde_json::from_value(config).unwrap();
        shares.of(&config, engine)
    }

    /// Computes without end, and counts its turns.
    async fn compute(share: Arc<Share>, turns: Arc<AtomicUsize>) {
        let mut meter = Meter::new(0, u64::MAX, 1, Arc::clone(&share.heavy));
        loop {
            let Ok(UpdateDeadline::YieldCustom(_, make_way)) = meter.tick() else {
                panic!("it makes way at each tick");
            };
            make_way.await;
            turns.fetch_add(1, Ordering::Relaxed);
            // All others get to where they wait for the place that this one has.
            tokio::task::yield_now().await;
        }
    }

    /// Turns of all `greedy` ones while a single one of another owner had a hundred, on one place.
    async fn turns_of(greedy: &[Arc<Share>], modest: Arc<Share>) -> usize {
        let (theirs, its) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for share in greedy {
            tasks.spawn(compute(Arc::clone(share), Arc::clone(&theirs)));
        }
        while theirs.load(Ordering::Relaxed) < TURNS {
            tokio::task::yield_now().await;
        }
        let before = theirs.load(Ordering::Relaxed);
        tasks.spawn(compute(modest, Arc::clone(&its)));
        while its.load(Ordering::Relaxed) < TURNS {
            tokio::task::yield_now().await;
        }
        theirs.load(Ordering::Relaxed) - before
    }

    #[tokio::test]
    async fn who_computes_for_long_takes_turns_by_applications_and_owners_and_not_by_requests() {
        let options = EngineOptions {
            heavy_slots: 1,
            ..EngineOptions::tenants()
        };
        let engine = Engine::new(options).unwrap();
        let shares = Shares::default();
        let app = |id: &str, owner: &str| share_of(&engine, &shares, id, owner);
        let of_one = app("greedy-0", "greedy");
        let many = [&of_one; 12].map(Arc::clone);
        let fair = TURNS..TURNS + 3;
        let turns = turns_of(&many, app("modest", "modest")).await;
        assert!(fair.contains(&turns), "{turns} of many requests");
        let turns = turns_of(&many, app("greedy-1", "greedy")).await;
        assert!(fair.contains(&turns), "{turns} beside an owner's other one");
        let many: Vec<_> = (0..12)
            .map(|number| app(&format!("greedy-{number}"), "greedy"))
            .collect();
        let turns = turns_of(&many, app("modest", "modest")).await;
        assert!(fair.contains(&turns), "{turns} of many applications");
    }
}
