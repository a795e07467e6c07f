//! A real control plane on loopback for tests of the cluster target: etcd, the API server, its controllers and its
//! scheduler, SpinKube's operator, and kwok in place of nodes. What runs in pods does not: kwok says of them what
//! `kwok.yaml` tells it to.
//!
//! There is one for all tests of a process. They share it with namespaces and platform names of their own; a test that
//! disturbs the others asks to be alone with it.

pub mod faults;
mod keeper;
pub mod kube;
mod parts;
mod rights;
pub mod sidecar;
pub mod spec;
mod tools;
pub mod webhook;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use self::keeper::Running;
use self::kube::Kube;
use self::tools::Tools;
use crate::platform::repository_root;
use crate::wait::until;

/// Two busy cores start everything in a fraction of this.
const START_LIMIT: Duration = Duration::from_secs(180);
/// Bearer token of somebody who may do everything.
const ADMIN: &str = "admin-of-the-test";

static CLUSTER: OnceLock<Result<Option<Cluster>, String>> = OnceLock::new();
static QUIET: RwLock<()> = RwLock::const_new(());

/// A running control plane.
pub struct Cluster {
    folder: PathBuf,
    tools: Tools,
    ports: Ports,
    /// Of the API server, PEM.
    certificate: String,
    parts: Mutex<BTreeMap<&'static str, Running>>,
}

/// On loopback.
struct Ports {
    etcd: u16,
    etcd_peers: u16,
    api: u16,
    kubelet: u16,
}

/// A test's time with the control plane.
pub struct Visit {
    cluster: &'static Cluster,
    _together: Option<RwLockReadGuard<'static, ()>>,
    _alone: Option<RwLockWriteGuard<'static, ()>>,
}

impl Deref for Visit {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.cluster
    }
}

/// The control plane, together with other tests. Nothing when the run was told to do without it.
///
/// # Panics
/// When it does not start.
pub async fn visit() -> Option<Visit> {
    let cluster = cluster()?;
    Some(Visit {
        cluster,
        _together: Some(QUIET.read().await),
        _alone: None,
    })
}

/// The control plane for a test alone: one that kills parts of it, or measures.
///
/// # Panics
/// As for [`visit`].
pub async fn visit_alone() -> Option<Visit> {
    let cluster = cluster()?;
    Some(Visit {
        cluster,
        _together: None,
        _alone: Some(QUIET.write().await),
    })
}

fn cluster() -> Option<&'static Cluster> {
    let started = CLUSTER.get_or_init(|| {
        // A runtime of its own: the caller's ends with its test.
        let starting = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made");
            let tools = Tools::find()?;
            Some(runtime.block_on(Cluster::start(tools)))
        });
        starting.join().map_err(|reason| {
            let text = reason.downcast_ref::<String>().cloned();
            text.unwrap_or_else(|| "it panicked".to_owned())
        })
    });
    match started {
        Ok(cluster) => cluster.as_ref(),
        Err(reason) => panic!("the control plane did not start: {reason}"),
    }
}

impl Cluster {
    async fn start(tools: Tools) -> Self {
        let [etcd, etcd_peers, api, kubelet] = free_ports();
        let folder = fresh_folder();
        let certificate = parts::write_keys(&folder);
        let cluster = Self {
            folder,
            tools,
            ports: Ports {
                etcd,
                etcd_peers,
                api,
                kubelet,
            },
            certificate,
            parts: Mutex::default(),
        };
        cluster.start_part("etcd", parts::etcd(&cluster));
        cluster.start_api_server().await;
        parts::make_objects(&cluster).await;
        parts::wait_for_webhooks_port().await;
        for (name, command) in parts::that_watch(&cluster) {
            cluster.start_part(name, command);
        }
        parts::wait_for_nodes(&cluster).await;
        parts::wait_for_webhooks(&cluster).await;
        parts::register_webhooks(&cluster).await;
        cluster
    }

    /// Starts the API server, also after [`Self::kill_api_server`], and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start_api_server(&self) {
        self.start_part(parts::API_SERVER, parts::api_server(self));
        let kube = self.kube();
        until("the API server to be ready", START_LIMIT, || async {
            self.check_parts();
            let answer = kube
                .call(
                    reqwest::Method::GET,
                    "/readyz",
                    "application/json",
                    String::new(),
                )
                .await?;
            answer.status.is_success().then_some(())
        })
        .await;
    }

    /// `kill -9` for the API server: watches break, and nobody answers.
    pub fn kill_api_server(&self) {
        self.running().remove(parts::API_SERVER);
    }

    /// A client that may do everything.
    #[must_use]
    pub fn kube(&self) -> Kube {
        self.kube_as(ADMIN)
    }

    /// A client with another token.
    #[must_use]
    pub fn kube_as(&self, token: &str) -> Kube {
        Kube::new(&self.server(), &self.certificate, token)
    }

    /// Address of the API server.
    #[must_use]
    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api)
    }

    /// The API server's certificate, which is its own authority.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Writes a kubeconfig for whoever bears `token`, by way of `server`.
    ///
    /// # Panics
    /// When the folder is not writable.
    #[must_use]
    pub fn kubeconfig(&self, name: &str, server: &str, token: &str) -> PathBuf {
        let path = self.folder.join(format!("{name}.kubeconfig"));
        let certificate = server
            .starts_with("https:")
            .then(|| self.folder.join(parts::CERTIFICATE));
        // JSON is YAML.
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": server, "certificate-authority": certificate } }],
            "users": [{ "name": "test", "user": { "token": token } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        });
        std::fs::write(&path, config.to_string()).expect("the folder is writable");
        path
    }

    /// The file whose lines every container's log has.
    #[must_use]
    pub fn container_log(&self) -> PathBuf {
        self.folder.join(parts::CONTAINER_LOG)
    }

    /// What service accounts asked of the API server, a JSON event a line.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join(parts::AUDIT_LOG)
    }

    /// Resident memory of all parts, in kilobytes.
    #[must_use]
    pub fn resident_kb(&self) -> u64 {
        let parts = self.running();
        parts.values().map(|part| resident_kb(part.pid())).sum()
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<&'static str, Running>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_part(&self, name: &'static str, mut command: std::process::Command) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_of(name))
            .expect("the folder is writable");
        command
            .current_dir(&self.folder)
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        self.running().insert(name, keeper::start(command));
    }

    fn log_of(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// # Panics
    /// When a part has ended by itself, with what it said last.
    fn check_parts(&self) {
        for (name, part) in self.running().iter_mut() {
            if part.has_ended() {
                let log = std::fs::read_to_string(self.log_of(name)).unwrap_or_default();
                let mut tail: Vec<&str> = log.lines().rev().take(15).collect();
                tail.reverse();
                panic!("{name} has ended:\n{}", tail.join("\n"));
            }
        }
    }
}

/// What a process has in memory, in kilobytes (proc(5)).
#[must_use]
pub fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

/// Ports that were free a moment ago; they are told to several programs, so none of these can choose for itself.
///
/// They are below those that the kernel gives to connections (ip(7), `ip_local_port_range`): in the time until a program
/// listens, or while the API server is dead, no client gets its port.
fn free_ports<const N: usize>() -> [u16; N] {
    const LOWEST: u16 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| {
        // Another process of these tests begins elsewhere.
        AtomicU32::new(std::process::id().wrapping_mul(97))
    });
    std::array::from_fn(|_| {
        let mut candidates = (0..COUNT).map(|_| {
            let offset = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
            LOWEST + u16::try_from(offset).expect("it is below the count")
        });
        candidates
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .expect("a port is free")
    })
}

/// A folder of this process, in `target/`: nobody is there at its end to remove it, so the next start does.
fn fresh_folder() -> PathBuf {
    let all = repository_root().join("target/cluster");
    std::fs::create_dir_all(&all).expect("target/ is writable");
    for entry in std::fs::read_dir(&all).expect("it was just made").flatten() {
        let alive = Path::new("/proc").join(entry.file_name());
        if !alive.exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let own = all.join(std::process::id().to_string());
    std::fs::create_dir_all(&own).expect("target/ is writable");
    own
}
