//! Giving up what a process does not need, before it touches anything of a tenant.
//!
//! As root: another user id, and for the tenants' process a root folder of its own. Otherwise, and on
//! top, Landlock (landlock(7)) and filters on system calls (seccomp(2)), as far as the kernel has them.
//! Must run while the process has one thread.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus,
};
use nokube_syscalls::Role;
use rustix::fs::{Gid, Uid};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What Landlock is asked for; older kernels give what they have.
const LANDLOCK_ABI: ABI = ABI::V5;

/// Makes `root` the root folder of this process, by root only. The working folder is the new root.
pub(crate) fn enter_root(root: &Path) -> anyhow::Result<()> {
    rustix::process::chdir(root)
        .and_then(|()| rustix::process::chroot("."))
        .and_then(|()| rustix::process::chdir("/"))
        .with_context(|| format!("{} cannot be made the root folder", root.display()))
}

/// Becomes user and group `id` without any other group, by root only. There is no way back.
pub(crate) fn become_user(id: u32) -> anyhow::Result<()> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    rustix::thread::set_thread_groups(&[])
        .and_then(|()| rustix::thread::set_thread_gid(gid))
        .and_then(|()| rustix::thread::set_thread_uid(uid))
        .with_context(|| format!("this process cannot become user {id}"))?;
    if rustix::process::getuid() != uid || rustix::process::geteuid() != uid {
        anyhow::bail!("this process did not become user {id}");
    }
    Ok(())
}

/// No program started from here on can gain rights, and nothing of this process lands in a core file.
pub(crate) fn no_new_privileges() -> anyhow::Result<()> {
    rustix::thread::set_no_new_privs(true).context("rights cannot be given up")?;
    limit(Resource::Core, 0)
}

/// Gives up the system calls that a process of this role has no use for: other programs, other processes,
/// namespaces, odd sockets. After [`no_new_privileges`].
pub(crate) fn restrict_calls(role: Role) {
    if let Err(error) = nokube_syscalls::restrict(role) {
        let reason = error.source().map(ToString::to_string);
        tracing::warn!(
            ?reason,
            "this kernel does not filter system calls; the other bounds hold"
        );
    }
}

/// Lowers a resource limit of this process, for good.
pub(crate) fn limit(resource: Resource, most: u64) -> anyhow::Result<()> {
    let maximum = getrlimit(resource)
        .maximum
        .map_or(most, |now| now.min(most));
    let limit = Rlimit {
        current: Some(maximum),
        maximum: Some(maximum),
    };
    setrlimit(resource, limit).with_context(|| format!("{resource:?} cannot be limited"))
}

/// Raises the number of open files to the most this process may have.
pub(crate) fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What there is has to do then.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// How much of what was asked the kernel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restriction {
    /// All or part of it.
    Enforced,
    /// None: the kernel has no Landlock, or it is turned off.
    Unsupported,
}

/// From here on only files below `readable` can be read, and those below `writable` changed. Paths that
/// do not exist are passed over.
pub(crate) fn restrict_files(
    readable: &[PathBuf],
    writable: &[PathBuf],
) -> anyhow::Result<Restriction> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::from_all(LANDLOCK_ABI) & !AccessFs::Execute;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK_ABI))
        .and_then(Ruleset::create)
        .context("file access cannot be restricted")?;
    for (paths, access) in [(readable, read), (writable, write)] {
        for path in paths {
            let Ok(fd) = PathFd::new(path) else {
                continue;
            };
            ruleset = ruleset
                .add_rule(PathBeneath::new(fd, access))
                .context("file access cannot be restricted")?;
        }
    }
    let status = ruleset
        .restrict_self()
        .context("file access cannot be restricted")?;
    Ok(match status.ruleset {
        RulesetStatus::NotEnforced => Restriction::Unsupported,
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Restriction::Enforced,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_not_named_cannot_be_read_or_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["readable", "writable"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("file"), "text").unwrap();
        }
        fs::write(path("keys.env"), "secret").unwrap();
        let outcome = std::thread::scope(|scope| {
            // Landlock holds for the thread that asks for it, and for what it starts.
            let confined = scope.spawn(|| {
                let restriction =
                    restrict_files(&[path("readable"), path("missing")], &[path("writable")])
                        .unwrap();
                [
                    restriction == Restriction::Enforced,
                    fs::read(path("readable/file")).is_ok(),
                    fs::write(path("readable/file"), "other").is_ok(),
                    fs::write(path("writable/new"), "text").is_ok(),
                    fs::read(path("keys.env")).is_ok(),
                    fs::read("/etc/passwd").is_ok(),
                ]
            });
            confined.join().unwrap()
        });
        // A kernel without Landlock holds nothing.
        if outcome[0] {
            assert_eq!(outcome, [true, true, false, true, false, false]);
        }
    }
}
