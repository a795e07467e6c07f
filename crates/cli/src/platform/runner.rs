//! `nokube runner`, and the runner as a child of `up` and `sidecar`.

use std::ffi::OsString;
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::Context as _;
use nokube_runner::{Egress, GitAccess, PushRegistry, RunnerOptions};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::child::{self, Prepared, THIS_PROGRAM, Watcher};
use super::keys::Keys;
use super::process::{self, LOG_VARIABLE};
use crate::args::{BuildArgs, GitAccessKind, RunnerArgs};

const TOKEN_VARIABLE: &str = "NOKUBE_RUNNER_TOKEN";
pub(super) const REGISTRY_USERNAME: &str = "NOKUBE_REGISTRY_USERNAME";
pub(super) const REGISTRY_PASSWORD: &str = "NOKUBE_REGISTRY_PASSWORD";
/// What the runner keeps of the environment: how programs are found and speak, nothing else.
const KEPT_VARIABLES: [&str; 12] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "RUSTUP_HOME",
    "CARGO_HOME",
    "SSL_CERT_FILE",
    REGISTRY_USERNAME,
    REGISTRY_PASSWORD,
    LOG_VARIABLE,
];

/// `nokube runner`.
pub(crate) fn run(args: RunnerArgs) -> anyhow::Result<()> {
    process::start_log();
    if let Some(parent) = args.parent {
        process::die_with(parent)?;
    }
    let options = options(args)?;
    // It waits for the platform and for its children; more threads would only cost memory.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shutdown = process::shutdown_signal()?;
        nokube_runner::run(options, shutdown.cancelled_owned()).await?;
        Ok(())
    })
}

/// `nokube sandbox-init`.
pub(crate) fn run_sandbox_init(args: &[OsString]) -> ExitCode {
    nokube_runner::sandbox_init(args.iter().cloned())
}

fn options(args: RunnerArgs) -> anyhow::Result<RunnerOptions> {
    let token = token(&args)?;
    let mut options = RunnerOptions::new(args.platform_url, token, args.data_dir);
    let build = args.build;
    options.private_dirs = args.private_dir;
    options.denied_ports = args.denied_port;
    options.name = args.name.unwrap_or_else(host_name);
    options.fileserver_wasm = build.fileserver.or_else(built_fileserver);
    options.git_access = match (build.git_access, build.allow_file_urls) {
        (Some(GitAccessKind::Local), _) | (None, true) => GitAccess::Local,
        (Some(GitAccessKind::Public), _) | (None, false) => GitAccess::Public,
    };
    options.toolchain = build.toolchain.or_else(prepared_toolchain);
    options.unsandboxed_builds = build.unsandboxed_builds;
    if build.offline_builds {
        options.egress = Egress::None;
    }
    options.push_registry = build.push_registry.map(|url| PushRegistry {
        url,
        credentials: std::env::var(REGISTRY_USERNAME)
            .ok()
            .zip(std::env::var(REGISTRY_PASSWORD).ok()),
    });
    options.concurrency = usize::from(build.build_concurrency);
    let limits = &mut options.limits;
    limits.reserve_bytes = build.build_reserve_mib.map(bytes);
    if let Some(mib) = build.build_caches_mib {
        limits.caches_total_bytes = bytes(mib);
    }
    Ok(options)
}

fn bytes(mib: u64) -> u64 {
    mib.saturating_mul(1024 * 1024)
}

fn token(args: &RunnerArgs) -> anyhow::Result<String> {
    if args.parent.is_some() {
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .context("the token cannot be read")?;
        return Ok(line.trim().to_owned());
    }
    match &args.keys {
        Some(path) => Ok(Keys::read(path)?.get("runner_token")?.to_owned()),
        None => std::env::var(TOKEN_VARIABLE)
            .with_context(|| format!("give --keys, or the token in {TOKEN_VARIABLE}")),
    }
}

fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if name.is_empty() {
        "runner".to_owned()
    } else {
        name
    }
}

/// The runner as a child.
pub(crate) struct RunnerChild {
    pub(crate) platform_url: String,
    pub(crate) token: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) private_dirs: Vec<PathBuf>,
    pub(crate) denied_ports: Vec<u16>,
    pub(crate) git_access: GitAccessKind,
}

impl RunnerChild {
    /// Keeps it running until `shutdown`.
    pub(crate) async fn keep_running(self, build: Build, shutdown: CancellationToken) {
        let command = move || Ok(self.prepared(&build));
        child::keep_running("runner", command, Unwatched, shutdown).await;
    }

    fn prepared(&self, build: &Build) -> Prepared {
        let mut command = Command::new(THIS_PROGRAM);
        command.arg0("nokube").arg("runner");
        let mut option = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
            command.arg(name).arg(value.as_ref());
        };
        option("--parent", &std::process::id().to_string());
        option("--platform-url", &self.platform_url);
        option("--data-dir", &self.data_dir);
        for dir in &self.private_dirs {
            option("--private-dir", dir);
        }
        for port in &self.denied_ports {
            option("--denied-port", &port.to_string());
        }
        option("--git-access", &self.git_access.as_str());
        option("--build-concurrency", &build.concurrency.to_string());
        for (name, value) in [
            ("--toolchain", &build.toolchain),
            ("--fileserver", &build.fileserver),
        ] {
            if let Some(path) = value {
                option(name, path);
            }
        }
        if let Some(url) = &build.push_registry {
            option("--push-registry", url);
        }
        for (name, value) in [
            ("--build-reserve-mib", build.reserve_mib),
            ("--build-caches-mib", build.caches_mib),
        ] {
            if let Some(mib) = value {
                option(name, &mib.to_string());
            }
        }
        for (flag, wanted) in [
            ("--unsandboxed-builds", build.unsandboxed),
            ("--offline-builds", build.offline),
        ] {
            if wanted {
                command.arg(flag);
            }
        }
        command.env_clear().stdout(Stdio::null());
        for name in KEPT_VARIABLES.into_iter().chain(nokube_faults::VARIABLES) {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if std::env::var_os(nokube_faults::CRASH_AT).is_some() {
            command.env(nokube_faults::PLATFORM_PID, std::process::id().to_string());
        }
        Prepared {
            command,
            input: Some(format!("{}\n", self.token)),
        }
    }
}

/// How a child builds.
pub(crate) struct Build {
    toolchain: Option<PathBuf>,
    fileserver: Option<PathBuf>,
    push_registry: Option<String>,
    concurrency: u16,
    reserve_mib: Option<u64>,
    caches_mib: Option<u64>,
    unsandboxed: bool,
    offline: bool,
}

impl From<BuildArgs> for Build {
    fn from(args: BuildArgs) -> Self {
        Self {
            toolchain: args.toolchain.or_else(prepared_toolchain),
            fileserver: args.fileserver.or_else(built_fileserver),
            push_registry: args.push_registry,
            concurrency: args.build_concurrency,
            reserve_mib: args.build_reserve_mib,
            caches_mib: args.build_caches_mib,
            unsandboxed: args.unsandboxed_builds,
            offline: args.offline_builds,
        }
    }
}

/// Who reaches the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visitors {
    /// Users of this machine alone.
    OfThisMachine,
    /// Strangers too.
    Anybody,
}

impl Visitors {
    /// As far as the command line tells. A listener on loopback is for this machine's users, unless a
    /// proxy stands in front of it: then it is the usual way to be on the internet.
    pub(crate) fn of(platform: SocketAddr, public_url: Option<&str>, proxies: &str) -> Self {
        let is_behind_proxy = public_url.is_some() || !proxies.trim().is_empty();
        if platform.ip().to_canonical().is_loopback() && !is_behind_proxy {
            Self::OfThisMachine
        } else {
            Self::Anybody
        }
    }
}

/// What sources may be, when the operator did not say: this machine's, if only its users reach the
/// platform.
pub(crate) fn git_access(args: &BuildArgs, visitors: Visitors) -> GitAccessKind {
    match args.git_access {
        Some(kind) => kind,
        None if args.allow_file_urls || visitors == Visitors::OfThisMachine => GitAccessKind::Local,
        None => GitAccessKind::Public,
    }
}

/// The file server beside the manifest's own guests, when none was named.
pub(crate) fn default_fileserver(manifest: &Path) -> Option<PathBuf> {
    let dir = manifest.parent()?;
    let path = dir.join("target/guest/wasm32-wasip2/guest/nokube_fileserver.wasm");
    path.is_file().then_some(path)
}

/// The file server that `cargo xtask build` left beside this program's folder, `target/release`.
fn built_fileserver() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let target = program.parent()?.parent()?;
    let path = target.join("guest/wasm32-wasip2/guest/nokube_fileserver.wasm");
    path.is_file().then_some(path)
}

/// What `cargo xtask toolchain` found on this machine, when no other was named.
fn prepared_toolchain() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(std::env::home_dir()?.join(".cache")))?;
    let path = cache.join("nokube/toolchain.json");
    path.is_file().then_some(path)
}

struct Unwatched;

impl Watcher for Unwatched {
    fn started(&self) {}
    fn ended(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Words {
        #[command(flatten)]
        build: BuildArgs,
    }

    fn access(words: &[&str], listen: &str, url: Option<&str>, proxies: &str) -> GitAccessKind {
        let words = ["build"].iter().chain(words);
        let listen = listen.parse().unwrap();
        let visitors = Visitors::of(listen, url, proxies);
        git_access(&Words::parse_from(words).build, visitors)
    }

    #[test]
    fn sources_of_this_machine_are_for_a_platform_that_only_its_users_reach() {
        for listen in ["127.0.0.1:3000", "[::1]:3000", "[::ffff:127.0.0.1]:3000"] {
            assert_eq!(access(&[], listen, None, ""), GitAccessKind::Local);
            // The usual way to be on the internet: a proxy on the same machine.
            let url = Some("https://paas.example.org");
            assert_eq!(access(&[], listen, url, ""), GitAccessKind::Public);
            assert_eq!(access(&[], listen, None, "::1"), GitAccessKind::Public);
        }
        assert_eq!(access(&[], "0.0.0.0:80", None, ""), GitAccessKind::Public);
    }

    #[test]
    fn what_the_operator_says_about_sources_counts() {
        let url = Some("https://paas.example.org");
        for (words, kind) in [
            (["--git-access", "local"].as_slice(), GitAccessKind::Local),
            (&["--allow-file-urls"], GitAccessKind::Local),
            (&["--git-access", "public"], GitAccessKind::Public),
        ] {
            assert_eq!(access(words, "127.0.0.1:80", url, "127.0.0.1"), kind);
            assert_eq!(access(words, "127.0.0.1:80", None, ""), kind);
        }
    }
}
