//! The servers that are measured, in processes of their own: the engine with some application, or nothing but hyper.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nokube_engine::config::{AppConfig, ComponentFiles};
use nokube_engine::server::{self, ServerOptions};
use nokube_engine::{Engine, EngineOptions, Limits, Registry, Reuse, ShareLimits};
use nokube_spinapp::locked::ContentRef;
use nokube_spinapp::manifest::{ComponentContent, Manifest};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// What is served.
#[derive(Serialize, Deserialize)]
pub(crate) enum What {
    /// A few bytes from hyper, which ours is made of, with nothing around it.
    Native,
    /// Applications in the engine.
    Apps(Apps),
}

/// Applications in the engine: `count` of them, all alike, on the hosts `app-0.bench`, `app-1.bench` and so on.
#[derive(Serialize, Deserialize)]
pub(crate) struct Apps {
    /// A Spin manifest; its components' sources are files of native code in `modules`.
    pub(crate) manifest: String,
    pub(crate) modules: PathBuf,
    pub(crate) count: usize,
    /// Requests per instance.
    pub(crate) reuse: u32,
    pub(crate) engine: EngineOptions,
    /// For databases and logs.
    pub(crate) folder: PathBuf,
}

/// A running server. Dropping it ends it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    _child: Child,
    _folder: Option<TempDir>,
}

/// The sizes of the engines that are measured: those of tenants' process, or what `NOKUBE_BENCH_ENGINE` says in JSON,
/// for tuning.
fn engine_options() -> anyhow::Result<EngineOptions> {
    match std::env::var("NOKUBE_BENCH_ENGINE") {
        Ok(json) => Ok(serde_json::from_str(&json)?),
        Err(_) => Ok(EngineOptions::tenants()),
    }
}

/// The host name of one of the applications.
pub(crate) fn host(number: usize) -> String {
    format!("app-{number}.bench")
}

/// Starts the native server.
pub(crate) async fn native() -> anyhow::Result<Server> {
    start(&What::Native, None).await
}

/// Starts the engine with applications made from `manifest`, whose sources are in `modules`.
pub(crate) async fn apps(
    manifest: &str,
    modules: &Path,
    count: usize,
    reuse: u32,
) -> anyhow::Result<Server> {
    let folder = tempfile::tempdir()?;
    let apps = Apps {
        manifest: manifest.to_owned(),
        modules: modules.to_owned(),
        count,
        reuse,
        engine: engine_options()?,
        folder: folder.path().to_owned(),
    };
    start(&What::Apps(apps), Some(folder)).await
}

async fn start(what: &What, folder: Option<TempDir>) -> anyhow::Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").arg(serde_json::to_string(what)?);
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let stdout = child.stdout.take().context("the output is piped")?;
    let Some(line) = BufReader::new(stdout).lines().next_line().await? else {
        bail!("a server ended before it listened")
    };
    Ok(Server {
        address: line.parse()?,
        pid: child.id().context("the server ended")?,
        _child: child,
        _folder: folder,
    })
}

/// Starts `wasmtime serve` with the engine's own pool, as far as it has options for that, `reuse` requests per instance
/// and `concurrent` of them at once.
pub(crate) async fn wasmtime(
    program: &Path,
    component: &Path,
    reuse: u32,
    concurrent: u32,
) -> anyhow::Result<Server> {
    let engine = engine_options()?;
    let count = engine.max_instances;
    let pool = [
        ("pooling-allocator", "y".to_owned()),
        ("pooling-total-component-instances", count.to_string()),
        ("pooling-total-core-instances", (count * 8).to_string()),
        ("pooling-total-memories", (count * 2).to_string()),
        ("pooling-total-tables", (count * 4).to_string()),
        ("pooling-total-stacks", (count * 2).to_string()),
        ("pooling-table-elements", "100000".to_owned()),
        (
            "pooling-max-memory-size",
            engine.max_memory_bytes.to_string(),
        ),
        (
            "pooling-memory-keep-resident",
            engine.keep_resident_bytes.to_string(),
        ),
        ("pooling-table-keep-resident", (16 << 10).to_string()),
        ("pooling-async-stack-keep-resident", (32 << 10).to_string()),
        (
            "pooling-max-unused-warm-slots",
            engine.warm_slots.to_string(),
        ),
        (
            "pooling-pagemap-scan",
            if engine.scan_pages { "auto" } else { "no" }.to_owned(),
        ),
    ]
    .map(|(name, value)| format!("{name}={value}"))
    .join(",");
    let mut child = Command::new(program)
        .args(["serve", "--addr", "127.0.0.1:0", "-S", "cli", "-O", &pool])
        .arg(format!("--max-instance-reuse-count={reuse}"))
        .arg(format!(
            "--max-instance-concurrent-reuse-count={concurrent}"
        ))
        .arg(component)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stderr = child.stderr.take().context("the output is piped")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, address)) = line.split_once("http://") {
            let address = address.trim().trim_end_matches('/').parse()?;
            // It must not stop at a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(Server {
                address,
                pid: child.id().context("wasmtime ended")?,
                _child: child,
                _folder: None,
            });
        }
        said.push_str(&line);
    }
    bail!("wasmtime does not serve: {said}")
}

/// Compiles a component to native code, `<name>.cwasm` in `folder`.
pub(crate) fn compile(wasm: &Path, folder: &Path, name: &str) -> anyhow::Result<()> {
    let native = folder.join(name).with_extension("cwasm");
    let options = EngineOptions {
        max_instances: 1,
        ..EngineOptions::tenants()
    };
    Engine::new(options)?.compile_file(wasm, &native)?;
    Ok(())
}

/// Serves until it is killed.
pub(crate) fn run(what: What) -> anyhow::Result<()> {
    // As the platform's own processes, their log too: what traces itself looks for who listens before it looks how much
    // they want to hear, and formats its words for nobody.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("info"))
        .with_writer(std::io::stderr)
        .init();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(serve(what))
}

async fn serve(what: What) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    match what {
        What::Native => {
            println!("{address}");
            serve_natively(listener).await?;
        }
        What::Apps(apps) => {
            let engine = Engine::new(apps.engine.clone())?;
            let registry = Registry::new();
            for number in 0..apps.count {
                registry.put(engine.load(config(&apps, number)?).await?);
            }
            println!("{address}");
            let (options, shutdown) = (ServerOptions::default(), CancellationToken::new());
            server::serve(listener, Arc::new(registry), options, shutdown).await;
        }
    }
    Ok(())
}

async fn serve_natively(listener: TcpListener) -> anyhow::Result<()> {
    let service = service_fn(|_: http::Request<Incoming>| async {
        let body = Full::new(Bytes::from_static(b"hello\n"));
        Ok::<_, Infallible>(http::Response::new(body))
    });
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
        tokio::spawn(async move {
            // The generator goes when it has measured.
            let _ = connection.await;
        });
    }
}

fn config(apps: &Apps, number: usize) -> anyhow::Result<AppConfig> {
    let manifest = Manifest::parse(&apps.manifest).map_err(|faults| anyhow::anyhow!("{faults}"))?;
    let locked = manifest.lock(|component| ComponentContent {
        source: ContentRef {
            source: Some(component.source.clone()),
            ..ContentRef::default()
        },
        files: Vec::new(),
    });
    let mut components = BTreeMap::new();
    let mut sqlite = BTreeMap::new();
    let folder = apps.folder.join(number.to_string());
    std::fs::create_dir_all(&folder)?;
    for component in &locked.components {
        let source = component.source.content.source.as_deref();
        let files = ComponentFiles {
            module: apps.modules.join(source.context("a source")?),
            files: None,
        };
        components.insert(component.id.clone(), files);
        for label in component.sqlite_databases() {
            sqlite.insert(label.to_owned(), folder.join(format!("{label}.db")));
        }
    }
    Ok(AppConfig {
        id: host(number),
        owner: String::new(),
        generation: 1,
        hosts: vec![host(number)],
        locked,
        components,
        variables: BTreeMap::new(),
        environment: BTreeMap::new(),
        sqlite,
        key_value: BTreeMap::new(),
        limits: Limits {
            // Twice as many as ask: it is the engine that is measured, not the queue before it.
            concurrency: 128,
            ..Limits::default()
        },
        component_limits: BTreeMap::new(),
        // It is the engine that is measured.
        share: ShareLimits {
            instances: apps.engine.max_instances,
            ..ShareLimits::default()
        },
        egress: nokube_engine::Egress::default(),
        reuse: Reuse {
            max_requests_per_instance: apps.reuse,
            ..Reuse::default()
        },
        trusted: false,
        log_dir: folder,
        lazy: false,
    })
}

/// A request for an application.
pub(crate) fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")
}
