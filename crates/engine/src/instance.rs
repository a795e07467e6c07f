//! One instance of a component: its store's data, and its life from instantiation to drop, as wasmtime's
//! dispatcher asks for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Sleep;
use wasmtime::component::{GuestTaskId, Linker, ResourceTable, ResourceTableError};
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::component::ComponentShared;
use crate::failure::Failure;
use crate::host::key_value::{self, KeyValueState};
use crate::host::outbound_http::{Origin, OutboundHttpState};
use crate::host::sqlite::{self, SqliteState};
use crate::host::variables::{self, VariablesState};
use crate::host_limits::HostLimits;
use crate::logs::{GuestPipe, Stream};
use crate::meter::{Bounds, Meter, Turn};
use crate::request::RequestState;
use crate::running::Running;
use crate::share::Places;
use crate::within::within;

/// What a store holds.
pub(crate) struct InstanceState {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: OutboundHttpState,
    sqlite: SqliteState,
    key_value: KeyValueState,
    variables: VariablesState,
    bounds: Bounds,
    meter: Meter,
}

/// Places among the application's instances, its owner's and the engine's. They are free again only when the store is
/// gone: a store drops its data first and then what it has of the pool.
struct Slot {
    _of_share: Places,
    _of_engine: OwnedSemaphorePermit,
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for InstanceState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.outbound,
        }
    }
}

/// Everything a component may import: WASI 0.2 and 0.3, HTTP, and Spin's interfaces. What a manifest does not grant is
/// refused when it is used, as Spin does.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<InstanceState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    sqlite::add_to_linker(&mut linker, |state: &mut InstanceState| &mut state.sqlite)?;
    key_value::add_to_linker(&mut linker, |state: &mut InstanceState| {
        &mut state.key_value
    })?;
    variables::add_to_linker(&mut linker, |state: &mut InstanceState| {
        &mut state.variables
    })?;
    Ok(linker)
}

/// How long an instance may wait for a slot of the engine before its request is turned away.
const SLOT_PATIENCE: Duration = Duration::from_secs(2);

/// Between two attempts to start an instance that others have left no memory for. More than one that idles takes to go.
const MEMORY_PAUSE: Duration = Duration::from_millis(20);

/// A linear memory never shrinks: an instance that grew by more than this since it was made (a password's hash takes
/// 19 MiB) does not rest for longer than [`GROWN_IDLE`]. A new one costs a fraction of a millisecond.
const MOST_GROWTH_KEPT_BYTES: usize = 8 << 20;

/// Long enough to serve one request after another with the memory there is.
const GROWN_IDLE: Duration = Duration::from_secs(1);

/// No slot of the engine became free in time.
#[derive(Debug, thiserror::Error)]
#[error("the engine has no free instance")]
pub(crate) struct NoSlot;

/// Others have the memory that the instance begins with.
#[derive(Debug, thiserror::Error)]
#[error("there is no memory for another instance")]
struct NoMemory;

/// Starting took longer than a request may take.
#[derive(Debug, thiserror::Error)]
#[error("the instance did not start within {0:?}")]
pub(crate) struct SlowStart(Duration);

/// What the dispatcher asks for new instances.
pub(crate) struct Starter(pub(crate) Arc<ComponentShared>);

impl HandlerState for Starter {
    type StoreData = InstanceState;
    type WorkerExpiration = Expiration;
    type WorkerState = Work;

    async fn instantiate(&self) -> wasmtime::Result<Instance<InstanceState, Expiration, Work>> {
        let mut until = None;
        loop {
            match self.start().await {
                Err(error) if error.downcast_ref::<NoMemory>().is_some() => {
                    let until = *until.get_or_insert_with(|| Instant::now() + SLOT_PATIENCE);
                    if Instant::now() >= until {
                        return Err(wasmtime::Error::new(NoSlot));
                    }
                    // One that idles has memory that this one needs.
                    self.0.share.ask_for_room();
                    tokio::time::sleep(MEMORY_PAUSE).await;
                }
                started => return started,
            }
        }
    }
}

impl Starter {
    /// One attempt.
    async fn start(&self) -> wasmtime::Result<Instance<InstanceState, Expiration, Work>> {
        let component = &self.0;
        let Some(pre) = component.pre.get() else {
            wasmtime::bail!("the component {} has not been opened", component.id);
        };
        // Declared before the store, so that it is dropped after it.
        let slot = match within(SLOT_PATIENCE, component.slot(pre.slots)).await {
            Ok(Some(slot)) => slot,
            _ => return Err(wasmtime::Error::new(NoSlot)),
        };
        let returns_at_the_end = matches!(pre.proxy, ProxyPre::P2(_));
        let at_once = if returns_at_the_end {
            1
        } else {
            component.concurrent
        };
        let running = Arc::new(Running::default());
        let pipe = |stream| {
            let (log, id) = (Arc::clone(&component.log), Arc::clone(&component.id));
            GuestPipe::new(log, id, stream, Arc::clone(&running))
        };
        let pipes = [pipe(Stream::Stdout), pipe(Stream::Stderr)];
        let state = component.instance_state(&pipes, at_once)?;
        let turn = Arc::clone(&state.meter.turn);
        let memory = state.bounds.memory_seen();
        let mut store = Store::new(component.engine.wasmtime(), state);
        bound_store(&mut store, &component.limits.host);
        store.limiter(|state| &mut state.bounds);
        store.epoch_deadline_callback(on_tick);
        store.set_epoch_deadline(1);
        let limit = component.wall;
        // Initialisers are guest code too.
        let start = pre.proxy.instantiate_async(&mut store);
        let proxy = match within(limit, start).await {
            Ok(Ok(proxy)) => proxy,
            Ok(Err(_)) if store.data().bounds.is_crowded_out() => {
                return Err(wasmtime::Error::new(NoMemory));
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(wasmtime::Error::new(SlowStart(limit))),
        };
        let shift = Arc::new(Shift {
            component: Arc::clone(component),
            running,
            turn,
            pipes,
            memory_at_start: memory.load(Ordering::Relaxed),
            memory,
            returns_at_the_end,
            at_once,
            _slot: slot,
        });
        Ok(Instance {
            store,
            proxy,
            view: |state| state.http(),
            expiration: Expiration {
                shift: Arc::clone(&shift),
                calls: None,
                sleep: Box::pin(tokio::time::sleep(limit)),
            },
            state: Work(shift),
        })
    }
}

/// Bounds what the store itself keeps for its guest.
fn bound_store(store: &mut Store<InstanceState>, limits: &HostLimits) {
    store.set_hostcall_fuel(usize::try_from(limits.call_bytes).unwrap_or(usize::MAX));
    store.set_max_component_handles(limits.handles as usize);
    // What the guest awaits.
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(limits.handles as usize);
    }
}

fn on_tick(
    mut store: StoreContextMut<'_, InstanceState>,
) -> wasmtime::Result<wasmtime::UpdateDeadline> {
    Ok(store.data_mut().meter.tick()?)
}

impl ComponentShared {
    /// Waits among the application's own requests first: of those that wait for the engine's places, each application
    /// and each owner has as many as its share.
    async fn slot(&self, slots: u32) -> Option<Slot> {
        let of_share = self.share.places(slots).await?;
        let all = Arc::clone(self.engine.instances());
        let of_engine = all.acquire_many_owned(slots).await.ok()?;
        Some(Slot {
            _of_share: of_share,
            _of_engine: of_engine,
        })
    }

    fn instance_state(
        &self,
        [stdout, stderr]: &[GuestPipe; 2],
        at_once: usize,
    ) -> wasmtime::Result<InstanceState> {
        let limits = &self.limits.host;
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_blocking_current_thread(self.pre.get().is_some_and(|opened| opened.reads_here));
        wasi.stdout(stdout.clone())
            .stderr(stderr.clone())
            .envs(&self.environment)
            .max_random_size(limits.random_bytes);
        if let Some(files) = &self.files {
            wasi.preopened_dir(files, "/", FsPerms::ReadOnly)?;
        }
        let options = self.engine.options();
        let budget = options.ticks(self.limits.cpu_ms);
        let burst = options.ticks(options.burst_ms);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.objects as usize);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(usize::try_from(limits.field_bytes).unwrap_or(usize::MAX));
        Ok(InstanceState {
            table,
            wasi: wasi.build(),
            http,
            outbound: OutboundHttpState::new(Arc::clone(&self.outbound)),
            sqlite: SqliteState::new(Arc::clone(&self.sqlite)),
            key_value: KeyValueState::new(Arc::clone(&self.key_value)),
            variables: VariablesState::new(Arc::clone(&self.variables)),
            bounds: Bounds::new(self.limits.memory_bytes, Arc::clone(&self.share.memory)),
            meter: Meter::new(burst, budget, at_once, Arc::clone(&self.share.heavy)),
        })
    }
}

/// What an instance does, for the two that the dispatcher asks about it.
struct Shift {
    component: Arc<ComponentShared>,
    running: Arc<Running>,
    turn: Arc<Turn>,
    pipes: [GuestPipe; 2],
    /// Bytes of its linear memories, when it was made and now.
    memory_at_start: usize,
    memory: Arc<AtomicUsize>,
    /// A guest of WASI 0.2 does nothing any more when its function has returned. One of 0.3 may send a body then.
    returns_at_the_end: bool,
    at_once: usize,
    /// The dispatcher lets go of this when the store is gone.
    _slot: Slot,
}

impl Shift {
    /// Lets go of what is over, given how many of the guest's functions have not returned.
    fn settle(&self, calls: usize) {
        if self.returns_at_the_end && calls == 0 {
            self.rest();
        } else if self.at_once > 1 && self.running.is_any_over() {
            let wall = self.component.wall;
            self.change(|running| running.leave(wall));
        }
    }

    /// Nothing of the guest runs any more. True when something did.
    fn rest(&self) -> bool {
        self.turn.rest();
        self.change(Running::rest)
    }

    /// Before anyone comes or goes, what was printed is told apart from what will be.
    fn change<T>(&self, change: impl FnOnce(&Running) -> T) -> T {
        for pipe in &self.pipes {
            pipe.finish_line();
        }
        change(&self.running)
    }

    /// How long it may wait for another request.
    fn idle(&self) -> Duration {
        let idle = self.component.idle;
        let now = self.memory.load(Ordering::Relaxed);
        if now.saturating_sub(self.memory_at_start) > MOST_GROWTH_KEPT_BYTES {
            idle.min(GROWN_IDLE)
        } else {
            idle
        }
    }

    /// Whether a request has been running for so long that others had better not share its end.
    fn is_late(&self) -> bool {
        let half = self.component.wall / 2;
        let deadline = self.running.deadline(half);
        deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

/// When an instance must go: a request is out of time, all are unwanted, it has been idle for long or while others wait for
/// its place, or its application has been replaced.
///
/// The dispatcher polls it outside the guest's own event loop, so it holds for a guest that never gives control
/// back to that loop (wasmtime issues 11869 and 11870).
pub(crate) struct Expiration {
    shift: Arc<Shift>,
    /// While it idles: from those who want its place, and that its application is gone.
    calls: Option<[Pin<Box<OwnedNotified>>; 2]>,
    sleep: Pin<Box<Sleep>>,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        let this = &mut *self;
        let Shift {
            component,
            running,
            turn,
            ..
        } = &*this.shift;
        turn.over();
        let deadline = match status {
            WorkerStatus::Requests | WorkerStatus::PostReturn => {
                // When it has just been asked to go another one is asked instead.
                this.calls = None;
                running.register(cx.waker());
                // Others go on when one client leaves; its request then lasts as long as it may.
                if running.is_abandoned() {
                    running.fail(&Failure::ClientGone);
                    return Poll::Ready(());
                }
                let deadline = running.deadline(component.wall);
                deadline.or_else(|| start.checked_add(component.wall))
            }
            WorkerStatus::Idle => {
                if this.shift.rest() {
                    // The dispatcher asked whether another request may come before it knew of the rest.
                    cx.waker().wake_by_ref();
                }
                let callers = [&component.share.wanted, component.closing.told()];
                let calls = (this.calls).get_or_insert_with(|| {
                    callers.map(|caller| Box::pin(Arc::clone(caller).notified_owned()))
                });
                let called = calls
                    .iter_mut()
                    .any(|call| call.as_mut().poll(cx).is_ready());
                if called || component.closing.is_closed() {
                    return Poll::Ready(());
                }
                start.checked_add(this.shift.idle())
            }
        };
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        let deadline = tokio::time::Instant::from_std(deadline);
        // Requests come and go faster than timers are moved: one that rings too early is set anew, then.
        if this.sleep.deadline() > deadline {
            this.sleep.as_mut().reset(deadline);
        }
        loop {
            if this.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if this.sleep.deadline() >= deadline {
                break;
            }
            this.sleep.as_mut().reset(deadline);
        }
        if status != WorkerStatus::Idle {
            running.fail(&Failure::Wall {
                limit_ms: component.limits.wall_ms,
            });
        }
        Poll::Ready(())
    }
}

/// What one instance does and has done.
pub(crate) struct Work(Arc<Shift>);

/// Tells a request that the guest's function for it has returned.
struct Returned(Arc<RequestState>);

impl Drop for Returned {
    fn drop(&mut self) {
        self.0.returned();
    }
}

impl WorkerState for Work {
    type StoreData = InstanceState;
    type RequestData = Arc<RequestState>;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        let shift = &*self.0;
        let component = &shift.component;
        shift.settle(concurrent);
        let worn_out = total >= component.max_requests || shift.turn.is_spent();
        if worn_out || component.closing.is_closed() {
            ShouldAccept::Never
        } else if shift.running.count() >= shift.at_once || shift.is_late() {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, InstanceState>,
        request: Arc<RequestState>,
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        request.start(self.0.at_once > 1);
        let returned = Returned(Arc::clone(&request));
        let rested = self.0.change(|running| running.join(request));
        let state = store.data_mut();
        state.meter.begin(rested);
        state.outbound.set_origin(Origin {
            request_id: self.0.running.request_id(),
            depth: self.0.running.depth(),
        });
        if rested {
            state.bounds.refused = None;
        }
        // Time-outs are `Expiration`'s: this future is polled inside the guest's event loop, which a busy guest
        // keeps from running. It is dropped when the guest's function has returned.
        Box::pin(async move {
            let _returned = returned;
            std::future::pending().await
        })
    }

    fn drop(&self, store: Store<InstanceState>, result: wasmtime::Result<()>) {
        let Shift {
            component, running, ..
        } = &*self.0;
        if let Err(error) = result {
            let failure = why(component, store.data(), &error);
            running.fail(&failure);
            let requests = running.all();
            if requests.is_empty() {
                tracing::debug!(component = %component.id, %failure, "an idle instance ended");
            }
            if requests.len() > 1 {
                component.log_shared_end(&requests);
            }
            for request in requests.iter().filter(|request| request.is_answered()) {
                component.log_broken_answer(request);
            }
        }
        self.0.rest();
        drop(store);
    }
}

impl ComponentShared {
    /// Requests that shared an instance end with it, whichever of them is to blame.
    fn log_shared_end(&self, requests: &[Arc<RequestState>]) {
        let mut failures = requests.iter().filter_map(|request| request.failure());
        if let Some(failure) = failures.find(|failure| failure.is_worth_a_line()) {
            let ids: Vec<_> = requests.iter().map(|request| &*request.id).collect();
            let line = format!(
                "an instance that served {} requests at once ended with them: {failure}; they are {}",
                ids.len(),
                ids.join(", ")
            );
            self.log.system(Some(&self.id), None, &line);
        }
    }
}

/// What ended an instance, given what it was refused before.
fn why(component: &ComponentShared, state: &InstanceState, error: &wasmtime::Error) -> Failure {
    if error.downcast_ref::<crate::meter::OverBudget>().is_some() {
        return Failure::Cpu {
            limit_ms: component.limits.cpu_ms,
        };
    }
    let is_full = |cause: &(dyn std::error::Error + 'static)| {
        let table = cause.downcast_ref::<ResourceTableError>();
        matches!(table, Some(ResourceTableError::Full))
    };
    if error.chain().any(is_full) {
        let reason = format!(
            "more than {} objects of the host (streams, bodies, fields, open files), or {} things that it awaits, were held at once",
            component.limits.host.objects, component.limits.host.handles
        );
        return Failure::Trap {
            reason,
            frames: Vec::new(),
        };
    }
    // A guest that was refused memory mostly panics or aborts a moment later: the refusal is the reason.
    if let Some(limit_bytes) = state.bounds.refused {
        return Failure::Memory { limit_bytes };
    }
    Failure::from_error(error)
}
