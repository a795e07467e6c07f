//! The x32 calls of an x86-64 kernel: they have the same architecture, and numbers that no list of
//! ordinary calls knows.

use seccompiler::{BpfProgram, sock_filter};

/// Set in the number of every x32 call (asm/unistd.h, `__X32_SYSCALL_BIT`).
pub(crate) const BIT: u32 = 0x4000_0000;

/// A filter of its own: the kernel runs all of them, and the strictest answer counts.
pub(crate) fn refusal() -> BpfProgram {
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
