//! A platform that a test starts, kills and starts again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::api::Api;

/// A start on a busy two-core machine that compiles every component anew.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A `nokube up` with its data folder.
pub struct Platform {
    data: TempDir,
    child: Child,
    ready: Value,
    extra_args: Vec<String>,
    environment: Vec<(String, String)>,
    /// Bytes of the file system that its data is on; the machine's own when nothing is said.
    disk_bytes: Option<u64>,
}

impl Platform {
    /// Starts one in a new folder.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more arguments for `nokube up`.
    #[must_use]
    pub fn start_with(extra_args: &[&str]) -> Self {
        Self::start_in_environment(extra_args, &[])
    }

    /// Starts one that dies of SIGKILL when it reaches a point of `nokube_faults` for the first time.
    #[must_use]
    pub fn start_to_crash_at(point: &str) -> Self {
        let marker =
            std::env::temp_dir().join(format!("nokube-crash-{}-{point}", std::process::id()));
        let _ = std::fs::remove_file(&marker);
        let marker = marker.display().to_string();
        Self::start_in_environment(
            &[],
            &[
                (nokube_faults::CRASH_AT, point),
                (nokube_faults::CRASH_MARKER, &marker),
            ],
        )
    }

    /// Starts one whose data folder is a file system of its own, of this size, in memory; it is gone
    /// when the platform is. Compiled modules stay outside. None where bubblewrap cannot make one, and the run was told so.
    ///
    /// # Panics
    /// When it was not.
    #[must_use]
    pub fn start_on_small_disk(bytes: u64) -> Option<Self> {
        let can = Command::new("bwrap")
            .args(["--dev-bind", "/", "/", "--tmpfs", "/mnt", "true"])
            .stdin(Stdio::null())
            .status();
        crate::needs::ability("mounts", can.is_ok_and(|status| status.success()))
            .then(|| Self::start_on(&[], &[], Some(bytes)))
    }

    /// Process id of the platform itself, when what was started is what it runs in.
    #[must_use]
    pub fn inner_pid(&self) -> u64 {
        self.ready["pid"].as_u64().expect("the ready file names it")
    }

    /// Where the platform sees its data folder, seen from here.
    #[must_use]
    pub fn small_disk(&self) -> PathBuf {
        let pid = self.inner_pid();
        let inside = self.data.path().join("data");
        PathBuf::from(format!("/proc/{pid}/root{}", inside.display()))
    }

    /// Starts one on a data folder that `nokube restore` makes of this backup.
    ///
    /// # Panics
    /// When that is refused.
    #[must_use]
    pub fn start_of_backup(file: &Path) -> Self {
        let data = tempfile::Builder::new()
            .prefix("nokube-test-")
            .tempdir()
            .expect("a folder for the test's data");
        let restored = Command::new(nokube())
            .arg("restore")
            .arg(file)
            .arg("--data-dir")
            .arg(data.path().join("data"))
            .output()
            .expect("nokube runs");
        assert!(
            restored.status.success(),
            "{}",
            String::from_utf8_lossy(&restored.stderr)
        );
        Self::start_in(data, &[], &[], None)
    }

    fn start_in_environment(extra_args: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_on(extra_args, environment, None)
    }

    fn start_on(
        extra_args: &[&str],
        environment: &[(&str, &str)],
        disk_bytes: Option<u64>,
    ) -> Self {
        let data = tempfile::Builder::new()
            .prefix("nokube-test-")
            .tempdir()
            .expect("a folder for the test's data");
        Self::start_in(data, extra_args, environment, disk_bytes)
    }

    fn start_in(
        data: TempDir,
        extra_args: &[&str],
        environment: &[(&str, &str)],
        disk_bytes: Option<u64>,
    ) -> Self {
        let extra_args: Vec<String> = extra_args.iter().map(|arg| (*arg).to_owned()).collect();
        let environment: Vec<(String, String)> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let (child, ready) = spawn(&Start {
            data: data.path(),
            listen: "127.0.0.1:0",
            extra_args: &extra_args,
            environment: &environment,
            disk_bytes,
        });
        Self {
            data,
            child,
            ready,
            extra_args,
            environment,
            disk_bytes,
        }
    }

    /// Base address, such as `http://127.0.0.1:41234`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.ready["url"]
            .as_str()
            .expect("the ready file names the address")
    }

    /// The one-time setup code.
    #[must_use]
    pub fn setup_code(&self) -> &str {
        self.ready["setup_code"]
            .as_str()
            .expect("the ready file names the setup code")
    }

    /// The data folder.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Process id of `nokube up`.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The TCP ports it listens on: the public one, and those of its own parts.
    ///
    /// # Panics
    /// Where the kernel does not tell (proc(5)).
    #[must_use]
    pub fn listening_ports(&self) -> Vec<u16> {
        let own = PathBuf::from(format!("/proc/{}", self.pid()));
        let descriptors = std::fs::read_dir(own.join("fd")).expect("the platform runs");
        let sockets: Vec<String> = descriptors
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .filter_map(|target| {
                let target = target.to_str()?.strip_prefix("socket:[")?;
                Some(target.trim_end_matches(']').to_owned())
            })
            .collect();
        let mut ports = Vec::new();
        for table in ["net/tcp", "net/tcp6"] {
            let table = std::fs::read_to_string(own.join(table)).unwrap_or_default();
            for line in table.lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                // local address, state (0A listens), inode
                let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields[..] else {
                    continue;
                };
                let port = local.rsplit(':').next().expect("an address has a port");
                if sockets.iter().any(|socket| socket == inode) {
                    ports.push(u16::from_str_radix(port, 16).expect("a port is hexadecimal"));
                }
            }
        }
        ports
    }

    /// Process ids of its children of this name (`tenants`, `runner`).
    #[must_use]
    pub fn children(&self, name: &str) -> Vec<u32> {
        children_of(self.pid())
            .into_iter()
            .filter(|pid| {
                std::fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.split(|byte| *byte == 0).nth(1) == Some(name.as_bytes()))
            })
            .collect()
    }

    /// How many compiled modules the tenants' process has mapped.
    #[must_use]
    pub fn loaded_modules(&self) -> usize {
        let maps = self
            .children("tenants")
            .into_iter()
            .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/maps")).ok());
        let paths: std::collections::BTreeSet<String> = maps
            .flat_map(|maps| {
                maps.lines()
                    .filter_map(|line| line.split_whitespace().nth(5))
                    .filter(|path| path.ends_with(".cwasm"))
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
        paths.len()
    }

    /// A client of this platform that is not signed in.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(self.url())
    }

    /// A client signed in as ada, who registers with the setup code and so becomes the administrator.
    pub async fn register_ada(&self) -> Api {
        self.api().register("ada", Some(self.setup_code())).await
    }

    /// `kill -9`, at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same port with the same data.
    ///
    /// # Panics
    /// When it does not start, unless it reached the point at which it is to crash: then once more.
    pub fn start_again(&mut self) {
        let listen = self.url().trim_start_matches("http://").to_owned();
        let start = Start {
            data: self.data.path(),
            listen: &listen,
            extra_args: &self.extra_args,
            environment: &self.environment,
            disk_bytes: self.disk_bytes,
        };
        let is_met = self.crash_marker().exists();
        let started = try_spawn(&start).or_else(|failure| {
            if !is_met && self.crash_marker().exists() {
                try_spawn(&start)
            } else {
                Err(failure)
            }
        });
        (self.child, self.ready) = started.unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// From the next start on it dies at a point of `nokube_faults`, once; with `None` at none.
    pub fn crash_after_next_start(&mut self, point: Option<&str>) {
        let marker = self.crash_marker();
        let _ = std::fs::remove_file(&marker);
        let marker = marker.display().to_string();
        self.environment = point.map_or_else(Vec::new, |point| {
            vec![
                (nokube_faults::CRASH_AT.to_owned(), point.to_owned()),
                (nokube_faults::CRASH_MARKER.to_owned(), marker),
            ]
        });
    }

    /// Whether the point given to [`Self::crash_after_next_start`] was met.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.crash_marker().exists()
    }

    fn crash_marker(&self) -> PathBuf {
        self.data.path().join("crashed")
    }

    /// Waits until it has died by itself.
    ///
    /// # Panics
    /// When it lives on for a minute: the point it was to die at was never reached.
    pub async fn wait_for_crash(&mut self) {
        let child = &mut self.child;
        let gone =
            || std::future::ready(child.try_wait().expect("a child can be asked").map(|_| ()));
        crate::wait::until(
            "the platform to reach its crash point",
            Duration::from_secs(60),
            gone,
        )
        .await;
    }

    /// Ctrl-C; gives the exit code.
    pub fn interrupt(&mut self) -> Option<i32> {
        let status = Command::new("kill")
            .args(["-INT", &self.pid().to_string()])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "the platform could not be interrupted"
        );
        self.child.wait().expect("a child can be waited for").code()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.data.path().join("test-output.log"))
                .unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            #[expect(
                clippy::print_stderr,
                reason = "a failed test shows what the platform said"
            )]
            for line in tail.iter().rev() {
                eprintln!("platform: {line}");
            }
        }
    }
}

/// The kernel lists children by the thread that started them.
fn children_of(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// The repository's top folder.
#[must_use]
pub fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ has a parent")
        .to_owned()
}

/// The `nokube` program.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn nokube() -> PathBuf {
    let path = std::env::var_os("NOKUBE_BIN").map_or_else(
        || repository_root().join("target/release/nokube"),
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "{} is missing: run `cargo xtask build` first",
        path.display()
    );
    path
}

/// How a platform is started.
struct Start<'a> {
    data: &'a Path,
    listen: &'a str,
    extra_args: &'a [String],
    environment: &'a [(String, String)],
    disk_bytes: Option<u64>,
}

fn spawn(start: &Start<'_>) -> (Child, Value) {
    try_spawn(start).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Starts one and waits until it answers; else what it said.
fn try_spawn(start: &Start<'_>) -> Result<(Child, Value), String> {
    let data = start.data;
    let ready_file = data.join("ready.json");
    let _ = std::fs::remove_file(&ready_file);
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(data.join("test-output.log"))
        .expect("the test's data folder is writable");
    let folder = data.join("data");
    take_compiled_components(&folder);
    let mut command = match start.disk_bytes {
        None => Command::new(nokube()),
        Some(bytes) => {
            let cache = folder.join("cache");
            std::fs::create_dir_all(&cache).expect("the test's data folder is writable");
            let mut command = Command::new("bwrap");
            command
                .args(["--die-with-parent", "--dev-bind", "/", "/"])
                .args(["--size", &bytes.to_string(), "--tmpfs"])
                .arg(&folder)
                .arg("--bind")
                .args([&cache, &cache])
                .arg("--")
                .arg(nokube());
            command
        }
    };
    command
        .arg("up")
        .args(["--listen", start.listen, "--data-dir"])
        .arg(&folder)
        .arg("--manifest")
        .arg(repository_root().join("spin.toml"))
        .arg("--ready-file")
        .arg(&ready_file)
        .args(start.extra_args)
        .envs(start.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log);
    if let Some(toolchain) = toolchain_file() {
        command.arg("--toolchain").arg(toolchain);
    }
    let mut child = command.spawn().expect("nokube starts");
    let began = Instant::now();
    loop {
        if let Some(ready) = std::fs::read(&ready_file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
        {
            keep_compiled_components(&data.join("data"));
            return Ok((child, ready));
        }
        let gone = child.try_wait().expect("a child can be asked");
        if gone.is_some() || began.elapsed() > START_LIMIT {
            let _ = child.kill();
            let log = std::fs::read_to_string(data.join("test-output.log")).unwrap_or_default();
            return Err(format!("the platform did not start ({gone:?}):\n{log}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What `cargo xtask` found out about the WebAssembly toolchain, for builds in the sandbox.
fn toolchain_file() -> Option<PathBuf> {
    std::env::var_os("NOKUBE_TOOLCHAIN")
        .map(PathBuf::from)
        .filter(|path| path.is_file())
}

/// Compiled components of earlier tests, by content: compiling the platform takes longer than most tests.
fn compiled_components() -> PathBuf {
    repository_root().join("target/test-cache")
}

fn take_compiled_components(data: &Path) {
    let cache = data.join("cache");
    if cache.exists() || !compiled_components().is_dir() {
        return;
    }
    for folder in [data, &cache] {
        std::fs::create_dir_all(folder).expect("the test's data folder is writable");
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .expect("the test's data folder is ours");
    }
    copy_files(&compiled_components(), &cache);
}

fn keep_compiled_components(data: &Path) {
    std::fs::create_dir_all(compiled_components()).expect("target/ is writable");
    copy_files(&data.join("cache"), &compiled_components());
}

/// Copies what is not there yet; each file appears whole, since tests run at once.
fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from)
        .expect("a folder of compiled components")
        .flatten()
    {
        let target = to.join(entry.file_name());
        if target.exists() || !entry.path().is_file() {
            continue;
        }
        let temporary = tempfile::NamedTempFile::new_in(to).expect("the folder is writable");
        std::fs::copy(entry.path(), temporary.path()).expect("a file can be copied");
        // Another test may have been faster with the same content.
        let _ = temporary.persist(target);
    }
}
