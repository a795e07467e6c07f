//! The load generator, in a process of its own: closed loops, each connection sending its next request when the last
//! was answered.
//!
//! HTTP/1.1 over raw sockets with TCP_NODELAY on one thread, so that it costs little beside what it measures. It reads
//! answers with `Content-Length`, which all of ours have, and chunked ones.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::cpu_of;

/// What is asked, and how.
#[derive(Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// Sent in turn.
    pub(crate) requests: Vec<String>,
    pub(crate) until: Until,
}

/// When it is over.
#[derive(Serialize, Deserialize, Clone, Copy)]
pub(crate) enum Until {
    /// After so many milliseconds, and a tenth of them before as warm-up.
    Millis(u64),
    /// When each request was sent once.
    EachOnce,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) slowest_ms: f64,
    /// Of the generator.
    pub(crate) cpu_seconds: f64,
}

/// The line that says that warming up is over.
pub(crate) const BEGUN: &str = "begun";

/// Runs it. Prints [`BEGUN`] and then an [`Outcome`], each a line.
///
/// # Errors
/// When an answer is not 2xx, or a connection breaks: a failed request must not look fast.
pub(crate) fn run(load: &Load) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, ask(load))?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

struct Shared {
    requests: Vec<String>,
    next: Cell<usize>,
    once: bool,
    warm_until: Instant,
    until: Option<Instant>,
    micros: RefCell<Vec<u32>>,
}

async fn ask(load: &Load) -> anyhow::Result<Outcome> {
    let now = Instant::now();
    let (warm_until, until) = match load.until {
        Until::Millis(millis) => {
            let warm_until = now + Duration::from_millis(millis / 10);
            (warm_until, Some(warm_until + Duration::from_millis(millis)))
        }
        Until::EachOnce => (now, None),
    };
    let shared = Rc::new(Shared {
        requests: load.requests.clone(),
        next: Cell::new(0),
        once: until.is_none(),
        warm_until,
        until,
        micros: RefCell::default(),
    });
    let clients: Vec<_> = (0..load.connections)
        .map(|_| tokio::task::spawn_local(client(load.address, Rc::clone(&shared))))
        .collect();
    tokio::time::sleep_until(warm_until.into()).await;
    println!("{BEGUN}");
    std::io::stdout().flush()?;
    let cpu = cpu_of(std::process::id())?;
    for client in clients {
        client.await??;
    }
    let cpu_seconds = cpu_of(std::process::id())? - cpu;
    let seconds = warm_until.elapsed().as_secs_f64();
    Outcome::of(shared.micros.take(), seconds, cpu_seconds)
}

impl Outcome {
    /// Of answers that took so many microseconds each.
    pub(crate) fn of(mut micros: Vec<u32>, seconds: f64, cpu_seconds: f64) -> anyhow::Result<Self> {
        if micros.is_empty() {
            bail!("nothing was answered");
        }
        micros.sort_unstable();
        let percentile = |percent: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "an index into a list of at most some millions"
            )]
            let at =
                ((micros.len() as f64 * percent / 100.0).ceil() as usize).clamp(1, micros.len());
            f64::from(micros[at - 1]) / 1000.0
        };
        Ok(Self {
            requests: micros.len() as u64,
            seconds,
            p50_ms: percentile(50.0),
            p99_ms: percentile(99.0),
            p999_ms: percentile(99.9),
            slowest_ms: percentile(100.0),
            cpu_seconds,
        })
    }
}

async fn client(address: SocketAddr, shared: Rc<Shared>) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        let began = Instant::now();
        if shared.until.is_some_and(|until| began >= until) {
            return Ok(());
        }
        let number = shared.next.replace(shared.next.get() + 1);
        if shared.once && number >= shared.requests.len() {
            return Ok(());
        }
        let request = &shared.requests[number % shared.requests.len()];
        stream.write_all(request.as_bytes()).await?;
        answer(&mut stream, &mut buffer).await?;
        if began >= shared.warm_until {
            let micros = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
            shared.micros.borrow_mut().push(micros);
        }
    }
}

/// Reads one answer.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    buffer.clear();
    let head_end = loop {
        if stream.read_buf(buffer).await? == 0 {
            bail!("the connection was closed before an answer");
        }
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = std::str::from_utf8(&buffer[..head_end])?.to_ascii_lowercase();
    if !head.starts_with("http/1.1 2") {
        bail!("{}", String::from_utf8_lossy(buffer));
    }
    if head.contains("\r\ntransfer-encoding: chunked\r\n") {
        // What is asked here is text: an empty last chunk stands in no other place.
        while !buffer.ends_with(b"\r\n0\r\n\r\n") {
            if stream.read_buf(buffer).await? == 0 {
                bail!("the connection was closed within an answer");
            }
        }
        return Ok(());
    }
    let length: usize = head
        .split("\r\ncontent-length:")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next())
        .context("an answer without Content-Length")?
        .trim()
        .parse()?;
    while buffer.len() < head_end + length {
        if stream.read_buf(buffer).await? == 0 {
            bail!("the connection was closed within an answer");
        }
    }
    Ok(())
}
