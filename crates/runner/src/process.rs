//! One program under watch: its output goes to the build's log line by line, and it is stopped when it
//! takes too long, too much disk or too much memory.
//!
//! Dropping the future kills the program's whole process group: a cancelled build leaves nothing.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nokube_api::logs::LogStream;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use crate::log::BuildLog;
use crate::usage::{disk_usage, room, tree_memory_bytes};

/// Longer lines are cut by the log; this bounds what is held of one.
const LINE_MAX_BYTES: usize = 16 * 1024;
/// How often disk and memory are looked at, at most.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// Pipes can outlive the program (a daemon it started); they are not waited for longer than this.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// A program to run and its bounds.
pub(crate) struct Task {
    pub(crate) command: Command,
    /// Written to its standard input, which is then closed.
    pub(crate) stdin: Vec<u8>,
    pub(crate) wall: Duration,
    /// Folders and how many bytes and entries each may grow to.
    pub(crate) disk: Vec<DiskBound>,
    pub(crate) room: RoomBound,
    pub(crate) memory_bytes: Option<u64>,
    /// Keep standard output instead of logging it: at most 64 KiB.
    pub(crate) capture: bool,
}

/// A folder's bounds.
pub(crate) struct DiskBound {
    pub(crate) folder: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

/// What has to remain of the file system. What a program writes into files that it deleted at once, or
/// where nobody can look, shows here alone.
#[derive(Debug, Clone)]
pub(crate) struct RoomBound {
    /// A folder of the file system.
    pub(crate) folder: PathBuf,
    /// So much stays free, whoever takes the rest.
    pub(crate) reserve_bytes: u64,
    /// So much may be taken while the program runs, by whomever.
    pub(crate) fall_bytes: u64,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// It was killed for one of its bounds.
    Killed(Bound),
}

/// A bound that was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Wall,
    Disk,
    Entries,
    /// What it made cannot be looked through.
    Opaque,
    /// Nearly nothing is left of the file system.
    Full,
    /// Much less is left of the file system than before.
    Fall,
    Memory,
}

/// What it did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ended: Ended,
    pub(crate) stdout: Vec<u8>,
    /// The last lines it wrote to standard error, for a message.
    pub(crate) last_errors: Vec<String>,
}

/// Runs it to its end.
pub(crate) async fn run(mut task: Task, log: &BuildLog) -> std::io::Result<Outcome> {
    task.command.stdin(if task.stdin.is_empty() {
        Stdio::null()
    } else {
        Stdio::piped()
    });
    task.command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    die_with_this_process(&mut task.command);
    // Before there is a child, so that its end is not missed.
    let children = signal(SignalKind::child())?;
    let mut child = task.command.spawn()?;
    let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let leader = leader.expect("a child that was not waited for has a number");
    // From here on, whatever happens to this future, the group dies with it.
    let mut group = Group(Some(leader));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let input = child.stdin.take();
    let stdin = std::mem::take(&mut task.stdin);
    let feed = async {
        if let Some(mut input) = input {
            // A program that does not read its input has its own way of saying so.
            drop(input.write_all(&stdin).await);
        }
    };
    let mut captured = Vec::new();
    let mut last_errors = Vec::new();
    let ended = {
        let out = async {
            match stdout {
                Some(pipe) if task.capture => capture(pipe, &mut captured).await,
                Some(pipe) => lines(pipe, LogStream::Stdout, log, None).await,
                None => {}
            }
        };
        let err = async {
            if let Some(pipe) = stderr {
                lines(pipe, LogStream::Stderr, log, Some(&mut last_errors)).await;
            }
        };
        let pipes = async { tokio::join!(out, err, feed) };
        let guard = guard(leader, children, &task);
        tokio::pin!(pipes, guard);
        let mut drained = false;
        let ended = loop {
            tokio::select! {
                ended = &mut guard => break ended,
                _ = &mut pipes, if !drained => drained = true,
            }
        };
        group.kill();
        if !drained {
            drop(tokio::time::timeout(DRAIN_MAX, pipes).await);
        }
        ended?
    };
    let ended = match ended {
        None => Ended::Exited(child.wait().await?),
        Some(bound) => {
            child.kill().await.ok();
            Ended::Killed(bound)
        }
    };
    Ok(Outcome {
        ended,
        stdout: captured,
        last_errors,
    })
}

/// A killed runner leaves no program running, in a sandbox or not.
#[expect(
    unsafe_code,
    reason = "the signal can only be asked for between fork and exec"
)]
fn die_with_this_process(command: &mut Command) {
    let ask = || {
        Ok(rustix::process::set_parent_process_death_signal(Some(
            Signal::KILL,
        ))?)
    };
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(ask) };
}

/// Waits for the program's end (`None`) or for the first bound it passes.
async fn guard(leader: Pid, children: Signals, task: &Task) -> std::io::Result<Option<Bound>> {
    tokio::select! {
        over = over(leader, children) => over.map(|()| None),
        () = tokio::time::sleep(task.wall) => Ok(Some(Bound::Wall)),
        bound = watch(leader, task) => Ok(Some(bound)),
        bound = watch_room(&task.room) => Ok(Some(bound)),
    }
}

/// Ends with the child `leader`, whose number stays its own: the kernel gives it to nobody else before it is waited for.
async fn over(leader: Pid, mut children: Signals) -> std::io::Result<()> {
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(leader), ended)?.is_none() {
        children.recv().await;
    }
    Ok(())
}

/// Costs one system call a time, so it does not wait for the walks of [`watch`].
async fn watch_room(bound: &RoomBound) -> Bound {
    let before = room(&bound.folder).map(|room| room.free_bytes);
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        // Nothing can be said of a file system that does not answer.
        let (Ok(before), Ok(now)) = (&before, room(&bound.folder)) else {
            continue;
        };
        if now.free_bytes < bound.reserve_bytes {
            return Bound::Full;
        }
        if before.saturating_sub(now.free_bytes) > bound.fall_bytes {
            return Bound::Fall;
        }
    }
}

async fn watch(leader: Pid, task: &Task) -> Bound {
    let mut pause = WATCH_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        let started = Instant::now();
        for bound in &task.disk {
            let folder = bound.folder.clone();
            let Ok(usage) = tokio::task::spawn_blocking(move || disk_usage(&folder)).await else {
                continue;
            };
            if usage.bytes > bound.bytes {
                return Bound::Disk;
            }
            if usage.entries > bound.entries {
                return Bound::Entries;
            }
            if usage.is_opaque {
                return Bound::Opaque;
            }
        }
        if let Some(limit) = task.memory_bytes
            && tree_memory_bytes(leader.as_raw_pid().cast_unsigned()) > limit
        {
            return Bound::Memory;
        }
        // Looking costs at most a tenth of the time, however large the folder.
        pause = WATCH_EVERY.max(started.elapsed() * 10);
    }
}

/// A process group that dies with this value, or before.
struct Group(Option<Pid>);

impl Group {
    /// Once, and before its leader is waited for: the number may be another group's after that.
    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            // Fails only when nothing is left of the group.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn capture(mut pipe: impl AsyncRead + Unpin, kept: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        let room = (64 * 1024_usize).saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..read.min(room)]);
    }
}

/// Sends a pipe to the log, line by line; what exceeds a line's bound is dropped.
async fn lines(
    mut pipe: impl AsyncRead + Unpin,
    stream: LogStream,
    log: &BuildLog,
    mut last: Option<&mut Vec<String>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut line = Vec::new();
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        for piece in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
            let whole = piece.ends_with(b"\n");
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = LINE_MAX_BYTES.saturating_sub(line.len());
            line.extend_from_slice(&text[..text.len().min(room)]);
            if whole {
                emit(&mut line, stream, log, last.as_deref_mut()).await;
            }
        }
    }
    if !line.is_empty() {
        emit(&mut line, stream, log, last).await;
    }
}

async fn emit(
    line: &mut Vec<u8>,
    stream: LogStream,
    log: &BuildLog,
    last: Option<&mut Vec<String>>,
) {
    let text = String::from_utf8_lossy(line).into_owned();
    line.clear();
    log.write(stream, &text).await;
    if let Some(last) = last {
        if last.len() == 20 {
            last.remove(0);
        }
        last.push(crate::log::clean(&text));
    }
}

#[cfg(test)]
mod tests;
