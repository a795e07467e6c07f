//! The source's own build commands, in the sandbox.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::caches;
use crate::detect::{Found, find_site};
use crate::error::{BuildError, BuildStep};
use crate::job::Build;
use crate::options::Egress;
use crate::process::{self, Bound, DiskBound, Ended, Task};
use crate::sandbox::cgroup::{ControlGroup, GroupBounds};
use crate::sandbox::init::ProcessBounds;
use crate::sandbox::proxy::Proxy;
use crate::sandbox::{CACHE, CERTIFICATES, Inside, Network, SOURCE};
use crate::source::{Escapes, Source, bytes, confine};
use crate::target_cache::TargetCache;
use crate::workdir::make_private;

/// Files and folders that a build may leave; `node_modules` of a large site has some 100,000.
const ENTRIES_MAX: u64 = 2_000_000;

/// One command line, in a folder of the source.
struct Step {
    /// For messages: `component api`.
    of: String,
    line: String,
    /// Inside the source.
    folder: PathBuf,
}

/// Runs what the source wants run, if anything. An npm project becomes a site. What cargo compiled stays
/// in the source until the answer is told to move it out.
pub(crate) async fn build(
    build: &Build,
    source: &Source,
    found: &mut Found,
) -> BuildStep<TargetCache> {
    let steps = steps(source, found)?;
    if steps.is_empty() {
        return Ok(TargetCache::default());
    }
    let machine = &build.machine;
    may_run_commands(
        machine.without_sandbox(),
        machine.options.unsandboxed_builds,
    )
    .map_err(BuildError::Source)?;
    let (cache, owner) = (build.cache.folder(), build.owner());
    tokio::task::spawn_blocking(move || caches::prepare(&cache, owner))
        .await
        .map_err(|_| BuildError::Lost)?
        .map_err(BuildError::io("cannot prepare the build's cache"))?;
    let place = Place::prepare(build, source)?;
    let folders: Vec<PathBuf> = steps.iter().map(|step| step.folder.clone()).collect();
    let (store, service) = (
        caches::targets(&build.cache.folder()),
        build.job.service_name.clone(),
    );
    let root = source.root.clone();
    let targets = tokio::task::spawn_blocking(move || {
        TargetCache::move_in(&store, &service, &root, &folders, owner)
    })
    .await
    .map_err(|_| BuildError::Lost)?
    .map_err(BuildError::io("cannot prepare the build's cache"))?;
    for step in &steps {
        if let Err(error) = run(build, &place, step).await {
            targets.move_out();
            return Err(error);
        }
    }
    drop(place);
    // What the commands left is read by the runner itself from now on.
    let (root, stop) = (source.root.clone(), build.cancel.clone());
    let confined =
        tokio::task::spawn_blocking(move || confine(&root, Escapes::Remove, &stop)).await;
    confined
        .map_err(|_| BuildError::Lost)?
        .map_err(|error| match error.kind() {
            // Of the build's own making: another attempt would end the same way.
            ErrorKind::InvalidFilename | ErrorKind::PermissionDenied => BuildError::Source(format!(
                "the build left folders that cannot be looked through (nested too deep, or closed): {error}"
            )),
            _ => BuildError::io("cannot look through what was built")(error),
        })?;
    if matches!(found, Found::Npm { .. }) {
        let site = find_site(&source.folder, false);
        *found = Found::Site(site.ok_or_else(|| {
            BuildError::source("the build script made no site; looked for index.html in dist, build, _site, out, public")
        })?);
    }
    Ok(targets)
}

/// Whether build commands may be run on a machine that has no sandbox, for the reason given, if it has none.
fn may_run_commands(no_sandbox: Option<&str>, unsandboxed_builds: bool) -> Result<(), String> {
    match no_sandbox {
        Some(reason) if !unsandboxed_builds => Err(format!(
            "the source has a build command, and this build machine has no sandbox to run it in: {reason}. Its operator must install it; until then commit the built files"
        )),
        _ => Ok(()),
    }
}

fn steps(source: &Source, found: &Found) -> BuildStep<Vec<Step>> {
    match found {
        Found::Site(_) => Ok(Vec::new()),
        Found::Npm { locked } => {
            let step = |line: &str| Step {
                of: "package.json".to_owned(),
                line: line.to_owned(),
                folder: source.folder.clone(),
            };
            let install = if *locked {
                "npm ci --no-audit --no-fund"
            } else {
                "npm install --no-audit --no-fund"
            };
            Ok(vec![step(install), step("npm run build")])
        }
        Found::Spin(manifest) => {
            let mut steps = Vec::new();
            for component in &manifest.components {
                let Some(build) = &component.build else {
                    continue;
                };
                let of = format!("component {}", component.id);
                let folder = source.folder.join(build.workdir.as_deref().unwrap_or("."));
                let missing = || {
                    BuildError::Source(format!(
                        "{of}: its build's workdir {:?} is not a folder of the source",
                        build.workdir
                    ))
                };
                let folder = folder.canonicalize().map_err(|_| missing())?;
                if !folder.starts_with(&source.root) || !folder.is_dir() {
                    return Err(missing());
                }
                steps.extend(build.command.iter().map(|line| Step {
                    of: of.clone(),
                    line: line.to_owned(),
                    folder: folder.clone(),
                }));
            }
            Ok(steps)
        }
    }
}

/// What the commands of one build find around them.
struct Place {
    root: PathBuf,
    cache: PathBuf,
    etc: Vec<(PathBuf, &'static str)>,
    proxy: Option<Proxy>,
    group: Option<ControlGroup>,
    env: BTreeMap<String, String>,
}

impl Place {
    fn prepare(build: &Build, source: &Source) -> BuildStep<Self> {
        let machine = &build.machine;
        let limits = &machine.options.limits;
        let cache = caches::shared(&build.cache.folder());
        let work = build.work.path();
        let (mut etc, mut proxy) = (Vec::new(), None);
        if let Some(sandbox) = machine.sandbox() {
            let user = sandbox.user_inside(&build.slot);
            etc = write_etc(work, user).map_err(BuildError::io("cannot prepare the sandbox"))?;
            if machine.options.egress == Egress::PublicWeb {
                let folder = work.join("run");
                let started = make_private(&folder)
                    .and_then(|()| Proxy::start(&folder, limits.download_bytes, build.log.clone()));
                proxy = Some(
                    started.map_err(BuildError::io("cannot open the sandbox's way to the web"))?,
                );
            }
        }
        let name = format!(
            "nokube-build-{}",
            work.file_name().unwrap_or_default().display()
        );
        let bounds = GroupBounds {
            memory_bytes: limits.memory_bytes,
            processes: limits.processes,
            processors_milli: limits.processors_milli,
        };
        let group = machine
            .sandbox()
            .and_then(|_| ControlGroup::make(&name, &bounds));
        let env = environment(build, source, &cache);
        Ok(Self {
            root: source.root.clone(),
            cache,
            etc,
            proxy,
            group,
            env,
        })
    }
}

/// The few files of `/etc` that programs look at: a user to be, no resolver to ask.
fn write_etc(work: &Path, user: u32) -> std::io::Result<Vec<(PathBuf, &'static str)>> {
    let files = [
        (
            "passwd",
            "/etc/passwd",
            format!("root:x:0:0::/:/bin/false\nbuild:x:{user}:{user}::/home/build:/bin/sh\n"),
        ),
        (
            "group",
            "/etc/group",
            format!("root:x:0:\nbuild:x:{user}:\n"),
        ),
        (
            "hosts",
            "/etc/hosts",
            "127.0.0.1 localhost build\n::1 localhost\n".to_owned(),
        ),
        (
            "nsswitch.conf",
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\n".to_owned(),
        ),
    ];
    let folder = work.join("etc");
    make_private(&folder)?;
    files
        .into_iter()
        .map(|(name, place, text)| {
            fs::write(folder.join(name), text).map(|()| (folder.join(name), place))
        })
        .collect()
}

/// The commands' whole environment; proxies and home are the sandbox's to add.
fn environment(build: &Build, source: &Source, cache: &Path) -> BTreeMap<String, String> {
    let sandboxed = build.machine.sandbox().is_some();
    let cache = if sandboxed {
        CACHE.to_owned()
    } else {
        cache.display().to_string()
    };
    let mut env: BTreeMap<String, String> = [
        ("PATH", build.machine.toolchain.path()),
        ("LANG", "C.UTF-8".to_owned()),
        ("CI", "true".to_owned()),
        ("TERM", "dumb".to_owned()),
        ("NO_COLOR", "1".to_owned()),
        ("TMPDIR", "/tmp".to_owned()),
        ("CARGO_HOME", format!("{cache}/cargo")),
        ("CARGO_TERM_COLOR", "never".to_owned()),
        ("CARGO_NET_RETRY", "3".to_owned()),
        ("npm_config_cache", format!("{cache}/npm")),
        ("npm_config_update_notifier", "false".to_owned()),
        ("XDG_CACHE_HOME", format!("{cache}/xdg")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if !sandboxed {
        env.insert("HOME".to_owned(), build.work.path().display().to_string());
    }
    if let Some(seconds) = source.committed_at {
        env.insert("SOURCE_DATE_EPOCH".to_owned(), seconds.to_string());
    }
    if Path::new(CERTIFICATES).exists() {
        // Node trusts its own list only, unless it is told of the machine's.
        for name in [
            "NODE_EXTRA_CA_CERTS",
            "npm_config_cafile",
            "SSL_CERT_FILE",
            "CARGO_HTTP_CAINFO",
        ] {
            env.insert(name.to_owned(), CERTIFICATES.to_owned());
        }
    }
    env.extend(build.machine.toolchain.env.clone());
    let named = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let args = build
        .job
        .build_args
        .iter()
        .filter(|(name, value)| named(name) && !value.contains('\0'));
    env.extend(args.map(|(name, value)| (name.clone(), value.clone())));
    env
}

async fn run(build: &Build, place: &Place, step: &Step) -> BuildStep<()> {
    let machine = &build.machine;
    let limits = &machine.options.limits;
    build
        .log
        .system(format!("{}: $ {}", step.of, step.line))
        .await;
    // The one place where a tenant's command line is run (DESIGN.md, invariant 2).
    let shell = vec!["/bin/sh".to_owned(), "-c".to_owned(), step.line.clone()];
    let (mut command, stdin) = match machine.sandbox() {
        Some(sandbox) => {
            let mut read_only = machine.toolchain.read_only_dirs.clone();
            read_only.retain(|folder| !machine.is_private(folder));
            let inside = Inside {
                command: shell,
                user: build.slot.user(),
                folder: inside_path(&place.root, &step.folder),
                env: place.env.clone(),
                writable: vec![(&place.root, SOURCE), (&place.cache, CACHE)],
                read_only,
                files: place
                    .etc
                    .iter()
                    .map(|(file, place)| (file.as_path(), *place))
                    .collect(),
                network: place
                    .proxy
                    .as_ref()
                    .map_or(Network::None, |proxy| Network::Proxy(proxy.socket())),
                niceness: 10,
                bounds: ProcessBounds {
                    // Virtual, not used, memory: WebAssembly engines reserve tens of gibibytes.
                    address_space_bytes: Some(256 << 30),
                    processes: Some(limits.processes),
                    file_bytes: limits.file_bytes,
                    open_files: limits.open_files,
                    cpu_seconds: limits.cpu_seconds,
                },
            };
            sandbox.command(inside)
        }
        None => {
            let mut command = Command::new(&shell[0]);
            command
                .args(&shell[1..])
                .env_clear()
                .envs(&place.env)
                .current_dir(&step.folder);
            (command, Vec::new())
        }
    };
    if let Some(group) = &place.group {
        group.join(&mut command);
    }
    let task = Task {
        command,
        stdin,
        wall: Duration::from_secs(build.job.timeout_seconds),
        disk: vec![
            DiskBound {
                folder: place.root.clone(),
                bytes: limits.disk_bytes,
                entries: ENTRIES_MAX,
            },
            DiskBound {
                folder: place.cache.clone(),
                bytes: limits.cache_bytes + limits.disk_bytes,
                entries: ENTRIES_MAX,
            },
        ],
        room: machine.room_bound(limits.disk_bytes.saturating_add(limits.cache_bytes)),
        memory_bytes: Some(limits.memory_bytes),
        capture: false,
    };
    let outcome = process::run(task, &build.log)
        .await
        .map_err(BuildError::io("cannot start the build command"))?;
    let of = &step.of;
    if matches!(outcome.ended, Ended::Killed(Bound::Full)) {
        return Err(BuildError::Platform(format!(
            "{of}: the build command was stopped, since the build machine's disk is nearly full"
        )));
    }
    Err(BuildError::Source(match outcome.ended {
        Ended::Exited(status) if status.success() => return Ok(()),
        Ended::Exited(status) if status.code() == Some(128 + libc::SIGXFSZ) => {
            format!(
                "{of}: the build command wrote a file larger than the limit of {}",
                bytes(limits.file_bytes)
            )
        }
        Ended::Exited(status) if status.code() == Some(128 + libc::SIGKILL) => {
            format!(
                "{of}: the build command was killed; it used more memory than the limit of {}, or more CPU time than {} seconds",
                bytes(limits.memory_bytes),
                limits.cpu_seconds
            )
        }
        Ended::Exited(status) => match status.code() {
            Some(code) => {
                format!("{of}: the build command failed with exit code {code}; the log says why")
            }
            None => format!("{of}: the build command was killed ({status})"),
        },
        Ended::Killed(Bound::Wall) => format!(
            "{of}: the build command took longer than {} seconds",
            build.job.timeout_seconds
        ),
        Ended::Killed(Bound::Disk) => format!(
            "{of}: the build command wrote more than the limit of {}",
            bytes(limits.disk_bytes)
        ),
        Ended::Killed(Bound::Entries) => {
            format!("{of}: the build command made more than {ENTRIES_MAX} files and folders")
        }
        Ended::Killed(Bound::Opaque) => format!(
            "{of}: the build command made folders that cannot be looked through: nested too deep, or closed"
        ),
        Ended::Killed(Bound::Full | Bound::Fall) => format!(
            "{of}: while the build command ran, the build machine's disk filled by more than builds may take"
        ),
        Ended::Killed(Bound::Memory) => format!(
            "{of}: the build command used more memory than the limit of {}",
            bytes(limits.memory_bytes)
        ),
    }))
}

/// A folder of the source as it is called inside the sandbox.
fn inside_path(root: &Path, folder: &Path) -> String {
    let below = folder.strip_prefix(root).unwrap_or(Path::new(""));
    let mut path = SOURCE.to_owned();
    for part in below.components() {
        if let Component::Normal(part) = part {
            path.push('/');
            path.push_str(&part.to_string_lossy());
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::may_run_commands;
    use crate::sandbox::Sandbox;

    #[test]
    fn without_a_sandbox_commands_run_when_the_operator_says_so_and_only_then() {
        assert_eq!(may_run_commands(None, false), Ok(()));
        assert_eq!(may_run_commands(None, true), Ok(()));
    }

    #[tokio::test]
    async fn a_machine_that_has_no_bubblewrap_refuses_commands_unless_told_otherwise() {
        // As on macOS.
        let probed = Sandbox::probe_at(&["/nowhere/bwrap"], None, Path::new("/nowhere")).await;
        let reason = probed.expect_err("there is none");
        let reason = reason.as_str();
        assert_eq!(may_run_commands(Some(reason), true), Ok(()));
        let refused = may_run_commands(Some(reason), false).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
    }
}
