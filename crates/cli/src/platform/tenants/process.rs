//! `nokube tenants`: the process that runs tenants' applications, and nothing else.
//!
//! Its standard input and output are two listening sockets that the front process made. It has no keys
//! and no files of the platform; before it reads anything of a tenant it gives up its rights.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::extract::{DefaultBodyLimit, Path as PathOf, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use nokube_engine::server::{ServerOptions, serve};
use nokube_engine::{App, AppConfig, AppInfo, Engine, EngineOptions, Registry};
use nokube_syscalls::Role;
use tokio::net::UnixListener;

use super::control::{ApplyApp, Probe, Refusal};
use super::folders::{APPS, ETC, LOGS, STATE, TMP};
use crate::args::TenantsArgs;
use crate::platform::confine::{self, Restriction};
use crate::platform::process;

/// An application's configuration with its manifest, variables and secrets.
const MAX_CONFIG_BYTES: usize = 16 << 20;
/// Above what the front process takes from its clients at once.
const HTTP_CONNECTIONS: u32 = 4_096;
/// The first attempts of a probe follow each other quickly: most applications are ready at once.
const FIRST_PROBE_PAUSE: Duration = Duration::from_millis(20);
/// Read besides the folders when the root folder is the machine's: the resolver's files and what the
/// C library loads for it.
const SYSTEM_FILES: [&str; 4] = ["/etc", "/lib", "/lib64", "/usr/lib"];

/// The process. Returns when it was asked to end.
pub(crate) fn run(args: &TenantsArgs) -> anyhow::Result<()> {
    process::start_log();
    let (control, http) = take_sockets().context("standard input and output are no sockets")?;
    // How much memory there is for it can't be asked any more afterwards.
    let options = EngineOptions {
        disk_reserve_bytes: args.disk_reserve_mib.map(|mib| mib.saturating_mul(1 << 20)),
        ..EngineOptions::tenants()
    };
    confine(args)?;
    process::die_with(args.parent)?;
    confine::raise_open_files();
    let runtime = process::serving_runtime()?;
    let outcome = runtime.block_on(serve_all(options, control, http));
    // Guests that are still at work go with the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

/// Takes the listening sockets from standard input and output, which then lead nowhere.
fn take_sockets() -> io::Result<(StdUnixListener, StdUnixListener)> {
    let control: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    let http: OwnedFd = io::stdout().as_fd().try_clone_to_owned()?;
    let nowhere = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nowhere)?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    Ok((control.into(), http.into()))
}

fn confine(args: &TenantsArgs) -> anyhow::Result<()> {
    // When memory is short, this process goes first: it is started again within milliseconds.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    let mut readable = Vec::new();
    let root = match args.uid {
        Some(uid) => {
            confine::enter_root(&args.root)?;
            confine::become_user(uid)?;
            Path::new("/")
        }
        None => {
            readable.extend(SYSTEM_FILES.map(PathBuf::from));
            args.root.as_path()
        }
    };
    confine::no_new_privileges()?;
    readable.extend([APPS, ETC].map(|name| root.join(name)));
    let writable = [STATE, LOGS, TMP].map(|name| root.join(name));
    let restriction = confine::restrict_files(&readable, &writable)?;
    confine::restrict_calls(Role::Tenants);
    match (restriction, args.uid) {
        (Restriction::Unsupported, None) => tracing::warn!(
            "tenants' applications run with this user's rights: this kernel has no Landlock, and nokube was not started by root"
        ),
        (restriction, uid) => tracing::debug!(?restriction, ?uid, "confined"),
    }
    Ok(())
}

async fn serve_all(
    options: EngineOptions,
    control: StdUnixListener,
    http: StdUnixListener,
) -> anyhow::Result<()> {
    control.set_nonblocking(true)?;
    http.set_nonblocking(true)?;
    let (control, http) = (
        UnixListener::from_std(control)?,
        UnixListener::from_std(http)?,
    );
    let shutdown = process::shutdown_signal()?;
    let engine = Engine::new(options)?;
    let registry = Registry::new();
    let router = Router::new()
        .route("/apps", get(list_apps))
        .route("/apps/{id}", put(put_app).delete(delete_app))
        .layer(DefaultBodyLimit::max(MAX_CONFIG_BYTES))
        .with_state(Arc::new(Tenants {
            engine,
            registry: registry.clone(),
            turn: Mutex::new(()),
        }));
    // Control ends with the process: there is nothing to be put in place while it drains.
    let controlling = tokio::spawn(async move { axum::serve(control, router).await });
    // One connection for each request that the front process passes on; it has bounds for who asks.
    let options = ServerOptions {
        max_connections: HTTP_CONNECTIONS,
        ..ServerOptions::default()
    };
    serve(http, Arc::new(registry), options, shutdown).await;
    controlling.abort();
    Ok(())
}

struct Tenants {
    engine: Engine,
    registry: Registry,
    /// Held while one looks what serves and puts something in its place.
    turn: Mutex<()>,
}

async fn list_apps(State(tenants): State<Arc<Tenants>>) -> Json<Vec<AppInfo>> {
    Json(tenants.registry.list())
}

async fn delete_app(State(tenants): State<Arc<Tenants>>, PathOf(id): PathOf<String>) -> StatusCode {
    tenants.registry.remove(&id);
    StatusCode::NO_CONTENT
}

async fn put_app(
    State(tenants): State<Arc<Tenants>>,
    PathOf(id): PathOf<String>,
    Json(apply): Json<ApplyApp>,
) -> Result<StatusCode, (StatusCode, Json<Refusal>)> {
    let refuse = |message| (StatusCode::UNPROCESSABLE_ENTITY, Json(Refusal { message }));
    if apply.config.id != id {
        return Err(refuse("the id is not the one of the path".to_owned()));
    }
    make_folders(&apply.config).map_err(|error| {
        tracing::error!(%error, app = id, "an application's folders cannot be made");
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            Json(Refusal {
                message: "the application's folders cannot be made".to_owned(),
            }),
        )
    })?;
    let generation = apply.config.generation;
    let app = tenants
        .engine
        .load(apply.config)
        .await
        .map_err(|error| refuse(error.to_string()))?;
    if let Some(probe) = &apply.probe
        && let Err(message) = until_ready(&app, probe).await
    {
        app.close();
        return Err(refuse(message));
    }
    let _turn = tenants.turn.lock().unwrap_or_else(PoisonError::into_inner);
    // After a restart, what served is told again while something newer may be on its way.
    let newer = tenants
        .registry
        .by_id(&id)
        .is_some_and(|there| there.generation() > generation);
    if newer {
        app.close();
        return Ok(StatusCode::OK);
    }
    tenants.registry.put(app);
    tracing::debug!(app = id, generation, "serves");
    Ok(StatusCode::OK)
}

/// State and log belong to this process alone, so it makes them itself.
fn make_folders(config: &AppConfig) -> io::Result<()> {
    let files = config.sqlite.values().chain(config.key_value.values());
    let parents = files.filter_map(|file| file.parent());
    for dir in parents.chain([config.log_dir.as_path()]) {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    Ok(())
}

async fn until_ready(app: &Arc<App>, probe: &Probe) -> Result<(), String> {
    let begun = Instant::now();
    let within = Duration::from_millis(probe.within_ms);
    let period = Duration::from_millis(probe.period_ms);
    let mut pause = FIRST_PROBE_PAUSE;
    loop {
        let outcome = app
            .probe(&probe.path, Duration::from_millis(probe.timeout_ms))
            .await;
        let Err(error) = outcome else {
            return Ok(());
        };
        if begun.elapsed() + pause > within {
            return Err(format!(
                "the readiness check never succeeded within {} s: {error}",
                within.as_secs()
            ));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(period);
    }
}
