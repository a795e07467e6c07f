//! Children that are kept running: started, restarted with back-off when they end, their words passed
//! on, and ended with this process.

use std::io::Write as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A child that lived this long did well: the next pause is the first again.
const DID_WELL: Duration = Duration::from_secs(30);
/// What a child gets between SIGTERM and SIGKILL.
const END_WITHIN: Duration = Duration::from_secs(12);
/// Longer lines are cut: a child must not fill our memory.
const LONGEST_LINE_BYTES: u64 = 16 << 10;

/// This program, also when its file was replaced or lies where another user cannot look.
pub(crate) const THIS_PROGRAM: &str = "/proc/self/exe";

/// What happens in the life of a child.
pub(crate) trait Watcher: Send + Sync + 'static {
    /// It was started.
    fn started(&self);
    /// It has ended without being asked to.
    fn ended(&self);
}

/// Keeps a child running until `shutdown`, then ends it. `command` is made anew for every start.
pub(crate) async fn keep_running(
    name: &'static str,
    command: impl Fn() -> std::io::Result<Prepared>,
    watcher: impl Watcher,
    shutdown: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    while !shutdown.is_cancelled() {
        let begun = Instant::now();
        match start(name, &command) {
            Ok(mut child) => {
                watcher.started();
                tokio::select! {
                    status = child.wait() => {
                        watcher.ended();
                        say_end(name, status);
                    }
                    () = shutdown.cancelled() => {
                        end(name, &mut child).await;
                        return;
                    }
                }
            }
            Err(error) => tracing::error!(%error, "{name} cannot be started"),
        }
        if begun.elapsed() >= DID_WELL {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A child about to be started, and what it is told on standard input, if anything.
pub(crate) struct Prepared {
    pub(crate) command: Command,
    pub(crate) input: Option<String>,
}

fn start(
    name: &'static str,
    prepare: &impl Fn() -> std::io::Result<Prepared>,
) -> std::io::Result<Child> {
    let Prepared { mut command, input } = prepare()?;
    command
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // Ctrl-C goes to every process of the terminal's group: it is for us to end children in turn.
        .process_group(0);
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn()?;
    // Its sockets, if it got any, are its own from here on.
    drop(command);
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(pass_on(name, stderr));
    }
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        tokio::spawn(async move {
            // A child that ends early is noticed by its end.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stdin, input.as_bytes()).await;
        });
    }
    Ok(child)
}

/// Copies a child's lines to our standard error, each with its name.
async fn pass_on(name: &'static str, from: impl AsyncRead + Unpin) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = tokio::io::AsyncReadExt::take(&mut reader, LONGEST_LINE_BYTES);
        match bounded.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        // Nobody reads our log any more: nothing to be done about it.
        let _ = writeln!(std::io::stderr().lock(), "[{name}] {}", text.trim_end());
    }
}

async fn end(name: &str, child: &mut Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // It may have ended by itself just now.
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(END_WITHIN, child.wait())
        .await
        .is_err()
    {
        tracing::warn!("{name} did not end within {END_WITHIN:?} and is killed");
        let _ = child.kill().await;
    }
}

fn say_end(name: &str, status: std::io::Result<ExitStatus>) {
    match status {
        Ok(status) => tracing::warn!("{name} ended ({status}) and is started again"),
        Err(error) => tracing::warn!(%error, "{name} is lost and is started again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Clone, Default)]
    struct Counter {
        started: Arc<AtomicUsize>,
        ended: Arc<AtomicUsize>,
    }

    impl Watcher for Counter {
        fn started(&self) {
            self.started.fetch_add(1, Ordering::SeqCst);
        }

        fn ended(&self) {
            self.ended.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn keeping(
        program: &'static [&'static str],
        counter: &Counter,
        shutdown: &CancellationToken,
    ) -> tokio::task::JoinHandle<()> {
        let command = move || {
            let mut command = Command::new(program[0]);
            command.args(&program[1..]);
            Ok(Prepared {
                command,
                input: None,
            })
        };
        tokio::spawn(keep_running(
            "child",
            command,
            counter.clone(),
            shutdown.clone(),
        ))
    }

    async fn until(condition: impl Fn() -> bool) {
        for _ in 0..1000 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not within ten seconds");
    }

    #[tokio::test]
    async fn a_child_that_ends_is_started_again() {
        let (counter, shutdown) = (Counter::default(), CancellationToken::new());
        let keeping = keeping(&["true"], &counter, &shutdown);
        until(|| counter.ended.load(Ordering::SeqCst) >= 3).await;
        shutdown.cancel();
        keeping.await.unwrap();
    }

    #[tokio::test]
    async fn a_child_is_ended_with_its_keeper_and_that_is_no_failure() {
        let (counter, shutdown) = (Counter::default(), CancellationToken::new());
        let keeping = keeping(&["sleep", "600"], &counter, &shutdown);
        until(|| counter.started.load(Ordering::SeqCst) == 1).await;
        shutdown.cancel();
        keeping.await.unwrap();
        assert_eq!(counter.ended.load(Ordering::SeqCst), 0);
    }
}
