//! System calls a build has no use for and an attacker has.
//!
//! Namespaces hide the host's files, processes and networks; this narrows the kernel's own surface:
//! no further namespaces, mounts, kernel keyrings, BPF, io_uring, and sockets of the ordinary
//! families only (virtual machines' vsock is not part of a network namespace on every kernel).

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// Every flag of clone(2) and unshare(2) that makes a namespace.
const NAMESPACE_FLAGS: [libc::c_int; 8] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
    // CLONE_NEWTIME; it shares its bit with an exit signal, so it is refused in unshare alone.
    0x80,
];

/// Refused whatever their arguments.
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

/// Refuses those calls to this process and all its descendants, for good.
pub(super) fn restrict() -> Result<(), seccompiler::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(seccompiler::Error::Backend)?;
    #[cfg(target_arch = "x86_64")]
    apply_filter(&x32::refusal())?;
    apply(
        refusals().map_err(seccompiler::Error::Backend)?,
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

fn refusals() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let has = |flag: libc::c_int| {
        let flag = u64::from(flag.unsigned_abs());
        SeccompCondition::new(
            0,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::MaskedEq(flag),
            flag,
        )
    };
    for flag in NAMESPACE_FLAGS {
        rules
            .entry(libc::SYS_unshare)
            .or_default()
            .push(SeccompRule::new(vec![has(flag)?])?);
        if flag != 0x80 {
            rules
                .entry(libc::SYS_clone)
                .or_default()
                .push(SeccompRule::new(vec![has(flag)?])?);
        }
    }
    let other_than = |family: libc::c_int| {
        SeccompCondition::new(
            0,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Ne,
            u64::from(family.unsigned_abs()),
        )
    };
    let families = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ];
    let conditions = families
        .into_iter()
        .map(other_than)
        .collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(conditions)?]);
    // ioctl(TIOCSTI) types into the terminal of whoever started the runner.
    let terminal =
        SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::TIOCSTI)?;
    rules.insert(libc::SYS_ioctl, vec![SeccompRule::new(vec![terminal])?]);
    Ok(rules)
}

/// The x32 calls of an x86-64 kernel: they have the same architecture, and numbers that the list above
/// does not know.
#[cfg(target_arch = "x86_64")]
mod x32 {
    use seccompiler::{BpfProgram, sock_filter};

    /// Set in the number of every x32 call (asm/unistd.h, `__X32_SYSCALL_BIT`).
    pub(super) const BIT: u32 = 0x4000_0000;

    /// A filter of its own: the kernel runs all of them, and the strictest answer counts.
    pub(super) fn refusal() -> BpfProgram {
        let statement = |code: u32, jt: u8, jf: u8, k: u32| sock_filter {
            code: u16::try_from(code).expect("operations have 16 bits"),
            jt,
            jf,
            k,
        };
        let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
        vec![
            // The call's number is the first field of `seccomp_data`.
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            statement(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, BIT),
            statement(libc::BPF_RET | libc::BPF_K, 0, 0, refuse),
            statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a call without arguments fails with, in a thread that is restricted.
    #[expect(unsafe_code, reason = "system calls by number are made by libc only")]
    fn refused(calls: &[libc::c_long]) -> Vec<Option<i32>> {
        std::thread::scope(|scope| {
            let restricted = scope.spawn(|| {
                rustix::thread::set_no_new_privs(true).expect("no new privileges");
                restrict().expect("restricted");
                let call = |number: &libc::c_long| {
                    // SAFETY: zeros are no valid pointer and no valid descriptor to any of these.
                    let answer = unsafe { libc::syscall(*number, 0, 0, 0, 0, 0) };
                    (answer < 0).then(|| std::io::Error::last_os_error().raw_os_error())
                };
                calls.iter().map(|number| call(number).flatten()).collect()
            });
            restricted.join().expect("the thread ends")
        })
    }

    #[test]
    fn calls_that_builds_have_no_use_for_are_refused() {
        assert_eq!(
            refused(&[libc::SYS_ptrace, libc::SYS_bpf, libc::SYS_getpid]),
            [Some(libc::EPERM), Some(libc::EPERM), None]
        );
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn x32_calls_are_refused_whatever_they_do() {
        let x32 = |number: libc::c_long| number | libc::c_long::from(x32::BIT);
        // 521 is ptrace, by a number that only x32 has. A kernel without x32 would say ENOSYS.
        assert_eq!(
            refused(&[x32(libc::SYS_getpid), x32(libc::SYS_mount), x32(521)]),
            [Some(libc::EPERM); 3]
        );
    }
}
