//! System calls that a process gives up, for itself and all its descendants and for good (seccomp(2)).
//!
//! Users, namespaces and root folders hide the host's files, processes and networks; this narrows the
//! kernel's own surface: no further namespaces, mounts, kernel keyrings, BPF, io_uring, and sockets of
//! the ordinary families only (virtual machines' vsock is not part of a network namespace on every
//! kernel). What runs no other program can't begin to.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

#[cfg(target_arch = "x86_64")]
mod x32;

/// What a process is, by what it goes on to need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A tenant's build commands: they start programs and fetch packages.
    Build,
    /// The process of tenants' applications: it serves and connects, and starts nothing.
    Tenants,
    /// The compiler: it reads, computes and writes.
    Compiler,
}

/// Why nothing was given up, or not all of it.
#[derive(Debug, thiserror::Error)]
#[error("system calls cannot be given up")]
pub struct RestrictError(#[source] seccompiler::Error);

/// Every flag of clone(2) and unshare(2) that makes a namespace.
const NAMESPACE_FLAGS: [libc::c_int; 8] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
    CLONE_NEWTIME,
];
/// It shares its bit with an exit signal, so it is refused in unshare alone.
const CLONE_NEWTIME: libc::c_int = 0x80;

/// Refused whatever their arguments, to all.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_vhangup,
];

/// Other programs, for those that start none.
const PROGRAMS: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// Sockets of programs and of the internet, and of the kernel's address tables, which the C library's
/// resolver looks at.
const FAMILIES: [libc::c_int; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// Refuses those calls to this thread, what it starts, and all descendants. The thread must have given
/// up new privileges (prctl(2), `PR_SET_NO_NEW_PRIVS`).
///
/// # Errors
/// [`RestrictError`], also where the kernel has no filters.
pub fn restrict(role: Role) -> Result<(), RestrictError> {
    apply_all(role).map_err(RestrictError)
}

fn apply_all(role: Role) -> Result<(), seccompiler::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(seccompiler::Error::Backend)?;
    #[cfg(target_arch = "x86_64")]
    apply_filter(&x32::refusal())?;
    apply(
        refusals(role).map_err(seccompiler::Error::Backend)?,
        libc::EPERM,
        arch,
    )?;
    // clone3 hides its flags behind a pointer that a filter can't follow. "Not implemented" makes
    // every C library fall back to clone.
    apply(
        BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
        libc::ENOSYS,
        arch,
    )
}

fn apply(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    errno: libc::c_int,
    arch: TargetArch,
) -> Result<(), seccompiler::Error> {
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)
        .map_err(seccompiler::Error::Backend)?;
    let program: BpfProgram = filter.try_into().map_err(seccompiler::Error::Backend)?;
    apply_filter(&program)
}

fn refusals(role: Role) -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    for flag in NAMESPACE_FLAGS {
        let rule = || SeccompRule::new(vec![masked(flag, flag)?]);
        rules.entry(libc::SYS_unshare).or_default().push(rule()?);
        if flag != CLONE_NEWTIME {
            rules.entry(libc::SYS_clone).or_default().push(rule()?);
        }
    }
    if role != Role::Build {
        rules.extend(PROGRAMS.iter().map(|call| (*call, Vec::new())));
        // Threads, and nothing else.
        let no_thread = SeccompRule::new(vec![masked(libc::CLONE_THREAD, 0)?])?;
        rules.entry(libc::SYS_clone).or_default().push(no_thread);
    }
    let sockets = match role {
        Role::Build | Role::Tenants => {
            let families = FAMILIES.into_iter().map(other_than);
            vec![SeccompRule::new(families.collect::<Result<Vec<_>, _>>()?)?]
        }
        Role::Compiler => Vec::new(),
    };
    rules.insert(libc::SYS_socket, sockets);
    // ioctl(TIOCSTI) types into the terminal of whoever started the platform.
    let terminal =
        SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::TIOCSTI)?;
    rules.insert(libc::SYS_ioctl, vec![SeccompRule::new(vec![terminal])?]);
    Ok(rules)
}

/// The first argument has `value` in the bits of `mask`.
fn masked(mask: libc::c_int, value: libc::c_int) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(u64::from(mask.unsigned_abs())),
        u64::from(value.unsigned_abs()),
    )
}

fn other_than(family: libc::c_int) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Ne,
        u64::from(family.unsigned_abs()),
    )
}

#[cfg(test)]
mod tests;
