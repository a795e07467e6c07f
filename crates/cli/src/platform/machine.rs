//! What `up` and `sidecar` have in common: a data folder, the tenants' process, the local target and
//! the sidecar in front of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nokube_artifact::layout::Layout;
use nokube_engine::{Egress, Engine};
use nokube_sidecar::{Sidecar, SidecarOptions, StorageOptions, Target};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::cache::ModuleCache;
use super::data_dir::DataDir;
use super::front::hosts::HostTable;
use super::keys::Keys;
use super::local_target::{Addresses, LocalTarget, LocalTargetOptions};
use super::tenants::control::ControlClient;
use super::tenants::supervisor::TenantsProcess;
use crate::args::LocalArgs;

const MIB: u64 = 1 << 20;

/// This machine as a place where applications run.
pub(crate) struct Machine {
    pub(crate) data: DataDir,
    pub(crate) hosts: Arc<HostTable>,
    pub(crate) tenants: Arc<TenantsProcess>,
    pub(crate) cache: ModuleCache,
    children: Children,
    tenants_process: Children,
}

/// Children that end together.
struct Children {
    stop: CancellationToken,
    running: Vec<JoinHandle<()>>,
}

impl Children {
    fn new() -> Self {
        Self {
            stop: CancellationToken::new(),
            running: Vec::new(),
        }
    }

    fn keep<F>(&mut self, child: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.running.push(tokio::spawn(child(self.stop.clone())));
    }

    /// Ends them and waits for that: some seconds at most.
    async fn end(&mut self) {
        self.stop.cancel();
        for child in self.running.drain(..) {
            // A panic there was said already.
            let _ = child.await;
        }
    }
}

impl Machine {
    /// Takes the data folder and starts the tenants' process.
    pub(crate) fn start(args: &LocalArgs, engine: &Engine) -> anyhow::Result<Self> {
        let data = DataDir::open(&args.data_dir)?;
        let uid = rustix::process::geteuid()
            .is_root()
            .then_some(args.tenant_uid);
        let reserve = args.storage.min_free_mib;
        let tenants = TenantsProcess::prepare(&data.run(), &data.tenants(), uid, reserve)?;
        let tenants = Arc::new(tenants);
        let cache = ModuleCache::open(&data.cache(), &engine.compatibility(), uid)
            .context("the cache of compiled modules cannot be used")?;
        let mut tenants_process = Children::new();
        tenants_process.keep(|stop| Arc::clone(&tenants).keep_running(stop));
        Ok(Self {
            hosts: Arc::new(HostTable::new(&args.base_domain)),
            data,
            tenants,
            cache,
            children: Children::new(),
            tenants_process,
        })
    }

    /// Keeps another child running until [`Machine::stop_others`].
    pub(crate) fn keep<F>(&mut self, child: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.children.keep(child);
    }

    /// Starts the sidecar: from here on what is wanted is converged to.
    pub(crate) fn start_sidecar(
        &self,
        args: &LocalArgs,
        keys: &Keys,
        platform: &PlatformAddress,
        apps_listen: SocketAddr,
    ) -> anyhow::Result<Sidecar> {
        let layout = Layout::open(self.data.artifacts())
            .with_context(|| format!("{} cannot be used", self.data.artifacts().display()))?;
        let target = LocalTarget::start(LocalTargetOptions {
            layout,
            outside: self.tenants.folders_outside(),
            inside: self.tenants.folders_inside(),
            cache: self.cache.clone(),
            hosts: Arc::clone(&self.hosts),
            control: ControlClient::new(self.tenants.sockets()),
            life: self.tenants.life(),
            addresses: Addresses {
                base_domain: args.base_domain.to_ascii_lowercase(),
                port: apps_listen.port(),
                platform_hosts: platform.public_host.clone().into_iter().collect(),
            },
            egress: Egress {
                private_addresses: args.tenant_private_egress,
            },
            most_module_bytes: args.storage.module_cache_mib.saturating_mul(MIB),
            idle: Duration::from_secs(args.unload_idle_after.into()),
        });
        let target: Arc<dyn Target> = target;
        let options = SidecarOptions {
            data_dir: self.data.sidecar(),
            artifacts_dir: self.data.artifacts(),
            platform_url: platform.internal_url.clone(),
            sidecar_token: keys.get("sidecar_token")?.to_owned(),
            system_token: keys.get("system_token")?.to_owned(),
            sealing_key: keys.get("sealing_key")?.to_owned(),
            storage: StorageOptions {
                reserve_bytes: args.storage.min_free_mib.map(|mib| mib.saturating_mul(MIB)),
                every: Duration::from_secs(args.storage.housekeeping_seconds),
                unused_for: Duration::from_secs(args.storage.unused_for_seconds),
            },
            dns_server: None,
        };
        Ok(Sidecar::start(options, target)?)
    }

    /// Ends what runs beside the tenants' process and waits for that. A build runner gives its builds back first, so
    /// the platform still has to answer.
    pub(crate) async fn stop_others(&mut self) {
        self.children.end().await;
    }

    /// Ends all children and waits for that.
    pub(crate) async fn stop(mut self) {
        self.children.end().await;
        self.tenants_process.end().await;
    }
}

/// How the platform is reached.
pub(crate) struct PlatformAddress {
    /// From this machine.
    pub(crate) internal_url: String,
    /// The host name users know it by, if it has one.
    pub(crate) public_host: Option<String>,
}

/// Where something that listens on `listen` is reached from this machine.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        // A listener on `::` takes IPv4 too, unless the system was told otherwise.
        IpAddr::V4(_) | IpAddr::V6(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}

/// Listens, or says what to do.
pub(crate) async fn listen(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{address} cannot be listened on; stop what uses it, or choose another {option}")
    })
}
