//! One instance of a component: its store's data, and its life from instantiation to drop, as wasmtime's
//! dispatcher asks for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;
use wasmtime::component::{GuestTaskId, Linker, ResourceTable};
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::component::ComponentShared;
use crate::failure::Failure;
use crate::host::key_value::{self, KeyValueState};
use crate::host::outbound_http::{Origin, OutboundHttpState};
use crate::host::sqlite::{self, SqliteState};
use crate::host::variables::{self, VariablesState};
use crate::logs::{GuestPipe, Stream};
use crate::meter::{Bounds, Meter, Turn};
use crate::request::{Current, RequestState};

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
    _slot: OwnedSemaphorePermit,
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

/// No slot of the engine became free in time.
#[derive(Debug, thiserror::Error)]
#[error("the engine has no free instance")]
pub(crate) struct NoSlot;

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
        let component = &self.0;
        let waiting = Arc::clone(component.engine.instances()).acquire_owned();
        let slot = match tokio::time::timeout(SLOT_PATIENCE, waiting).await {
            Ok(Ok(slot)) => slot,
            _ => return Err(wasmtime::Error::new(NoSlot)),
        };
        let current = Arc::new(Current::default());
        let pipe = |stream| {
            let (log, id) = (Arc::clone(&component.log), Arc::clone(&component.id));
            GuestPipe::new(log, id, stream, Arc::clone(&current))
        };
        let pipes = [pipe(Stream::Stdout), pipe(Stream::Stderr)];
        let state = component.instance_state(&pipes, slot)?;
        let turn = Arc::clone(&state.meter.turn);
        let mut store = Store::new(component.engine.wasmtime(), state);
        store.limiter(|state| &mut state.bounds);
        store.epoch_deadline_callback(on_tick);
        store.set_epoch_deadline(1);
        let Some(pre) = component.pre.get() else {
            wasmtime::bail!("the component {} has not been opened", component.id);
        };
        let limit = component.wall;
        // Initialisers are guest code too.
        let start = pre.instantiate_async(&mut store);
        let proxy = match tokio::time::timeout(limit, start).await {
            Ok(proxy) => proxy?,
            Err(_) => return Err(wasmtime::Error::new(SlowStart(limit))),
        };
        Ok(Instance {
            store,
            proxy,
            view: |state| state.http(),
            expiration: Expiration {
                component: Arc::clone(component),
                current: Arc::clone(&current),
                turn,
                closed: Box::pin(component.closed.clone().cancelled_owned()),
                sleep: Box::pin(tokio::time::sleep(limit)),
            },
            state: Work {
                component: Arc::clone(component),
                current,
                pipes,
            },
        })
    }
}

fn on_tick(
    mut store: StoreContextMut<'_, InstanceState>,
) -> wasmtime::Result<wasmtime::UpdateDeadline> {
    Ok(store.data_mut().meter.tick()?)
}

impl ComponentShared {
    fn instance_state(
        &self,
        [stdout, stderr]: &[GuestPipe; 2],
        slot: OwnedSemaphorePermit,
    ) -> wasmtime::Result<InstanceState> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(stdout.clone())
            .stderr(stderr.clone())
            .envs(&self.environment);
        if let Some(files) = &self.files {
            wasi.preopened_dir(files, "/", FsPerms::ReadOnly)?;
        }
        let options = self.engine.options();
        let budget = options.ticks(self.limits.cpu_ms);
        let burst = options.ticks(options.burst_ms);
        Ok(InstanceState {
            table: ResourceTable::new(),
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            outbound: OutboundHttpState::new(Arc::clone(&self.outbound)),
            sqlite: SqliteState::new(Arc::clone(&self.sqlite)),
            key_value: KeyValueState::new(Arc::clone(&self.key_value)),
            variables: VariablesState::new(Arc::clone(&self.variables)),
            bounds: Bounds::new(self.limits.memory_bytes),
            meter: Meter::new(burst, budget, Arc::clone(self.engine.heavy())),
            _slot: slot,
        })
    }
}

/// When an instance must go: its request is out of time or unwanted, it has been idle for long, or its application
/// has been replaced.
///
/// The dispatcher polls it outside the guest's own event loop, so it holds for a guest that never gives control
/// back to that loop (wasmtime issues 11869 and 11870).
pub(crate) struct Expiration {
    component: Arc<ComponentShared>,
    current: Arc<Current>,
    turn: Arc<Turn>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
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
        this.turn.over();
        let request = this.current.get();
        let deadline = match (&request, status) {
            (Some(request), WorkerStatus::Requests | WorkerStatus::PostReturn) => {
                request.register_worker(cx.waker());
                if request.is_cancelled() {
                    request.fail(Failure::ClientGone);
                    return Poll::Ready(());
                }
                request.deadline(this.component.wall)
            }
            (None, WorkerStatus::Requests | WorkerStatus::PostReturn) => {
                start.checked_add(this.component.wall)
            }
            (_, WorkerStatus::Idle) => {
                if this.closed.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                start.checked_add(this.component.idle)
            }
        };
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        let deadline = tokio::time::Instant::from_std(deadline);
        if this.sleep.deadline() != deadline {
            this.sleep.as_mut().reset(deadline);
        }
        if this.sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if let (Some(request), true) = (request, status != WorkerStatus::Idle) {
            request.fail(Failure::Wall {
                limit_ms: this.component.limits.wall_ms,
            });
        }
        Poll::Ready(())
    }
}

/// What one instance does and has done.
pub(crate) struct Work {
    component: Arc<ComponentShared>,
    current: Arc<Current>,
    pipes: [GuestPipe; 2],
}

impl Work {
    /// The request is over as far as the guest is concerned.
    fn finish(&self) -> Option<Arc<RequestState>> {
        for pipe in &self.pipes {
            pipe.finish_line();
        }
        let request = self.current.replace(None)?;
        request.end();
        Some(request)
    }
}

impl WorkerState for Work {
    type StoreData = InstanceState;
    type RequestData = Arc<RequestState>;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if concurrent > 0 {
            return ShouldAccept::No;
        }
        self.finish();
        let worn_out = total >= self.component.max_requests;
        if worn_out || self.component.closed.is_cancelled() {
            ShouldAccept::Never
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
        request.start();
        let state = store.data_mut();
        state.meter.reset();
        state.outbound.set_origin(Origin {
            request_id: Some(Arc::clone(&request.id)),
            depth: request.depth,
        });
        state.bounds.refused = false;
        self.current.replace(Some(request));
        // Time-outs are `Expiration`'s: this future is polled inside the guest's event loop, which a busy guest
        // keeps from running.
        Box::pin(std::future::pending())
    }

    fn drop(&self, store: Store<InstanceState>, result: wasmtime::Result<()>) {
        if let Err(error) = result {
            let failure = why(&self.component, store.data(), &error);
            match self.current.get() {
                Some(request) => {
                    request.fail(failure);
                    if request.is_answered() {
                        self.component.log_broken_answer(&request);
                    }
                }
                None => {
                    tracing::debug!(component = %self.component.id, %failure, "an idle instance ended")
                }
            }
        }
        self.finish();
        drop(store);
    }
}

/// What ended an instance, given what it was refused before.
fn why(component: &ComponentShared, state: &InstanceState, error: &wasmtime::Error) -> Failure {
    if error.downcast_ref::<crate::meter::OverBudget>().is_some() {
        return Failure::Cpu {
            limit_ms: component.limits.cpu_ms,
        };
    }
    // A guest that was refused memory mostly panics or aborts a moment later: the refusal is the reason.
    if state.bounds.refused {
        return Failure::Memory {
            limit_bytes: component.limits.memory_bytes,
        };
    }
    Failure::from_error(error)
}
