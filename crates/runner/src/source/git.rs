//! Git, without a shell and without the user's configuration: one shallow fetch of one commit.
//!
//! Where there is a sandbox, Git runs in it: with the host's network, since its one destination is
//! checked and pinned, but without any file of the platform and as the build user.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nokube_domain::git_source::{AddressPolicy, BranchName, CommitId, RepositoryUrl};
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::{address, git_errors, git_version};
use crate::error::{BuildError, BuildStep};
use crate::job::Build;
use crate::process::{self, Bound, DiskBound, Ended, Outcome, Task};
use crate::sandbox::init::ProcessBounds;
use crate::sandbox::{Inside, Network, SOURCE};

const GIT: &str = "git";
/// Where Git's only configuration file is, inside the sandbox.
const CONFIG: &str = "/etc/gitconfig";
/// Reading a commit of a repository that is on disk.
const LOCAL_SECONDS: u64 = 60;

/// What was checked out.
#[derive(Debug)]
pub(super) struct Checkout {
    pub(super) commit: String,
    /// Seconds since 1970.
    pub(super) committed_at: i64,
}

/// Fetches a commit, a branch or tag, or the default branch, into the build's source folder.
pub(super) async fn fetch(
    build: &Build,
    url: &RepositoryUrl,
    branch: Option<&BranchName>,
    commit: Option<&CommitId>,
    policy: &AddressPolicy<'_>,
) -> BuildStep<Checkout> {
    let what = match (commit, branch) {
        (Some(commit), _) => format!("commit {commit}"),
        (None, Some(branch)) => format!("branch {branch}"),
        (None, None) => "default branch".to_owned(),
    };
    build.log.system(format!("fetching {url}, {what}")).await;
    let addresses = address::permitted(url, policy)
        .await
        .map_err(BuildError::Source)?;
    let git = Git::new(build, url, &addresses)?;
    if !url.is_file() {
        git.must_be_recent().await?;
    }
    nokube_faults::crash_point("runner.cloning");
    match commit {
        Some(commit) => {
            git.must(&["init", "--quiet", "--template=", "."], false)
                .await?;
            let mut fetch = vec![
                "fetch",
                "--quiet",
                "--depth=1",
                "--no-tags",
                "--no-recurse-submodules",
                "--",
            ];
            fetch.extend([git.address.as_str(), commit.as_str()]);
            git.must(&fetch, false).await?;
            git.must(&["checkout", "--quiet", "--detach", "FETCH_HEAD"], false)
                .await?;
        }
        None => {
            let mut clone = vec![
                "clone",
                "--quiet",
                "--depth=1",
                "--no-tags",
                "--single-branch",
                "--no-recurse-submodules",
            ];
            clone.extend(["--template=", "--no-local"]);
            let named = branch.map(|branch| format!("--branch={branch}"));
            clone.extend(named.as_deref());
            clone.extend(["--", git.address.as_str(), "."]);
            git.must(&clone, false).await?;
        }
    }
    if git.is_too_large() {
        return Err(git.bound(Bound::Disk));
    }
    let checkout = git.head().await?;
    let (root, entries) = (
        build.work.source(),
        build.machine.options.limits.source_entries,
    );
    // Nothing after this needs the history, and a site must not publish it.
    crate::remove::remove_all(&root.join(".git"))
        .map_err(BuildError::io("cannot tidy the source"))?;
    if crate::usage::disk_usage(&root).entries > entries {
        return Err(git.bound(Bound::Entries));
    }
    build
        .log
        .system(format!("fetched commit {}", checkout.commit))
        .await;
    Ok(checkout)
}

struct Git<'a> {
    build: &'a Build,
    /// What Git is given.
    address: String,
    /// `-c key=value`, each.
    settings: Vec<String>,
    /// A repository on this machine, to be shown to the sandbox.
    local: Option<PathBuf>,
}

impl<'a> Git<'a> {
    fn new(build: &'a Build, url: &RepositoryUrl, addresses: &[SocketAddr]) -> BuildStep<Self> {
        let local = if url.is_file() {
            Some(local_repository(build, url)?)
        } else {
            None
        };
        let address = match &local {
            Some(path) => url::Url::from_file_path(path)
                .map(String::from)
                .map_err(|()| not_a_repository(path))?,
            None => url.as_str().to_owned(),
        };
        let limits = &build.machine.options.limits;
        let mut settings: Vec<String> = [
            "protocol.allow=never",
            "protocol.version=2",
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.autocrlf=false",
            "core.protectNTFS=true",
            "core.protectHFS=true",
            "core.pager=cat",
            "credential.helper=",
            "http.followRedirects=false",
            "http.lowSpeedLimit=512",
            "submodule.recurse=false",
            "filter.lfs.smudge=",
            "filter.lfs.clean=",
            "filter.lfs.process=",
            "filter.lfs.required=false",
            "advice.detachedHead=false",
            "gc.auto=0",
            "maintenance.auto=false",
            "init.defaultBranch=main",
        ]
        .map(str::to_owned)
        .into();
        settings.push(format!("protocol.{}.allow=always", url.scheme()));
        settings.push(format!("http.lowSpeedTime={}", limits.fetch_stall_seconds));
        if let Some((host, port)) = url.host_and_port()
            && host
                .to_string()
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_err()
        {
            // The addresses that were checked, and no others (see `git_version`).
            let pinned: Vec<String> = addresses
                .iter()
                .map(|address| address.ip().to_string())
                .collect();
            settings.push(format!(
                "http.curloptResolve={host}:{port}:{}",
                pinned.join(",")
            ));
        }
        let config = "[safe]\n\tdirectory = *\n";
        std::fs::write(build.work.path().join("gitconfig"), config)
            .map_err(BuildError::io("cannot prepare Git"))?;
        Ok(Self {
            build,
            address,
            settings,
            local,
        })
    }

    /// Asked until it is: an operator who installs another Git need not start the runner again.
    async fn must_be_recent(&self) -> BuildStep<()> {
        static IS_RECENT: OnceCell<()> = OnceCell::const_new();
        let ask = || async {
            let outcome = self.must(&["version"], true).await?;
            git_version::check(&String::from_utf8_lossy(&outcome.stdout))
                .map_err(BuildError::Platform)
        };
        IS_RECENT.get_or_try_init(ask).await.copied()
    }

    /// Runs Git; anything but success ends the build with a reason.
    async fn must(&self, args: &[&str], capture: bool) -> BuildStep<Outcome> {
        let seconds = self.build.machine.options.limits.fetch_seconds;
        let outcome = self.run(args, capture, seconds).await?;
        match &outcome.ended {
            Ended::Exited(status) if status.success() => Ok(outcome),
            Ended::Exited(_) if self.is_too_large() => Err(self.bound(Bound::Disk)),
            Ended::Exited(status) => Err(BuildError::Source(git_errors::explain(
                &outcome.last_errors,
                &status.to_string(),
            ))),
            Ended::Killed(bound) => Err(self.bound(*bound)),
        }
    }

    /// Git may be done, or have failed for want of room, before the watch looks.
    fn is_too_large(&self) -> bool {
        crate::usage::disk_usage(&self.build.work.source()).bytes
            > self.build.machine.options.limits.source_bytes
    }

    /// What is checked out.
    async fn head(&self) -> BuildStep<Checkout> {
        let outcome = self
            .run(
                &["log", "-1", "--no-show-signature", "--format=%H%n%ct%n%s"],
                true,
                LOCAL_SECONDS,
            )
            .await?;
        let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
        let mut lines = text.lines();
        let commit = lines.next().and_then(|line| CommitId::parse(line).ok());
        let committed_at = lines.next().and_then(|line| line.parse().ok());
        match (commit, committed_at) {
            (Some(commit), Some(committed_at)) => Ok(Checkout {
                commit: commit.to_string(),
                committed_at,
            }),
            _ => Err(BuildError::source(
                "the repository has no commit to build; push one first",
            )),
        }
    }

    async fn run(&self, args: &[&str], capture: bool, seconds: u64) -> BuildStep<Outcome> {
        let limits = &self.build.machine.options.limits;
        let mut words = vec![GIT.to_owned()];
        for setting in &self.settings {
            words.extend(["-c".to_owned(), setting.clone()]);
        }
        words.extend(args.iter().map(|arg| (*arg).to_owned()));
        let (command, stdin) = self.command(words);
        let source = DiskBound {
            folder: self.build.work.source(),
            bytes: limits.source_bytes,
            entries: limits.source_entries + 1000,
        };
        let task = Task {
            command,
            stdin,
            wall: Duration::from_secs(seconds),
            disk: vec![source],
            room: self
                .build
                .machine
                .room_bound(limits.source_bytes.saturating_mul(2)),
            memory_bytes: Some(limits.memory_bytes),
            capture,
        };
        process::run(task, &self.build.log).await.map_err(|error| {
            BuildError::Platform(format!(
                "cannot start Git on the build machine: {error} (Debian: apt install git)"
            ))
        })
    }

    fn command(&self, words: Vec<String>) -> (Command, Vec<u8>) {
        let work = self.build.work.path();
        let Some(sandbox) = self.build.machine.sandbox() else {
            let mut command = Command::new(&words[0]);
            command
                .args(&words[1..])
                .env_clear()
                .current_dir(self.build.work.source());
            command.envs(environment(
                &work.join("gitconfig").display().to_string(),
                &work.display().to_string(),
            ));
            return (command, Vec::new());
        };
        let limits = &self.build.machine.options.limits;
        let (config, source) = (work.join("gitconfig"), self.build.work.source());
        let inside = Inside {
            command: words,
            user: self.build.slot.user(),
            folder: SOURCE.to_owned(),
            env: environment(CONFIG, "/tmp"),
            writable: vec![(&source, SOURCE)],
            read_only: self.local.clone().into_iter().collect(),
            files: vec![(&config, CONFIG)],
            network: if self.local.is_some() {
                Network::None
            } else {
                Network::Host
            },
            niceness: 0,
            bounds: ProcessBounds {
                address_space_bytes: None,
                processes: Some(limits.processes),
                // The watch on the folder says it in better words, and comes first.
                file_bytes: limits.source_bytes.saturating_mul(2).max(64 << 20),
                open_files: 1024,
                cpu_seconds: limits.fetch_seconds,
            },
        };
        sandbox.command(inside)
    }

    fn bound(&self, bound: Bound) -> BuildError {
        let limits = &self.build.machine.options.limits;
        if bound == Bound::Full {
            return BuildError::Platform(
                "fetching the source was stopped, since the build machine's disk is nearly full"
                    .to_owned(),
            );
        }
        BuildError::Source(match bound {
            Bound::Wall => format!(
                "fetching the source took longer than {} seconds; the server is too slow or hangs",
                limits.fetch_seconds
            ),
            Bound::Disk | Bound::Opaque | Bound::Full | Bound::Fall => format!(
                "the source is larger than the limit of {}; keep large files out of the repository",
                bytes(limits.source_bytes)
            ),
            Bound::Entries => format!(
                "the source has more than {} files and folders",
                limits.source_entries
            ),
            Bound::Memory => format!(
                "fetching the source needs more memory than the limit of {}",
                bytes(limits.memory_bytes)
            ),
        })
    }
}

/// Git's whole environment.
fn environment(config: &str, home: &str) -> BTreeMap<String, String> {
    let fixed = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("LANG", "C.UTF-8"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", ""),
        ("SSH_ASKPASS", ""),
        ("GIT_SSH_COMMAND", "/bin/false"),
        ("GIT_PROTOCOL_FROM_USER", "0"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_OPTIONAL_LOCKS", "0"),
    ];
    let mut env: BTreeMap<String, String> = fixed
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    env.insert("GIT_CONFIG_GLOBAL".to_owned(), config.to_owned());
    env.insert("HOME".to_owned(), home.to_owned());
    env
}

/// The folder behind a `file://` address: a repository's data, and none of the platform's own folders.
fn local_repository(build: &Build, url: &RepositoryUrl) -> BuildStep<PathBuf> {
    let path = url.url().to_file_path().map_err(|()| {
        BuildError::source("the repository's address is not a path of this machine")
    })?;
    let path = path
        .canonicalize()
        .map_err(|_| BuildError::Source(format!("there is no repository at {}", path.display())))?;
    if build.machine.is_private(&path) {
        return Err(BuildError::source(
            "the repository's address leads into the platform's own folder",
        ));
    }
    let is_repository =
        |folder: &Path| folder.join("HEAD").is_file() && folder.join("objects").is_dir();
    // Of a working copy only what Git needs is shown to it.
    [path.clone(), path.join(".git")]
        .into_iter()
        .find(|folder| is_repository(folder))
        .ok_or_else(|| not_a_repository(&path))
}

fn not_a_repository(path: &Path) -> BuildError {
    BuildError::Source(format!("{} is no Git repository", path.display()))
}

/// A size for people.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = UNITS
        .iter()
        .find(|(_, unit)| size >= *unit && size.is_multiple_of(*unit));
    unit.map_or_else(
        || format!("{size} bytes"),
        |(name, unit)| format!("{} {name}", size / unit),
    )
}
