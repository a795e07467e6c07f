//! The engine: wasmtime with a pool of instances, the linker with everything a component may import, the epoch clock.

use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, PoolingAllocationConfig};

use crate::config::AppConfig;
use crate::instance::InstanceState;
use crate::options::EngineOptions;
use crate::pot::Pot;
use crate::share::{Share, Shares, common_places};
use crate::threads::Threads;
use crate::ticker::Ticker;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused its settings, mostly because the address space is too small for the pool.
    #[error("the WebAssembly engine could not be set up")]
    Wasmtime(#[source] wasmtime::Error),
    /// The epoch thread, or the sets of threads for blocking work, could not be started.
    #[error("the engine's threads could not be started")]
    Thread(#[source] std::io::Error),
}

/// Core instances that the pool has for each instance, and the most of one.
const CORE_INSTANCES_PER_INSTANCE: u32 = 64;
/// Memories that it has for each.
pub(crate) const MEMORIES_PER_INSTANCE: u32 = 2;
/// Tables that it has for each.
pub(crate) const TABLES_PER_INSTANCE: u32 = 4;

/// One per process; clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasmtime: wasmtime::Engine,
    linker: OnceLock<Arc<Linker<InstanceState>>>,
    ticker: Ticker,
    instances: Arc<Semaphore>,
    common: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
    memory: Arc<Pot>,
    connections: Arc<Semaphore>,
    threads: EngineThreads,
    shares: Shares,
    options: EngineOptions,
}

/// Threads for work that blocks, by its kind.
pub(crate) struct EngineThreads {
    /// Statements on databases and key-value stores.
    pub(crate) databases: Arc<Threads>,
    /// Looking names up.
    pub(crate) names: Arc<Threads>,
}

impl EngineThreads {
    fn new(options: &EngineOptions) -> std::io::Result<Self> {
        let set = |name, count: u32| Threads::new(name, count as usize, options.blocking_nice);
        Ok(Self {
            databases: Arc::new(set("database", options.database_threads)?),
            names: Arc::new(set("names", options.name_threads)?),
        })
    }
}

impl Engine {
    /// Sets an engine up. Takes milliseconds; what is not used of it costs address space only.
    ///
    /// # Errors
    ///
    /// When the machine does not allow the pool's address space or another thread.
    pub fn new(options: EngineOptions) -> Result<Self, EngineError> {
        let wasmtime = wasmtime::Engine::new(&config(&options)).map_err(EngineError::Wasmtime)?;
        let ticker =
            Ticker::start(wasmtime.clone(), options.tick()).map_err(EngineError::Thread)?;
        let threads = EngineThreads::new(&options).map_err(EngineError::Thread)?;
        Ok(Self(Arc::new(Inner {
            wasmtime,
            linker: OnceLock::new(),
            ticker,
            instances: Arc::new(Semaphore::new(options.max_instances as usize)),
            common: Arc::new(Semaphore::new(common_places(options.max_instances))),
            heavy: Arc::new(Semaphore::new(options.heavy_slots.max(1) as usize)),
            memory: Arc::new(Pot::new(options.total_memory_bytes, None)),
            connections: Arc::new(Semaphore::new(options.connections as usize)),
            threads,
            shares: Shares::default(),
            options,
        })))
    }

    /// What it was set up with.
    pub fn options(&self) -> &EngineOptions {
        &self.0.options
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.0.ticker
    }

    pub(crate) fn instances(&self) -> &Arc<Semaphore> {
        &self.0.instances
    }

    /// Those that owners take beyond their first.
    pub(crate) fn common(&self) -> &Arc<Semaphore> {
        &self.0.common
    }

    pub(crate) fn heavy(&self) -> &Arc<Semaphore> {
        &self.0.heavy
    }

    pub(crate) fn memory(&self) -> &Arc<Pot> {
        &self.0.memory
    }

    pub(crate) fn connections(&self) -> &Arc<Semaphore> {
        &self.0.connections
    }

    pub(crate) fn threads(&self) -> &EngineThreads {
        &self.0.threads
    }

    /// What an application may use of this engine.
    pub(crate) fn share(&self, config: &AppConfig) -> Arc<Share> {
        self.0.shares.of(config, self)
    }

    /// Everything a component may import. Made when the first application is loaded: a process that only compiles
    /// does without.
    pub(crate) fn linker(&self) -> wasmtime::Result<Arc<Linker<InstanceState>>> {
        if let Some(linker) = self.0.linker.get() {
            return Ok(Arc::clone(linker));
        }
        let linker = Arc::new(crate::instance::linker(&self.0.wasmtime)?);
        Ok(Arc::clone(self.0.linker.get_or_init(|| linker)))
    }
}

/// Settings that compiled modules depend on come first; they hold for every process of one version alike, so that
/// what one compiles another can map.
fn config(options: &EngineOptions) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        // Function names in a log are worth their section; file and line would need debug information.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        // A reservation of 4 GiB lets 32-bit memories do without bounds checks.
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        // 512 KiB of WebAssembly stack in 1 MiB: the rest is the host's, whose functions run on the same one.
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20)
        .parallel_compilation(true);
    let count = options.max_instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(count)
        // A component is several core instances: the program, its adapter, shims. They are counted, nothing is set
        // aside for them.
        .total_core_instances(count.saturating_mul(CORE_INSTANCES_PER_INSTANCE))
        .max_core_instances_per_component(CORE_INSTANCES_PER_INSTANCE)
        // Mostly one memory and two or three tables each. One with more takes the places of several.
        .total_memories(count.saturating_mul(MEMORIES_PER_INSTANCE))
        .total_tables(count.saturating_mul(TABLES_PER_INSTANCE))
        // An async import may run on a stack of its own beside the export's.
        .total_stacks(count.saturating_mul(2))
        .table_elements(100_000)
        .max_memory_size(usize::try_from(options.max_memory_bytes).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(usize::try_from(options.keep_resident_bytes).unwrap_or(0))
        .table_keep_resident(16 << 10)
        .async_stack_keep_resident(32 << 10)
        .max_unused_warm_slots(options.warm_slots)
        .pagemap_scan(if options.scan_pages {
            Enabled::Auto
        } else {
            Enabled::No
        });
    config.allocation_strategy(pool);
    config
}
