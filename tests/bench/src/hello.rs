//! The engine alone: a hello component with a fresh instance per request and with reused ones, beside
//! the same HTTP server answering natively.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::BodyExt as _;
use nokube_engine::config::{AppConfig, ComponentFiles};
use nokube_engine::server::{self, ServerOptions};
use nokube_engine::{Body, Client, Engine, EngineOptions, Limits, Reuse};
use nokube_spinapp::LockedApp;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::load;
use crate::table::Table;

const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// The modes: name and requests per instance; 0 answers natively.
const MODES: [(&str, u32); 3] = [("native", 0), ("fresh", 1), ("reused", 1000)];

/// Measures it.
pub(crate) async fn measure(table: &mut Table, duration: Duration) -> anyhow::Result<()> {
    let wasm = nokube_tests::guests::example("hello-wasi");
    for connections in CONNECTIONS {
        let mut native = None;
        for (mode, reuse) in MODES {
            let (mut child, address) = start(&wasm, reuse).await?;
            let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n");
            let measured = load::run(address, &request, connections, duration).await?;
            let rate = measured.per_second;
            table.add_load(
                &format!("hello, {mode}, {connections} connections"),
                &measured,
            );
            match native {
                None => native = Some(rate),
                Some(native) => table.add(
                    &format!("hello, {mode} to native, {connections} connections"),
                    &[("ratio", rate / native, "of the native rate")],
                ),
            }
            child.kill().await?;
        }
    }
    Ok(())
}

/// Starts this program as the server and reads the address it printed.
async fn start(wasm: &Path, reuse: u32) -> anyhow::Result<(Child, SocketAddr)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["serve", "--reuse", &reuse.to_string()])
        .arg(wasm)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child
        .stdout
        .take()
        .context("the server's output is piped")?;
    let line = BufReader::new(stdout).lines().next_line().await?;
    let Some(line) = line else {
        bail!("the server ended before it listened")
    };
    Ok((child, line.parse()?))
}

/// Serves the component until it is killed.
pub(crate) async fn serve(wasm: &Path, reuse: u32) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let shutdown = tokio_util::sync::CancellationToken::new();
    if reuse == 0 {
        let native = |_: http::Request<Body>, _: Client| async {
            let body = http_body_util::Full::from("hello\n").map_err(|never| match never {});
            http::Response::new(body.boxed_unsync())
        };
        server::serve(
            listener,
            Arc::new(native),
            ServerOptions::default(),
            shutdown,
        )
        .await;
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let app = Engine::new(EngineOptions::tenants())?
        .load(config(wasm, folder.path(), reuse)?)
        .await?;
    let handler = move |request: http::Request<Body>, client: Client| {
        let app = Arc::clone(&app);
        async move { app.handle(request, client).await }
    };
    server::serve(
        listener,
        Arc::new(handler),
        ServerOptions::default(),
        shutdown,
    )
    .await;
    Ok(())
}

fn config(wasm: &Path, folder: &Path, reuse: u32) -> anyhow::Result<AppConfig> {
    let locked = json!({
        "spin_lock_version": 0,
        "metadata": { "name": "hello", "trigger": { "type": "http" }, "triggers": {} },
        "triggers": [{
            "id": "hello-http-trigger",
            "trigger_type": "http",
            "trigger_config": { "component": "hello", "route": "/..." },
        }],
        "components": [{
            "id": "hello",
            "source": { "content_type": "application/wasm", "digest": format!("sha256:{}", "0".repeat(64)) },
        }],
    });
    Ok(AppConfig {
        id: "hello".to_owned(),
        generation: 1,
        hosts: Vec::new(),
        locked: LockedApp::from_json(&serde_json::to_vec(&locked)?)?,
        components: [(
            "hello".to_owned(),
            ComponentFiles {
                module: PathBuf::from(wasm),
                files: None,
            },
        )]
        .into(),
        variables: Default::default(),
        environment: Default::default(),
        sqlite: Default::default(),
        key_value: Default::default(),
        limits: Limits {
            concurrency: 128,
            ..Limits::default()
        },
        component_limits: Default::default(),
        egress: Default::default(),
        reuse: Reuse {
            max_requests_per_instance: reuse,
            ..Reuse::default()
        },
        trusted: false,
        log_dir: folder.to_owned(),
        lazy: false,
    })
}
