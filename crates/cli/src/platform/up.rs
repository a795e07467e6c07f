//! `nokube up`: the whole platform on one machine, on one port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Empty};
use nokube_engine::server::{ServerOptions, serve};
use nokube_engine::{App, Client, Egress, Engine, EngineOptions};
use nokube_sidecar::durable::write_durably;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::front::Front;
use super::front::caller::Proxies;
use super::keys::Keys;
use super::machine::{Machine, PlatformAddress, listen, reachable};
use super::platform_app::PlatformApp;
use super::process;
use super::runner::{self, Build, RunnerChild, Visitors};
use super::settled;
use crate::args::{GitAccessKind, UpArgs};

/// The sidecar's API, for the platform's own components.
const SIDECAR_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// The first request migrates databases.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What is told once the platform answers.
#[derive(Debug, Serialize)]
struct Ready {
    /// Base address, for users.
    url: String,
    /// The API.
    api: String,
    /// The address that was bound.
    listen: SocketAddr,
    pid: u32,
    data_dir: std::path::PathBuf,
    base_domain: String,
    /// Missing once somebody has used it.
    setup_code: Option<String>,
}

/// Runs the platform until it is told to stop.
pub(crate) fn run(args: UpArgs, json: bool) -> anyhow::Result<()> {
    process::start_log();
    process::start_serving();
    process::serving_runtime()?.block_on(up(args, json))
}

async fn up(mut args: UpArgs, json: bool) -> anyhow::Result<()> {
    settled::check_variables(&args.variables)?;
    let shutdown = process::shutdown_signal()?;
    let proxies = Proxies::parse(&args.trusted_proxies, args.public_url.is_some())?;
    let listener = listen(args.listen, "--listen").await?;
    let address = listener.local_addr()?;
    let engine = Engine::new(EngineOptions::platform())?;
    let mut machine = Machine::start(&args.local, &engine)?;
    let keys = Keys::ensure(machine.data.root())?;
    let api = listen(SIDECAR_LISTEN, "--listen").await?;
    let addresses = Addresses::new(&args, address, api.local_addr()?);

    let config = PlatformApp {
        manifest: &args.manifest,
        runtime_config: args.runtime_config.as_deref(),
        databases: &machine.data.databases(),
        log_dir: machine.data.logs(),
        variables: addresses.variables(&args, &keys),
        // Its manifest names the few addresses that it connects to, the sidecar's among them.
        egress: Egress {
            private_addresses: true,
        },
        cache: &machine.cache,
    }
    .configure()
    .await?;
    let platform = engine.load(config).await?;

    let sidecar = machine.start_sidecar(
        &args.local,
        &keys,
        &PlatformAddress {
            internal_url: addresses.internal_url.clone(),
            public_host: addresses.public_host(),
        },
        address,
    )?;
    // Connections wait meanwhile.
    machine.hosts.until_all_adopted().await;
    let front = Front::new(
        Arc::clone(&machine.hosts),
        machine.tenants.sockets(),
        proxies,
    )
    .with_platform(Arc::clone(&platform), sidecar.blob_router());
    let stop_serving = CancellationToken::new();
    let serving = tokio::spawn(serve(
        listener,
        Arc::new(front),
        ServerOptions::default(),
        stop_serving.clone(),
    ));
    let sidecar_api = tokio::spawn(serve_api(api, sidecar.api_router()));

    if !args.build.no_runner {
        if args.build.fileserver.is_none() {
            args.build.fileserver = runner::default_fileserver(&args.manifest);
        }
        let child = RunnerChild {
            platform_url: addresses.internal_url.clone(),
            token: keys.get("runner_token")?.to_owned(),
            data_dir: machine.data.runner(),
            private_dirs: vec![machine.data.root().to_owned()],
            denied_ports: addresses.own_ports(),
            git_access: addresses.git_access,
        };
        let build = Build::from(args.build);
        machine.keep(|stop| child.keep_running(build, stop));
    }

    let ready = Ready {
        setup_code: until_ready(&platform, &keys).await?,
        api: format!("{}/api/v1", addresses.public_url),
        url: addresses.public_url.clone(),
        listen: address,
        pid: std::process::id(),
        data_dir: machine.data.root().to_owned(),
        base_domain: args.local.base_domain.clone(),
    };
    announce(&ready, args.ready_file.as_deref(), json)?;

    shutdown.cancelled().await;
    tracing::info!("stopping");
    // The runner gives its builds back through the same listener as everybody.
    machine.stop_others().await;
    // Requests in flight end next; they may need everything else.
    stop_serving.cancel();
    let _ = serving.await;
    drop(sidecar);
    machine.stop().await;
    sidecar_api.abort();
    if let Some(file) = &args.ready_file {
        // It says that the platform answers.
        let _ = std::fs::remove_file(file);
    }
    Ok(())
}

async fn serve_api(listener: TcpListener, router: axum::Router) {
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // Answers are small, and written in two parts.
        let _ = stream.set_nodelay(true);
    });
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the sidecar's API has ended");
    }
}

/// Where everything is.
struct Addresses {
    listen: SocketAddr,
    sidecar: SocketAddr,
    /// The sidecar that deploys in place of this process's own.
    other_sidecar: Option<url::Url>,
    internal_url: String,
    public_url: String,
    git_access: GitAccessKind,
}

impl Addresses {
    fn new(args: &UpArgs, listen: SocketAddr, sidecar: SocketAddr) -> Self {
        let internal_url = format!("http://{}", reachable(listen));
        let public_url = args.public_url.as_deref().map_or_else(
            || internal_url.clone(),
            |url| url.trim_end_matches('/').to_owned(),
        );
        Self {
            listen,
            sidecar,
            other_sidecar: args.sidecar_url.clone(),
            internal_url,
            public_url,
            git_access: runner::git_access(
                &args.build,
                Visitors::of(listen, args.public_url.as_deref(), &args.trusted_proxies),
            ),
        }
    }

    /// Ports that builds are kept from.
    fn own_ports(&self) -> Vec<u16> {
        let other = self.other_sidecar.as_ref();
        [self.listen.port(), self.sidecar.port()]
            .into_iter()
            .chain(other.and_then(url::Url::port_or_known_default))
            .collect()
    }

    fn public_host(&self) -> Option<String> {
        let url = url::Url::parse(&self.public_url).ok()?;
        url.domain().map(str::to_ascii_lowercase)
    }

    /// Variables of the platform's application: keys, what is known here, what the operator said.
    fn variables(&self, args: &UpArgs, keys: &Keys) -> BTreeMap<String, String> {
        let ports: Vec<String> = self.own_ports().iter().map(u16::to_string).collect();
        let mut variables = keys.variables().clone();
        // Whoever deploys needs the artifacts, so they are kept there.
        let (sidecar_url, blob_url) = match &self.other_sidecar {
            Some(url) => {
                let url = url.as_str().trim_end_matches('/').to_owned();
                (url.clone(), url)
            }
            None => (format!("http://{}", self.sidecar), self.public_url.clone()),
        };
        let known = [
            ("platform_url", self.public_url.clone()),
            ("sidecar_url", sidecar_url),
            ("blob_url", blob_url),
            ("git_access", self.git_access.as_str().to_owned()),
            ("denied_ports", ports.join(",")),
            ("base_domain", args.local.base_domain.clone()),
            // The front has to know them too, so the option alone says them.
            ("trusted_proxies", args.trusted_proxies.clone()),
        ];
        variables.extend(known.map(|(name, value)| (name.to_owned(), value)));
        // What was not said is left to the runtime configuration and the manifest.
        let said = [
            ("registry", &args.registry),
            ("cors_origins", &args.cors_origins),
        ];
        let said = said.map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        variables.extend(said.into_iter().flatten());
        variables.extend(args.variables.iter().cloned());
        variables
    }
}

/// Waits until the platform answers. Returns the setup code while nobody has used it.
async fn until_ready(platform: &Arc<App>, keys: &Keys) -> anyhow::Result<Option<String>> {
    let (status, answer) = tokio::time::timeout(
        READY_WITHIN,
        ask(platform, "/internal/setup", keys.get("system_token")?),
    )
    .await
    .context("the platform does not answer")?;
    if status >= 500 {
        anyhow::bail!("the platform does not start; its log is below the data folder in logs/");
    }
    let done = serde_json::from_slice::<serde_json::Value>(&answer)
        .ok()
        .and_then(|answer| answer["setup_done"].as_bool());
    Ok(match done {
        Some(true) => None,
        Some(false) | None => Some(keys.get("setup_code")?.to_owned()),
    })
}

async fn ask(platform: &Arc<App>, path: &str, token: &str) -> (u16, Vec<u8>) {
    let request = http::Request::builder()
        .uri(path)
        .header(http::header::HOST, "localhost")
        .header(http::header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Empty::new().map_err(|never| match never {}).boxed_unsync());
    let Ok(request) = request else {
        return (500, Vec::new());
    };
    let answer = platform.handle(request, Client::internal()).await;
    let status = answer.status().as_u16();
    match answer.into_body().collect().await {
        Ok(body) => (status, body.to_bytes().to_vec()),
        Err(_) => (500, Vec::new()),
    }
}

#[expect(clippy::print_stdout, reason = "what the command is for")]
fn announce(ready: &Ready, file: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let text = serde_json::to_string(ready)?;
    if let Some(file) = file {
        let file = std::path::absolute(file)?;
        write_durably(&file, text.as_bytes())
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    if json {
        println!("{text}");
        return Ok(());
    }
    println!("\n  NoKube is running at {}", ready.url);
    println!("  API          {}", ready.api);
    println!(
        "  Applications http://<service>.<project>.<owner>.{}:{}/",
        ready.base_domain,
        ready.listen.port()
    );
    println!("  Data         {}", ready.data_dir.display());
    if let Some(code) = &ready.setup_code {
        println!("  Setup code   {code}   (whoever registers with it becomes the administrator)");
        println!(
            "\n  nokube register --url {} --username <name> --setup-code {code}",
            ready.url
        );
    }
    println!("\n  Ctrl-C stops all of it.\n");
    Ok(())
}
