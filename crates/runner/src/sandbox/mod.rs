//! The place where tenants' build commands, and Git, run: bubblewrap with every namespace of its own,
//! an unprivileged user, no capabilities, read-only system folders, no host network.
//!
//! Two ways to get there. A runner that is root starts `bwrap` as root and `sandbox-init` becomes
//! the build user before anything of the tenant runs: toolchains in root's own folders can be shown
//! read-only that way. Any other runner gives `bwrap` a user namespace; inside, the build user's id
//! stands for the runner's. Either way the platform's data folder does not exist inside.

pub(crate) mod cgroup;
pub(crate) mod init;
pub(crate) mod proxy;
pub(crate) mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::options::Helper;
use init::{Forward, InitPlan, ProcessBounds};
use slots::{FIRST_USER, Slot};

/// Where a machine has bubblewrap: what is in the search path may be anybody's.
const BWRAP_PLACES: [&str; 3] = ["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"];
/// Where things are inside.
pub(crate) const SOURCE: &str = "/src";
pub(crate) const CACHE: &str = "/cache";
const HOME: &str = "/home/build";
const INIT: &str = "/.nokube/init";
const PROXY_SOCKET: &str = "/.nokube/proxy.sock";
/// Inside the sandbox's own network nothing else listens.
const PROXY_PORT: u16 = 3128;
/// System folders that are shown as they are.
const SYSTEM: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32"];
/// Of `/etc`, what programs need to link, to trust certificates and to find alternatives.
const SYSTEM_ETC: [&str; 6] = [
    "/etc/ssl",
    "/etc/ca-certificates",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
];
/// Certificates as Debian and most others have them, for programs that bring their own list.
pub(crate) const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What runs inside and what it sees.
pub(crate) struct Inside<'a> {
    pub(crate) command: Vec<String>,
    /// Who runs it, where the runner is root.
    pub(crate) user: u32,
    pub(crate) folder: String,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) writable: Vec<(&'a Path, &'a str)>,
    /// At the same place as outside.
    pub(crate) read_only: Vec<PathBuf>,
    /// Single files, read-only, elsewhere inside.
    pub(crate) files: Vec<(&'a Path, &'a str)>,
    pub(crate) network: Network<'a>,
    pub(crate) niceness: i32,
    pub(crate) bounds: ProcessBounds,
}

/// What it reaches.
pub(crate) enum Network<'a> {
    /// Its own loopback.
    None,
    /// Its own loopback, with the proxy behind this socket on it.
    Proxy(&'a Path),
    /// The host's network: for Git alone, whose one destination is checked and pinned.
    Host,
}

/// A sandbox that was tried and works on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Sandbox {
    bwrap: PathBuf,
    helper: Helper,
    is_root: bool,
}

impl Sandbox {
    /// Tries it. The error says, for the operator and the user, what is missing.
    /// `folder` is the runner's own.
    pub(crate) async fn probe(helper: Option<Helper>, folder: &Path) -> Result<Self, String> {
        Self::probe_at(&BWRAP_PLACES, helper, folder).await
    }

    /// The same with bubblewrap in one of these places, or in none.
    pub(crate) async fn probe_at(
        places: &[&str],
        helper: Option<Helper>,
        folder: &Path,
    ) -> Result<Self, String> {
        let bwrap = places.iter().map(Path::new).find(|path| path.exists());
        let Some(bwrap) = bwrap else {
            return Err("bubblewrap is not installed (Debian: apt install bubblewrap)".to_owned());
        };
        let helper = match helper {
            Some(helper) => helper,
            None => {
                let program = keep_this_program(folder).map_err(|error| {
                    format!("this program cannot be kept for the sandbox: {error}")
                })?;
                Helper {
                    program,
                    args: vec!["sandbox-init".into()],
                }
            }
        };
        let sandbox = Self {
            bwrap: bwrap.to_owned(),
            helper,
            is_root: rustix::process::geteuid().is_root(),
        };
        sandbox.try_it().await?;
        Ok(sandbox)
    }

    async fn try_it(&self) -> Result<(), String> {
        let bounds = ProcessBounds {
            address_space_bytes: None,
            processes: None,
            file_bytes: 1,
            open_files: 64,
            cpu_seconds: 5,
        };
        let inside = Inside {
            command: vec!["/bin/true".to_owned()],
            user: FIRST_USER,
            folder: "/".to_owned(),
            env: BTreeMap::new(),
            writable: Vec::new(),
            read_only: Vec::new(),
            files: Vec::new(),
            network: Network::None,
            niceness: 0,
            bounds,
        };
        let (mut command, plan) = self.command(inside);
        command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped());
        let answer = async {
            let mut child = command.kill_on_drop(true).spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                tokio::io::AsyncWriteExt::write_all(&mut stdin, &plan)
                    .await
                    .ok();
            }
            child.wait_with_output().await
        };
        let answer = tokio::time::timeout(std::time::Duration::from_secs(10), answer).await;
        match answer {
            Ok(Ok(output)) if output.status.success() => Ok(()),
            Ok(Ok(output)) => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(format!(
                    "bubblewrap does not work here: {} {}",
                    output.status,
                    said.trim()
                ))
            }
            Ok(Err(error)) => Err(format!("bubblewrap cannot be started: {error}")),
            Err(_) => Err("bubblewrap does not answer".to_owned()),
        }
    }

    /// The user that files of the source must belong to, when that is not the runner's own.
    pub(crate) fn owner(&self, slot: &Slot) -> Option<u32> {
        self.is_root.then(|| slot.user())
    }

    /// The user that a build is inside.
    pub(crate) fn user_inside(&self, slot: &Slot) -> u32 {
        self.owner(slot).unwrap_or(FIRST_USER)
    }

    /// The program to start, and what to write to its standard input.
    pub(crate) fn command(&self, inside: Inside<'_>) -> (Command, Vec<u8>) {
        let mut args = Args::default();
        args.words(&[
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ]);
        args.words(&[
            "--die-with-parent",
            "--new-session",
            "--hostname",
            "build",
            "--cap-drop",
            "ALL",
        ]);
        if self.is_root {
            // For the one step from root to the build user, in `sandbox-init`.
            args.words(&["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]);
        } else {
            let user = FIRST_USER.to_string();
            args.words(&["--unshare-user", "--uid", &user, "--gid", &user]);
        }
        if !matches!(inside.network, Network::Host) {
            args.words(&["--unshare-net"]);
        }
        args.words(&["--proc", "/proc", "--dev", "/dev"]);
        // These live in memory, so they are bounded: 1 GiB, 64 MiB, 256 MiB.
        args.words(&["--perms", "1777", "--size", "1073741824", "--tmpfs", "/tmp"]);
        args.words(&[
            "--perms", "1777", "--size", "67108864", "--tmpfs", "/dev/shm",
        ]);
        args.words(&[
            "--perms",
            "0755",
            "--dir",
            "/home",
            "--perms",
            "0777",
            "--size",
            "268435456",
            "--tmpfs",
            HOME,
        ]);
        args.words(&["--perms", "0755", "--dir", "/.nokube"]);
        for folder in SYSTEM {
            args.system(Path::new(folder));
        }
        args.words(&["--perms", "0755", "--dir", "/etc"]);
        for file in SYSTEM_ETC {
            args.words(&["--ro-bind-try", file, file]);
        }
        for folder in &inside.read_only {
            args.read_only(folder);
        }
        for (host, place) in &inside.files {
            args.bind("--ro-bind", host, place);
        }
        for (host, place) in &inside.writable {
            args.bind("--bind", host, place);
        }
        args.bind("--ro-bind", &self.helper.program, INIT);
        if let Network::Proxy(socket) = inside.network {
            args.bind("--bind", socket, PROXY_SOCKET);
        }
        // Nothing else may be written, the sandbox's own root included.
        args.words(&["--remount-ro", "/", "--chdir", "/", "--", INIT]);
        args.0.extend(self.helper.args.iter().cloned());

        let forward = matches!(inside.network, Network::Proxy(_));
        let mut env = inside.env;
        env.entry("HOME".to_owned())
            .or_insert_with(|| HOME.to_owned());
        if forward {
            env.extend(proxy_env());
        }
        let plan = InitPlan {
            user: self.is_root.then_some(inside.user),
            command: inside.command,
            folder: inside.folder,
            env,
            niceness: inside.niceness,
            forward: forward.then(|| Forward {
                port: PROXY_PORT,
                socket: PROXY_SOCKET.to_owned(),
            }),
            bounds: inside.bounds,
        };
        let mut command = Command::new(&self.bwrap);
        command.args(&args.0).env_clear().current_dir("/");
        (
            command,
            serde_json::to_vec(&plan).expect("a plan has string keys only"),
        )
    }
}

/// This program under a name of the runner's own: its file may be replaced by a newer one while it runs.
fn keep_this_program(folder: &Path) -> std::io::Result<PathBuf> {
    let kept = folder.join("sandbox-init");
    match std::fs::remove_file(&kept) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let linked = std::env::current_exe().and_then(|program| std::fs::hard_link(program, &kept));
    if linked.is_err() {
        // On another file system, or already replaced: this link leads to what really runs.
        std::fs::copy("/proc/self/exe", &kept)?;
    }
    Ok(kept)
}

/// The variables by which programs find a proxy. The lower-case ones are curl's and npm's.
fn proxy_env() -> impl Iterator<Item = (String, String)> {
    let address = format!("http://127.0.0.1:{PROXY_PORT}");
    let names = [
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "https_proxy",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "CARGO_HTTP_PROXY",
        "npm_config_proxy",
        "npm_config_https_proxy",
    ];
    let own = [
        ("NO_PROXY", "localhost,127.0.0.1,::1"),
        ("no_proxy", "localhost,127.0.0.1,::1"),
    ];
    let proxies = names
        .into_iter()
        .map(move |name| (name.to_owned(), address.clone()));
    proxies.chain(
        own.into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    )
}

/// Arguments of bubblewrap.
#[derive(Default)]
struct Args(Vec<OsString>, BTreeSet<PathBuf>);

impl Args {
    fn words(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(OsString::from));
    }

    fn bind(&mut self, how: &str, host: &Path, place: impl AsRef<Path>) {
        let place = place.as_ref();
        self.parents(place);
        self.0
            .extend([how.into(), host.into(), place.as_os_str().into()]);
    }

    /// A system folder, or the link that stands for it on a merged `/usr`.
    fn system(&mut self, folder: &Path) {
        match std::fs::read_link(folder) {
            Ok(target) => self
                .0
                .extend(["--symlink".into(), target.into(), folder.into()]),
            Err(_) if folder.is_dir() => {
                self.0
                    .extend(["--ro-bind".into(), folder.into(), folder.into()])
            }
            Err(_) => {}
        }
    }

    fn read_only(&mut self, folder: &Path) {
        if !SYSTEM.iter().any(|system| folder.starts_with(system)) && folder.exists() {
            self.bind("--ro-bind", folder, folder);
        }
    }

    /// bubblewrap copies the mode of the host's folders for those above a mount; `/root` would then be
    /// closed to the build user. So they are made here, once each.
    fn parents(&mut self, place: &Path) {
        let mut above: Vec<&Path> = place
            .ancestors()
            .skip(1)
            .filter(|path| path.parent().is_some())
            .collect();
        above.reverse();
        for folder in above {
            let known = [
                Path::new("/tmp"),
                Path::new("/dev"),
                Path::new("/proc"),
                Path::new(HOME),
                Path::new("/.nokube"),
                Path::new("/etc"),
                Path::new("/home"),
            ];
            if !known.contains(&folder) && self.1.insert(folder.to_owned()) {
                self.0.extend([
                    "--perms".into(),
                    "0755".into(),
                    "--dir".into(),
                    folder.into(),
                ]);
            }
        }
    }
}
