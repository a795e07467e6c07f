//! `nokube sandbox-init`: the first program in the sandbox.
//!
//! It reads its plan from standard input, gives up every privilege, offers the runner's proxy on a
//! loopback port of the sandbox's own network, and starts the command. Its exit code is the command's.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nokube_syscalls::Role;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// Connections of a build at once; cargo and npm use a few dozen.
const CONNECTIONS_MAX: usize = 128;
/// Exit codes of ours, as shells have them for "cannot execute" and "not found".
const CANNOT_START: u8 = 126;
const BAD_PLAN: u8 = 125;

/// What the runner tells it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InitPlan {
    /// Become this user and group first.
    pub(crate) user: Option<u32>,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// The folder to start in.
    pub(crate) folder: String,
    /// The command's whole environment.
    pub(crate) env: BTreeMap<String, String>,
    /// Offer this Unix socket as a TCP port on loopback.
    pub(crate) forward: Option<Forward>,
    /// Above 0: other programs of the machine come first, for processors and for memory alike.
    pub(crate) niceness: i32,
    /// Bounds per process.
    pub(crate) bounds: ProcessBounds,
}

/// A loopback port that leads to a Unix socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Forward {
    pub(crate) port: u16,
    pub(crate) socket: String,
}

/// Resource limits (setrlimit(2)).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ProcessBounds {
    pub(crate) address_space_bytes: Option<u64>,
    pub(crate) processes: Option<u64>,
    pub(crate) file_bytes: u64,
    pub(crate) open_files: u64,
    pub(crate) cpu_seconds: u64,
}

/// Runs `sandbox-init` with what follows that word on the command line (nothing). Only useful as the
/// runner starts it.
#[must_use]
pub fn sandbox_init(args: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    if args.count() != 0 {
        return complain(
            BAD_PLAN,
            "sandbox-init is started by the runner and takes no arguments",
        );
    }
    let mut text = String::new();
    let plan = io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| error.to_string());
    let plan = plan
        .and_then(|_| serde_json::from_str::<InitPlan>(&text).map_err(|error| error.to_string()));
    match plan {
        Ok(plan) => execute(&plan),
        Err(error) => complain(BAD_PLAN, &format!("sandbox-init got no plan: {error}")),
    }
}

fn execute(plan: &InitPlan) -> ExitCode {
    let Some((program, args)) = plan.command.split_first() else {
        return complain(BAD_PLAN, "sandbox-init got no command");
    };
    if let Err(error) = confine(plan) {
        return complain(BAD_PLAN, &format!("the sandbox cannot be closed: {error}"));
    }
    if let Some(forward) = &plan.forward
        && let Err(error) = offer(forward)
    {
        return complain(
            BAD_PLAN,
            &format!("the sandbox's way to the web cannot be opened: {error}"),
        );
    }
    let child = Command::new(program)
        .args(args)
        .env_clear()
        .envs(&plan.env)
        .current_dir(&plan.folder)
        .stdin(Stdio::null())
        .spawn();
    match child.and_then(|mut child| child.wait()) {
        // A signal's number above 128, as shells report it.
        Ok(status) => {
            let code = status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
        }
        Err(error) => complain(CANNOT_START, &format!("cannot start {program}: {error}")),
    }
}

#[expect(clippy::print_stderr, reason = "standard error is the build's log")]
fn complain(code: u8, text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(code)
}

fn confine(plan: &InitPlan) -> io::Result<()> {
    if plan.niceness > 0 {
        rustix::process::nice(plan.niceness)?;
        // When memory runs out, the kernel takes a build before the platform (proc(5): up to 1000).
        drop(std::fs::write("/proc/self/oom_score_adj", "700"));
    }
    if let Some(user) = plan.user {
        become_user(user)?;
    }
    let bounds = &plan.bounds;
    let mib = 1024 * 1024;
    for (resource, limit) in [
        (Resource::Core, Some(0)),
        (Resource::As, bounds.address_space_bytes),
        (Resource::Nproc, bounds.processes),
        (Resource::Fsize, Some(bounds.file_bytes)),
        (Resource::Nofile, Some(bounds.open_files)),
        (Resource::Cpu, Some(bounds.cpu_seconds)),
        (Resource::Memlock, Some(8 * mib)),
    ] {
        if let Some(limit) = limit {
            // Never above what this process was given itself.
            let most = rustix::process::getrlimit(resource).maximum;
            let limit = most.map_or(limit, |most| most.min(limit));
            setrlimit(
                resource,
                Rlimit {
                    current: Some(limit),
                    maximum: Some(limit),
                },
            )?;
        }
    }
    rustix::thread::set_no_new_privs(true)?;
    nokube_syscalls::restrict(Role::Build).map_err(io::Error::other)
}

/// Becomes an ordinary user for good. The kernel drops every capability when the last of the three
/// user ids stops being 0 (capabilities(7)).
#[expect(
    unsafe_code,
    reason = "the calls that change the whole process's ids are in libc only"
)]
fn become_user(user: u32) -> io::Result<()> {
    let done = |result: libc::c_int| {
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: plain system calls on integers; no other thread runs yet.
    unsafe {
        done(libc::setgroups(0, std::ptr::null()))?;
        done(libc::setresgid(user, user, user))?;
        done(libc::setresuid(user, user, user))?;
    }
    // Were the change not final, this would succeed.
    // SAFETY: as above.
    if unsafe { libc::setuid(0) } == 0 {
        return Err(io::Error::other("the privileges came back"));
    }
    Ok(())
}

/// Listens on loopback of the sandbox's network and relays each connection to the runner's socket.
fn offer(forward: &Forward) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, forward.port))?;
    let socket = forward.socket.clone();
    let open = Arc::new(AtomicUsize::new(0));
    std::thread::Builder::new()
        .name("forward".to_owned())
        .spawn(move || {
            for client in listener.incoming().flatten() {
                if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                    open.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (socket, held) = (socket.clone(), Arc::clone(&open));
                let relay = std::thread::Builder::new()
                    .stack_size(128 * 1024)
                    .spawn(move || {
                        // A connection that breaks is its two ends' business.
                        drop(relay(&client, &socket));
                        held.fetch_sub(1, Ordering::Relaxed);
                    });
                if relay.is_err() {
                    open.fetch_sub(1, Ordering::Relaxed);
                }
            }
        })?;
    Ok(())
}

fn relay(client: &TcpStream, socket: &str) -> io::Result<()> {
    let proxy = UnixStream::connect(socket)?;
    client.set_nodelay(true)?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            drop(io::copy(&mut &*client, &mut &proxy));
            drop(proxy.shutdown(Shutdown::Write));
        });
        drop(io::copy(&mut &proxy, &mut &*client));
        drop(client.shutdown(Shutdown::Both));
        drop(proxy.shutdown(Shutdown::Both));
    });
    Ok(())
}
