//! A replica's life: it answers from the start, waits until it leads, leads until it is told to stop or
//! must not any more.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nokube_artifact::layout::Layout;
use nokube_keys::Secret;
use nokube_manifests::{Dns, Quota, Settings};
use nokube_sidecar::durable::create_private_dir;
use nokube_sidecar::{Sidecar, SidecarOptions, StorageOptions};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::api::Cluster;
use crate::args::{Cli, Command, Format, PlatformArgs, QuotaArgs, RbacArgs, ServeArgs};
use crate::leader::{Candidate, Role, Term};
use crate::memory;
use crate::metrics::Metrics;
use crate::permissions::{self, Names};
use crate::secrets::Secrets;
use crate::serve::{Front, Own, Serving, router};
use crate::target::{ClusterTarget, TargetOptions};

/// Which variable says how much is logged.
const LOG_VARIABLE: &str = "NOKUBE_LOG";
/// The keys' names begin so, as the platform's own application has them.
const KEYS: &str = "SPIN_VARIABLE_";
/// Name of the lease, for each platform one.
const LEASE: &str = "sidecar";
/// Desired state is written by threads that wait for the cluster: so many deployments are told at once.
const BLOCKING_THREADS: usize = 16;
const BLOCKING_IDLE: Duration = Duration::from_secs(5);
/// Two keep one slow request from delaying the rest; each more costs memory.
const WORKERS: usize = 2;
const RETRY: Duration = Duration::from_secs(2);
/// Requests that are being answered get so long at the end.
const GRACE: Duration = Duration::from_secs(2);
/// And then what is being written to the cluster; a pod has thirty seconds in all.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Does what the command line says.
///
/// # Errors
/// Anything that ends the program, in words for the operator.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    if let Some(Command::Rbac(args)) = cli.command {
        return print_roles(&args);
    }
    start_log();
    memory::bound();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_IDLE)
        .enable_all()
        .build()
        .context("no runtime can be started")?;
    let outcome = runtime.block_on(serve(cli.serve));
    // What still waits for the cluster was not acknowledged.
    runtime.shutdown_timeout(GRACE);
    outcome
}

#[expect(clippy::print_stdout, reason = "what the command is for")]
fn print_roles(args: &RbacArgs) -> anyhow::Result<()> {
    let PlatformArgs {
        platform,
        namespace,
        account,
        tenant_role,
    } = args.platform.clone();
    let objects = permissions::objects(&Names {
        platform,
        namespace,
        account,
        tenant_role,
    });
    match args.format {
        Format::Yaml => {
            for object in &objects {
                print!("---\n{}", object.to_yaml());
            }
        }
        Format::Json => {
            let items: Vec<_> = objects.into_iter().map(|object| object.body).collect();
            let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": items });
            println!("{}", serde_json::to_string_pretty(&list)?);
        }
    }
    Ok(())
}

fn start_log() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    // A second subscriber is refused; the first goes on.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .try_init();
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let shutdown = shutdown_signal()?;
    let settings = settings(&args)?;
    let keys = Keys::read()?;
    let layout = open_layout(&args.data_dir)?;
    let metrics = Arc::new(Metrics::default());
    let cluster = connect(Arc::clone(&metrics)).await?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("{} cannot be listened on", args.listen))?;
    let listen = listener.local_addr()?;
    let front = Arc::new(Front::new(Arc::clone(&metrics)).context("no HTTP client can be made")?);
    let stop = CancellationToken::new();
    let mut serving = tokio::spawn({
        let router = router(Arc::clone(&front));
        let stop = stop.clone().cancelled_owned();
        async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(stop)
                .await
        }
    });
    tracing::info!(%listen, platform = settings.platform, "answering");

    let advertised = args.advertise.unwrap_or_else(|| match args.pod_ip {
        Some(ip) => (ip, listen.port()).into(),
        None => listen,
    });
    let (renewed, renewals) = watch::channel(Instant::now());
    let candidate = Arc::new(Candidate {
        cluster: cluster.at_once(),
        namespace: settings.system_namespace.clone(),
        name: format!("{}-{LEASE}", settings.platform),
        identity: format!("{}_{}", args.pod_name, uuid::Uuid::now_v7()),
        address: advertised.to_string(),
        renewed,
    });
    let (role, mut roles) = watch::channel(Role::Following(None));
    let leading = tokio::spawn({
        let candidate = Arc::clone(&candidate);
        async move { candidate.run(role).await }
    });
    let replica = Replica {
        args,
        settings,
        keys,
        layout,
        metrics,
        cluster,
        identity: candidate.identity.clone(),
        term: Arc::new(Term::new(renewals)),
    };
    let outcome = tokio::select! {
        outcome = replica.live(&front, &mut roles, &shutdown) => outcome,
        never = memory::keep_small() => match never {},
    };

    leading.abort();
    if outcome.is_err() {
        replica.term.revoke();
    }
    let last = front.set(Serving::Nobody);
    stop.cancel();
    let _ = tokio::time::timeout(GRACE, &mut serving).await;
    serving.abort();
    // Nothing is changed any more before another one may begin: a call that is broken off may have been heard.
    let ended = tokio::time::timeout(LAST_WRITES, replica.term.end()).await;
    drop(last);
    if outcome.is_ok() && ended.is_ok() {
        candidate.give_back().await;
    }
    outcome
}

/// What a replica needs when it leads.
struct Replica {
    args: ServeArgs,
    settings: Settings,
    keys: Keys,
    layout: Layout,
    metrics: Arc<Metrics>,
    cluster: Cluster,
    identity: String,
    term: Arc<Term>,
}

impl Replica {
    /// Until it is told to stop. An error when it led, and does not any more.
    async fn live(
        &self,
        front: &Front,
        roles: &mut watch::Receiver<Role>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            let role = roles.borrow_and_update().clone();
            match role {
                Role::Following(address) => {
                    front.set(address.map_or(Serving::Nobody, Serving::Other));
                }
                Role::Leading => {
                    return tokio::select! {
                        outcome = self.lead(front, roles) => outcome,
                        () = shutdown.cancelled() => Ok(()),
                    };
                }
                Role::Lost => bail!("this sidecar does not lead any more"),
            }
            tokio::select! {
                changed = roles.changed() => changed.context("the lease is followed no more")?,
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }

    /// Acts until another one does.
    async fn lead(&self, front: &Front, roles: &mut watch::Receiver<Role>) -> anyhow::Result<()> {
        let begun = async {
            loop {
                match self.begin().await {
                    Ok(begun) => return Ok(begun),
                    Err(Begin::Later(error)) => {
                        tracing::warn!(%error, "what is wanted cannot be read from the cluster yet");
                        tokio::time::sleep(RETRY).await;
                    }
                    Err(Begin::Never(error)) => return Err(error),
                }
            }
        };
        let lost = async {
            let _ = roles.wait_for(|role| *role == Role::Lost).await;
        };
        tokio::pin!(lost);
        let (own, mut superseded) = tokio::select! {
            begun = begun => begun?,
            () = &mut lost => bail!("this sidecar does not lead any more"),
        };
        tracing::info!("what is wanted was read; converging");
        front.set(Serving::Own(Arc::new(own)));
        tokio::select! {
            () = &mut lost => {}
            _ = superseded.wait_for(|superseded| *superseded) => {}
        }
        bail!("this sidecar does not lead any more")
    }

    async fn begin(&self) -> Result<(Own, watch::Receiver<bool>), Begin> {
        let later = |error: crate::api::CallError| Begin::Later(error.to_string());
        let secrets = Secrets::open(
            self.cluster.at_once().in_term(Arc::clone(&self.term)),
            self.settings.system_namespace.clone(),
            self.settings.platform.clone(),
            self.identity.clone(),
        )
        .await
        .map_err(later)?;
        let target = ClusterTarget::open(
            self.cluster.clone(),
            Arc::clone(&self.metrics),
            TargetOptions {
                settings: self.settings.clone(),
                layout: self.layout.clone(),
                wasi_0_3: self.args.spin_wasi_0_3,
                term: Arc::clone(&self.term),
            },
        )
        .await
        .map_err(later)?;
        let superseded = secrets.superseded();
        let options = SidecarOptions {
            data_dir: self.args.data_dir.clone(),
            artifacts_dir: self.layout.root().to_owned(),
            platform_url: self.args.platform_url.clone(),
            sidecar_token: self.keys.sidecar_token.clone(),
            system_token: self.keys.system_token.clone(),
            sealing_key: self.keys.sealing_key.clone(),
            storage: StorageOptions::default(),
            dns_server: self.args.dns_server,
        };
        let sidecar = Sidecar::start_keeping(options, Arc::new(secrets), target)
            .map_err(|error| Begin::Never(error.into()))?;
        Ok((Own::new(sidecar), superseded))
    }
}

/// Why leading did not begin.
enum Begin {
    Later(String),
    Never(anyhow::Error),
}

/// No `Debug`.
struct Keys {
    sidecar_token: String,
    system_token: String,
    sealing_key: String,
}

impl Keys {
    fn read() -> anyhow::Result<Self> {
        let read = |name: &str| {
            let variable = format!("{KEYS}{name}");
            std::env::var(&variable)
                .ok()
                .filter(|value| !value.is_empty())
                .with_context(|| format!("{variable} is not set; `nokube keys` makes the keys"))
        };
        Ok(Self {
            sidecar_token: read("SIDECAR_TOKEN")?,
            system_token: read("SYSTEM_TOKEN")?,
            sealing_key: read("SEALING_KEY")?,
        })
    }
}

async fn connect(metrics: Arc<Metrics>) -> anyhow::Result<Cluster> {
    let mut config = kube::Config::infer().await.context(
        "there is no cluster to work with: neither KUBECONFIG nor a pod's service account",
    )?;
    // Calls are repeated here, where what they are for is known.
    config.default_retry = false;
    let client = kube::Client::try_from(config).context("the cluster's API cannot be called")?;
    Ok(Cluster::new(client, metrics))
}

fn open_layout(data_dir: &Path) -> anyhow::Result<Layout> {
    create_private_dir(data_dir)
        .with_context(|| format!("{} cannot be made", data_dir.display()))?;
    let artifacts = data_dir.join("artifacts");
    Layout::open(&artifacts).with_context(|| format!("{} cannot be used", artifacts.display()))
}

fn settings(args: &ServeArgs) -> anyhow::Result<Settings> {
    let pull_secret = match &args.pull_secret {
        None => None,
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            Some(Arc::new(Secret::new(text)))
        }
    };
    let public_host = match &args.public_url {
        None => None,
        Some(url) => url::Url::parse(url)
            .with_context(|| format!("--public-url {url} is no address"))?
            .domain()
            .map(str::to_ascii_lowercase),
    };
    let platform = args.platform.clone();
    let settings = Settings {
        platform: platform.platform,
        system_namespace: platform.namespace,
        sidecar_account: platform.account,
        tenant_role: platform.tenant_role,
        base_domain: args.base_domain.to_ascii_lowercase(),
        platform_hosts: public_host.into_iter().collect(),
        edge: args.edge.clone(),
        edge_namespace: args.edge_namespace.clone(),
        node_address: args.node_address.clone(),
        edge_networks: args.edge_networks.clone(),
        dns: Dns {
            namespace: args.dns_namespace.clone(),
            pods: args.dns_pods.0.clone(),
            ports: args.dns_ports.clone(),
        },
        certificate_issuer: args.certificate_issuer.clone(),
        executor: args.executor.clone(),
        runtime_class: args.runtime_class.clone(),
        storage_class: args.storage_class.clone(),
        pull_secret,
        denied_networks: args.denied_networks.clone(),
        allowed_networks: args.allowed_networks.clone(),
        quota: quota(&args.quota),
    };
    if let Err(faults) = settings.check() {
        let faults: Vec<String> = faults
            .iter()
            .map(|fault| format!("{} {}", fault.pointer, fault.detail))
            .collect();
        bail!("the settings cannot be used: {}", faults.join("; "));
    }
    Ok(settings)
}

fn quota(args: &QuotaArgs) -> Quota {
    let default = Quota::default();
    let text = |given: &Option<String>, default: String| given.clone().unwrap_or(default);
    Quota {
        pods: args.quota_pods.unwrap_or(default.pods),
        cpu_requests: text(&args.quota_cpu_requests, default.cpu_requests),
        cpu_limits: text(&args.quota_cpu_limits, default.cpu_limits),
        memory_requests: text(&args.quota_memory_requests, default.memory_requests),
        memory_limits: text(&args.quota_memory_limits, default.memory_limits),
        volumes: args.quota_volumes.unwrap_or(default.volumes),
        storage: text(&args.quota_storage, default.storage),
        node_ports: args.quota_node_ports.unwrap_or(default.node_ports),
        ephemeral_storage: text(&args.ephemeral_storage, default.ephemeral_storage),
    }
}

/// Cancelled by Ctrl-C or SIGTERM.
fn shutdown_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be caught")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be caught")?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        cancelled.cancel();
    });
    Ok(token)
}
