//! What a thread that gave up its calls can still do. Each test has threads of its own: filters hold
//! for the thread that asks for them, and for what it starts.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use super::*;

fn in_role<T: Send>(role: Role, act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let restricted = scope.spawn(|| {
            rustix::thread::set_no_new_privs(true).expect("no new privileges");
            restrict(role).expect("restricted");
            act()
        });
        restricted.join().expect("the thread ends")
    })
}

/// What calls without arguments fail with.
#[expect(unsafe_code, reason = "system calls by number are made by libc only")]
fn failures(calls: &[libc::c_long]) -> Vec<Option<i32>> {
    let call = |number: &libc::c_long| {
        // SAFETY: zeros are no valid pointer and no valid descriptor to any of these.
        let answer = unsafe { libc::syscall(*number, 0, 0, 0, 0, 0) };
        if answer < 0 {
            io::Error::last_os_error().raw_os_error()
        } else {
            None
        }
    };
    calls.iter().map(call).collect()
}

#[expect(unsafe_code, reason = "rustix has no sockets of these families")]
fn socket(family: libc::c_int) -> Option<i32> {
    // SAFETY: three integers; the descriptor, if any, is closed at once.
    let descriptor = unsafe { libc::socket(family, libc::SOCK_STREAM, 0) };
    if descriptor < 0 {
        return io::Error::last_os_error().raw_os_error();
    }
    // SAFETY: nobody else knows of it.
    unsafe { libc::close(descriptor) };
    None
}

#[expect(unsafe_code, reason = "rustix has this call as unsafe too")]
fn new_user_namespace() -> Option<i32> {
    // SAFETY: one integer; the thread ends with the test.
    let answer = unsafe { libc::unshare(libc::CLONE_NEWUSER) };
    (answer < 0)
        .then(|| io::Error::last_os_error().raw_os_error())
        .flatten()
}

const ROLES: [Role; 3] = [Role::Build, Role::Tenants, Role::Compiler];

#[test]
fn calls_that_nobody_has_a_use_for_are_refused_to_all() {
    for role in ROLES {
        let calls = [libc::SYS_ptrace, libc::SYS_bpf, libc::SYS_io_uring_setup];
        assert_eq!(in_role(role, || failures(&calls)), [Some(libc::EPERM); 3]);
        assert_eq!(in_role(role, || failures(&[libc::SYS_getpid])), [None]);
        assert_eq!(in_role(role, new_user_namespace), Some(libc::EPERM));
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn x32_calls_are_refused_whatever_they_do() {
    let x32 = |number: libc::c_long| number | libc::c_long::from(x32::BIT);
    // 521 is ptrace, by a number that only x32 has. A kernel without x32 would say ENOSYS.
    let calls = [x32(libc::SYS_getpid), x32(libc::SYS_mount), x32(521)];
    for role in ROLES {
        assert_eq!(in_role(role, || failures(&calls)), [Some(libc::EPERM); 3]);
    }
}

#[test]
fn builds_alone_start_programs() {
    let start = || {
        Command::new("/bin/true")
            .status()
            .map(|status| status.success())
    };
    assert!(in_role(Role::Build, start).expect("it starts"));
    for role in [Role::Tenants, Role::Compiler] {
        let refused = in_role(role, start).expect_err("it does not start");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{role:?}");
        // In place of this process too.
        let calls = [libc::SYS_execve, libc::SYS_execveat];
        assert_eq!(in_role(role, || failures(&calls)), [Some(libc::EPERM); 2]);
    }
}

#[test]
fn all_start_threads() {
    for role in ROLES {
        let answer = in_role(role, || std::thread::spawn(|| 42).join());
        assert_eq!(answer.expect("a thread"), 42, "{role:?}");
    }
}

#[test]
fn sockets_are_of_the_ordinary_families_or_none() {
    for role in [Role::Build, Role::Tenants] {
        let odd = [libc::AF_VSOCK, libc::AF_PACKET, libc::AF_ALG];
        let refused = in_role(role, || odd.map(socket));
        assert_eq!(refused, [Some(libc::EPERM); 3], "{role:?}");
        in_role(role, || {
            TcpListener::bind("127.0.0.1:0").expect("TCP");
            UdpSocket::bind("127.0.0.1:0").expect("UDP");
            std::os::unix::net::UnixStream::pair().expect("Unix");
        });
    }
    let families = [libc::AF_INET, libc::AF_UNIX, libc::AF_NETLINK];
    let refused = in_role(Role::Compiler, || families.map(socket));
    assert_eq!(refused, [Some(libc::EPERM); 3]);
}
