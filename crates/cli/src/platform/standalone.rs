//! `nokube sidecar`: applications and builds on this machine, for a platform that runs elsewhere, such
//! as under `spin up`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use nokube_engine::server::{ServerOptions, serve};
use nokube_engine::{Engine, EngineOptions};
use nokube_sidecar::durable::write_durably;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::data_dir;
use super::front::Front;
use super::front::caller::Proxies;
use super::keys::Keys;
use super::machine::{Machine, PlatformAddress, listen};
use super::process;
use super::runner::{self, Build, RunnerChild, Visitors};
use crate::args::{SidecarArgs, TargetKind};

/// Runs the sidecar until it is told to stop.
pub(crate) fn run(args: SidecarArgs, json: bool) -> anyhow::Result<()> {
    process::start_log();
    process::start_serving();
    let TargetKind::Local = args.target;
    process::serving_runtime()?.block_on(sidecar(args, json))
}

async fn sidecar(args: SidecarArgs, json: bool) -> anyhow::Result<()> {
    let shutdown = process::shutdown_signal()?;
    let keys_file = args
        .keys
        .clone()
        .unwrap_or_else(|| data_dir::keys_file(&args.local.data_dir));
    let keys = Keys::read(&keys_file)?;
    let platform_url = url::Url::parse(&args.platform_url)
        .with_context(|| format!("--platform-url {} is no address", args.platform_url))?;
    let proxies = Proxies::parse(&args.trusted_proxies, args.public_url.is_some())?;
    let visitors = Visitors::of(
        platform_listener(&platform_url),
        args.public_url.as_deref(),
        &args.trusted_proxies,
    );
    let api = listen(args.listen, "--listen").await?;
    let apps = listen(args.apps_listen, "--apps-listen").await?;
    let (api_address, apps_address) = (api.local_addr()?, apps.local_addr()?);

    // Nothing runs in this engine: it names what modules are compiled for.
    let options = EngineOptions {
        max_instances: 1,
        ..EngineOptions::tenants()
    };
    let mut machine = Machine::start(&args.local, &Engine::new(options)?)?;
    let sidecar = machine.start_sidecar(
        &args.local,
        &keys,
        &PlatformAddress {
            internal_url: args.platform_url.clone(),
            public_host: platform_url.domain().map(str::to_ascii_lowercase),
        },
        apps_address,
    )?;
    machine.hosts.until_all_adopted().await;
    let front = Front::new(
        Arc::clone(&machine.hosts),
        machine.tenants.sockets(),
        proxies,
    );
    let stop_serving = CancellationToken::new();
    let serving = tokio::spawn(serve(
        apps,
        Arc::new(front),
        ServerOptions::default(),
        stop_serving.clone(),
    ));
    let stop_api = CancellationToken::new();
    let router = sidecar.api_router().merge(sidecar.blob_router());
    let serving_api = tokio::spawn({
        let stop = stop_api.clone().cancelled_owned();
        async move { axum::serve(api, router).with_graceful_shutdown(stop).await }
    });
    if !args.build.no_runner {
        // The keys' folder is the platform's own, wherever it is.
        let keys_dir = std::fs::canonicalize(&keys_file)
            .ok()
            .and_then(|file| Some(file.parent()?.to_owned()));
        let private_dirs = [machine.data.root().to_owned()]
            .into_iter()
            .chain(keys_dir)
            .collect();
        let platform_port = platform_url.port_or_known_default();
        let child = RunnerChild {
            platform_url: args.platform_url.clone(),
            token: keys.get("runner_token")?.to_owned(),
            data_dir: machine.data.runner(),
            private_dirs,
            denied_ports: [api_address.port(), apps_address.port()]
                .into_iter()
                .chain(platform_port)
                .collect(),
            git_access: runner::git_access(&args.build, visitors),
        };
        let build = Build::from(args.build);
        machine.keep(|stop| child.keep_running(build, stop));
    }
    announce(&args.ready_file, api_address, apps_address, json)?;

    shutdown.cancelled().await;
    tracing::info!("stopping");
    // The runner gives its builds back; the platform may ask this API about one that just succeeded.
    machine.stop_others().await;
    stop_serving.cancel();
    stop_api.cancel();
    let _ = serving.await;
    drop(sidecar);
    machine.stop().await;
    serving_api.abort();
    Ok(())
}

/// The platform's address as far as its URL says: anything but loopback counts as public.
fn platform_listener(url: &url::Url) -> SocketAddr {
    let port = url.port_or_known_default().unwrap_or_default();
    let ip = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.into(),
        Some(url::Host::Ipv6(ip)) => ip.into(),
        Some(url::Host::Domain("localhost")) => std::net::Ipv4Addr::LOCALHOST.into(),
        _ => std::net::Ipv4Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, port)
}

#[expect(clippy::print_stdout, reason = "what the command is for")]
fn announce(
    file: &Option<std::path::PathBuf>,
    api: SocketAddr,
    apps: SocketAddr,
    json: bool,
) -> anyhow::Result<()> {
    let ready = json!({
        "url": format!("http://{api}"),
        "apps_url": format!("http://{apps}"),
        "pid": std::process::id(),
    });
    if let Some(file) = file {
        let file = std::path::absolute(file)?;
        write_durably(&file, ready.to_string().as_bytes())
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    if json {
        println!("{ready}");
    } else {
        println!("  Sidecar      http://{api}");
        println!("  Applications http://{apps}");
    }
    Ok(())
}
