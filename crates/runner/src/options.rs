//! What a runner is told at its start.

use std::ffi::OsString;
use std::path::PathBuf;

use nokube_domain::git_source::GitAccess;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// Everything a runner needs to know. No `Debug`: it holds credentials.
#[derive(Clone)]
pub struct RunnerOptions {
    /// The platform's base URL, such as `http://127.0.0.1:3000`.
    pub platform_url: String,
    /// The credential of `/api/v1/runner/…`.
    pub runner_token: String,
    /// The runner's own folder: work, caches, what it packed. Made when missing, mode 0700.
    pub data_dir: PathBuf,
    /// Folders that no `file://` source may lie in, besides `data_dir`: the platform's data.
    pub private_dirs: Vec<PathBuf>,
    /// A name for people, such as the host name.
    pub name: String,
    /// The guest that serves static sites.
    pub fileserver_wasm: Option<PathBuf>,
    /// Which addresses sources may come from.
    pub git_access: GitAccess,
    /// Ports of this machine that are the platform's own: never a source.
    pub denied_ports: Vec<u16>,
    /// `toolchain.json`: what build commands find in their `PATH`. Missing: rustup's folders of the
    /// user who runs the runner, where there are any.
    pub toolchain: Option<PathBuf>,
    /// What one build may use.
    pub limits: Limits,
    /// Run build commands without a sandbox where there is none. Only for a machine whose users all
    /// trust each other with everything on it.
    pub unsandboxed_builds: bool,
    /// Whether build commands may fetch from the web.
    pub egress: Egress,
    /// Where to push artifacts, besides handing them to the platform.
    pub push_registry: Option<PushRegistry>,
    /// Builds at once.
    pub concurrency: usize,
    /// The program whose `sandbox-init` runs first in the sandbox. Missing: this program.
    pub helper: Option<Helper>,
}

impl RunnerOptions {
    /// Options with the defaults of everything that has one.
    #[must_use]
    pub fn new(platform_url: String, runner_token: String, data_dir: PathBuf) -> Self {
        Self {
            platform_url,
            runner_token,
            data_dir,
            private_dirs: Vec::new(),
            name: "runner".to_owned(),
            fileserver_wasm: None,
            git_access: GitAccess::Public,
            denied_ports: Vec::new(),
            toolchain: None,
            limits: Limits::for_this_machine(),
            unsandboxed_builds: false,
            egress: Egress::PublicWeb,
            push_registry: None,
            concurrency: 2,
            helper: None,
        }
    }
}

/// Whether build commands may fetch from the web.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Egress {
    /// Nothing but loopback inside the sandbox.
    None,
    /// HTTP and HTTPS to public addresses, ports 80 and 443, through the runner's proxy: package
    /// registries.
    PublicWeb,
}

/// How to start `sandbox-init`.
#[derive(Debug, Clone)]
pub struct Helper {
    /// The program.
    pub program: PathBuf,
    /// Its arguments up to and including the word that makes it `sandbox-init`.
    pub args: Vec<OsString>,
}

/// A registry to push to.
#[derive(Clone)]
pub struct PushRegistry {
    /// `http://` or `https://` and the registry's host.
    pub url: String,
    /// User name and password, when it wants them.
    pub credentials: Option<(String, String)>,
}

/// What one build may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The source, repository data included.
    pub source_bytes: u64,
    /// Files and folders of the source.
    pub source_entries: u64,
    /// Fetching the source may take this long.
    pub fetch_seconds: u64,
    /// Git gives up when a server sends almost nothing for this long.
    pub fetch_stall_seconds: u64,
    /// Source and everything the build command writes beside it.
    pub disk_bytes: u64,
    /// What is kept of a project for its next build: packages, what cargo compiled. Emptied when it is
    /// larger.
    pub cache_bytes: u64,
    /// The same of all projects together; what was used the longest ago is removed.
    pub caches_total_bytes: u64,
    /// What stays free of the file system: builds that would take it are stopped. Without a value, a
    /// gibibyte, or the twentieth part of a small file system.
    pub reserve_bytes: Option<u64>,
    /// Memory of all processes of a build command.
    pub memory_bytes: u64,
    /// Processor time of all processes of a build command, in thousandths of a processor, where there are
    /// control groups.
    pub processors_milli: u64,
    /// Processes and threads of a build command.
    pub processes: u64,
    /// The largest file a build command may write.
    pub file_bytes: u64,
    /// Open files of one process of a build command.
    pub open_files: u64,
    /// CPU time of one process of a build command.
    pub cpu_seconds: u64,
    /// Everything a build command fetches.
    pub download_bytes: u64,
    /// Lines of a build's log; what follows is counted, not kept.
    pub log_lines: u64,
    /// The artifact.
    pub artifact_bytes: u64,
}

impl Limits {
    /// What stays free of a file system of this size.
    pub(crate) fn reserve_of(&self, total_bytes: u64) -> u64 {
        self.reserve_bytes.unwrap_or(GIB.min(total_bytes / 20))
    }

    /// The defaults, with half of this machine's memory for a build: compilers use a few hundred
    /// mebibytes per processor, and machines with many processors have much memory. Of its processors, all
    /// but a tenth: that one answers requests.
    #[must_use]
    pub fn for_this_machine() -> Self {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        let defaults = Self::default();
        let memory_bytes = kib.map_or(defaults.memory_bytes, |kib| {
            (kib * 1024 / 2).clamp(GIB, 32 * GIB)
        });
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            memory_bytes,
            processors_milli: u64::try_from(processors)
                .unwrap_or(1)
                .saturating_mul(defaults.processors_milli),
            ..defaults
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes: GIB,
            source_entries: 200_000,
            fetch_seconds: 300,
            fetch_stall_seconds: 30,
            disk_bytes: 8 * GIB,
            cache_bytes: 4 * GIB,
            caches_total_bytes: 16 * GIB,
            reserve_bytes: None,
            memory_bytes: 4 * GIB,
            processors_milli: 900,
            processes: 1024,
            file_bytes: 2 * GIB,
            open_files: 4096,
            cpu_seconds: 3600,
            download_bytes: 4 * GIB,
            log_lines: 50_000,
            artifact_bytes: 256 * MIB,
        }
    }
}
