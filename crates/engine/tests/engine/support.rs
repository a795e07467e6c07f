//! The stage: a compiled probe, an application made of it, a server, and a plain HTTP/1.1 client.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nokube_engine::logs::{self, Line};
use nokube_engine::server::{self, ServerOptions};
use nokube_engine::{
    App, AppConfig, ComponentFiles, Egress, Engine, EngineOptions, Limits, Registry, Reuse,
    ShareLimits,
};
use nokube_spinapp::locked::LockedApp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The engine and the compiled probe, once for all tests of this program.
pub(crate) fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE
        .get_or_init(|| Engine::new(EngineOptions::tenants()).expect("an engine"))
        .clone()
}

pub(crate) fn probe_wasm() -> &'static Path {
    static WASM: OnceLock<PathBuf> = OnceLock::new();
    WASM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = root.join("target/guest-tests");
        let cargo = std::env::var_os("NOKUBE_GUEST_CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args([
                "build",
                "--release",
                "--locked",
                "--target",
                "wasm32-wasip2",
                "--target-dir",
            ])
            .arg(&target)
            .current_dir(root.join("tests/guests/probe"))
            .output()
            .expect("cargo runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "the probe does not compile:\n{errors}"
        );
        target.join("wasm32-wasip2/release/probe.wasm")
    })
}

/// The probe as native code.
pub(crate) fn probe() -> &'static Path {
    static NATIVE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = NATIVE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("probe.cwasm");
        engine()
            .compile_file(probe_wasm(), &path)
            .expect("the probe compiles");
        (dir, path)
    });
    path
}

/// An application of probes, and the folder with everything it writes.
pub(crate) struct Stage {
    pub(crate) config: AppConfig,
    pub(crate) dir: TempDir,
}

impl Stage {
    /// One component `probe` at `/...`.
    pub(crate) fn new(id: &str) -> Self {
        Self::of(id, &[("probe", json!("/..."))], &Value::Null)
    }

    /// Components with their routes; `metadata` is merged into each one's.
    pub(crate) fn of(id: &str, routes: &[(&str, Value)], metadata: &Value) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut locked = json!({ "spin_lock_version": 1, "metadata": { "name": id }, "triggers": [], "components": [] });
        for (number, (component, route)) in routes.iter().enumerate() {
            push(
                &mut locked["triggers"],
                json!({
                    "id": format!("trigger-{number}"),
                    "trigger_type": "http",
                    "trigger_config": { "component": component, "route": route },
                }),
            );
            let known = locked["components"]
                .as_array()
                .is_some_and(|all| all.iter().any(|c| c["id"] == *component));
            if !known {
                push(
                    &mut locked["components"],
                    json!({
                        "id": component,
                        "metadata": if metadata.is_null() { json!({}) } else { metadata.clone() },
                        "source": { "content_type": "application/wasm", "digest": format!("sha256:{}", "0".repeat(64)) },
                    }),
                );
            }
        }
        let components = locked["components"].as_array().into_iter().flatten();
        let components = components
            .map(|component| {
                let files = ComponentFiles {
                    module: probe().to_owned(),
                    files: None,
                };
                (component["id"].as_str().expect("an id").to_owned(), files)
            })
            .collect();
        let config = AppConfig {
            id: id.to_owned(),
            owner: String::new(),
            generation: 1,
            hosts: vec![format!("{id}.test")],
            locked: LockedApp::from_json(locked.to_string().as_bytes())
                .expect("a locked application"),
            components,
            variables: BTreeMap::new(),
            environment: BTreeMap::new(),
            sqlite: BTreeMap::new(),
            key_value: BTreeMap::new(),
            limits: Limits::default(),
            component_limits: BTreeMap::new(),
            share: ShareLimits::default(),
            egress: Egress::default(),
            reuse: Reuse::default(),
            trusted: false,
            log_dir: dir.path().join("logs"),
            lazy: false,
        };
        Self { config, dir }
    }

    /// With databases of these labels, which the component may open.
    pub(crate) fn with_databases(id: &str, labels: &[&str]) -> Self {
        let metadata = json!({ "databases": labels, "allowed_outbound_hosts": ["http://*:*"] });
        let mut stage = Self::of(id, &[("probe", json!("/..."))], &metadata);
        for label in labels {
            let path = stage.dir.path().join(format!("{label}.db"));
            stage.config.sqlite.insert((*label).to_owned(), path);
        }
        stage
    }

    pub(crate) async fn load(&self) -> Arc<App> {
        engine()
            .load(self.config.clone())
            .await
            .expect("the application loads")
    }

    /// Loads it and serves it on a port of its own.
    pub(crate) async fn serve(self) -> Served {
        let registry = Registry::new();
        registry.put(self.load().await);
        Served::start(registry, self).await
    }

    pub(crate) fn log(&self) -> Vec<Line> {
        logs::read(&self.config.log_dir, None, 100_000)
            .expect("a log")
            .lines
    }
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().expect("a list").push(item);
}

/// A stage behind a listener.
pub(crate) struct Served {
    pub(crate) addr: SocketAddr,
    pub(crate) registry: Registry,
    pub(crate) stage: Stage,
    _stop: DropGuard,
}

impl Served {
    pub(crate) async fn start(registry: Registry, stage: Stage) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let serving = server::serve(
            listener,
            Arc::new(registry.clone()),
            ServerOptions {
                drain_ms: 100,
                ..ServerOptions::default()
            },
            stop.clone(),
        );
        tokio::spawn(serving);
        Self {
            addr,
            registry,
            stage,
            _stop: stop.drop_guard(),
        }
    }

    pub(crate) fn host(&self) -> &str {
        &self.stage.config.hosts[0]
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.get_with(path, "").await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &str) -> Reply {
        let host = self.host();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n");
        exchange(self.addr, request.as_bytes()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        let host = self.host();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        exchange(self.addr, request.as_bytes()).await
    }

    /// Waits until a line of the log contains `words`.
    pub(crate) async fn logged(&self, words: &str) -> Line {
        for _ in 0..200 {
            if let Some(line) = self
                .stage
                .log()
                .into_iter()
                .find(|line| line.text.contains(words))
            {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{words:?} is not in the log: {:#?}", self.stage.log());
    }
}

/// An answer, as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    /// The connection ended in an orderly way and the body has its announced length.
    pub(crate) complete: bool,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
    }

    /// Reads what a connection that will be closed has to say.
    pub(crate) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes).await.is_ok();
        let text = String::from_utf8_lossy(&bytes);
        let (head, rest) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        let chunked = head
            .to_ascii_lowercase()
            .contains("transfer-encoding: chunked");
        let mut reply = Self {
            status,
            head: head.to_owned(),
            body: rest.to_owned(),
            complete: ended,
        };
        if chunked {
            reply.complete &= rest.ends_with("0\r\n\r\n");
            reply.body = dechunk(rest);
        } else if let Some(length) = reply.header("content-length") {
            reply.complete &= length == rest.len().to_string();
        }
        reply
    }
}

fn dechunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || after.len() < size {
            break;
        }
        body.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    body
}

pub(crate) async fn exchange(addr: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    stream.write_all(request).await.expect("sent");
    Reply::read(&mut stream).await
}
