//! One component of a loaded application: its module, what its instances share, its queue, its dispatcher.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use wasmtime::component::Component as Module;
use wasmtime_wasi_http::handler::{ProxyHandler, ProxyPre};
use wasmtime_wasi_http::{p2, p3};

use crate::Engine;
use crate::closing::Closing;
use crate::config::Limits;
use crate::engine::{MEMORIES_PER_INSTANCE, TABLES_PER_INSTANCE};
use crate::folders;
use crate::gate::Gate;
use crate::host::outbound_http::OutboundHttp;
use crate::host::{Grants, key_value, sqlite};
use crate::imports;
use crate::instance::{InstanceState, Starter};
use crate::logs::AppLog;
use crate::share::Share;

/// A component that can be asked.
pub(crate) struct Component {
    pub(crate) shared: Arc<ComponentShared>,
    pub(crate) handler: ProxyHandler<Starter>,
    pub(crate) gate: Gate,
}

/// What the instances of one component share.
pub(crate) struct ComponentShared {
    pub(crate) engine: Engine,
    pub(crate) id: Arc<str>,
    pub(crate) log: Arc<AppLog>,
    pub(crate) limits: Limits,
    pub(crate) wall: Duration,
    pub(crate) idle: Duration,
    pub(crate) max_requests: usize,
    /// Requests that one instance may serve at once, if it is of WASI 0.3.
    pub(crate) concurrent: usize,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) files: Option<PathBuf>,
    pub(crate) module: PathBuf,
    pub(crate) variables: Arc<std::collections::BTreeMap<String, String>>,
    pub(crate) sqlite: Arc<Grants<sqlite::Database>>,
    pub(crate) key_value: Arc<Grants<key_value::Store>>,
    pub(crate) outbound: Arc<OutboundHttp>,
    /// The application is gone: idle instances end.
    pub(crate) closing: Arc<Closing>,
    /// What the application may use of the engine.
    pub(crate) share: Arc<Share>,
    pub(crate) pre: OnceCell<Opened>,
}

/// What instances are made of.
pub(crate) struct Opened {
    pub(crate) proxy: ProxyPre<InstanceState>,
    /// How many of the engine's places one instance takes.
    pub(crate) slots: u32,
    /// Its files are read on the thread that runs it.
    pub(crate) reads_here: bool,
}

impl Component {
    pub(crate) fn new(shared: ComponentShared) -> Self {
        let shared = Arc::new(shared);
        Self {
            gate: Gate::new(&shared.limits),
            handler: ProxyHandler::new(Starter(Arc::clone(&shared))),
            shared,
        }
    }
}

/// Why a module cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// It cannot be read, compiled or mapped.
    #[error("{path}: {reason}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why, with its causes.
        reason: String,
    },
    /// It imports what is not provided.
    #[error("the component imports {import}, which is not provided here: {remedy}")]
    Import {
        /// The interface.
        import: String,
        /// What to do.
        remedy: String,
    },
    /// It does not answer HTTP requests.
    #[error(
        "the component exports neither wasi:http/incoming-handler@0.2 nor wasi:http/handler@0.3, so it cannot answer requests; build it with spin-sdk's #[http_component] or wasi:http for the target wasm32-wasip2"
    )]
    NotHttp,
}

impl ComponentShared {
    /// What instances are made of, opened at the first call.
    pub(crate) async fn open(self: &Arc<Self>) -> Result<&Opened, Vec<ModuleError>> {
        self.pre
            .get_or_try_init(|| async {
                let this = Arc::clone(self);
                let opened = tokio::task::spawn_blocking(move || this.open_now()).await;
                opened.unwrap_or_else(|error| {
                    let reason = format!("opening it failed: {error}");
                    Err(vec![ModuleError::Unusable {
                        path: self.module.clone(),
                        reason,
                    }])
                })
            })
            .await
    }

    fn open_now(&self) -> Result<Opened, Vec<ModuleError>> {
        let unusable = |error: wasmtime::Error| {
            let reason = format!("{error:#}");
            vec![ModuleError::Unusable {
                path: self.module.clone(),
                reason,
            }]
        };
        let module = load(&self.engine, &self.module).map_err(unusable)?;
        let linker = self.engine.linker().map_err(unusable)?;
        let pre = linker.instantiate_pre(&module).map_err(|error| {
            let missing = imports::missing(&self.engine, &module, &error);
            if missing.is_empty() {
                unusable(error)
            } else {
                missing
            }
        })?;
        let slots = slots_of(&module);
        if slots > self.share.most_instances() {
            return Err(unusable(wasmtime::format_err!(
                "it has more memories or tables than all instances of an application may have together"
            )));
        }
        let proxy = match p3::bindings::ServicePre::new(pre.clone()) {
            Ok(pre) => ProxyPre::P3(pre),
            Err(_) => p2::bindings::ProxyPre::new(pre)
                .map(ProxyPre::P2)
                .map_err(|_| vec![ModuleError::NotHttp])?,
        };
        let files = self.files.as_deref();
        Ok(Opened {
            proxy,
            slots,
            reads_here: files.is_none_or(folders::are_short),
        })
    }
}

/// How many places of the engine's pool an instance takes, which has memories and tables for each.
fn slots_of(module: &Module) -> u32 {
    // None for what is instantiated with modules from outside, which an application can't be.
    let needs = module.resources_required();
    let (memories, tables) = needs.map_or((1, 1), |needs| (needs.num_memories, needs.num_tables));
    memories
        .div_ceil(MEMORIES_PER_INSTANCE)
        .max(tables.div_ceil(TABLES_PER_INSTANCE))
        .max(1)
}

/// Maps native code, or compiles.
fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Module> {
    if path
        .extension()
        .is_some_and(|extension| extension == "cwasm")
    {
        return crate::module::map(engine.wasmtime(), path);
    }
    Module::from_file(engine.wasmtime(), path)
}
