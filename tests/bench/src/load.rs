//! A closed-loop load generator: each connection sends its next request when the last was answered.
//!
//! HTTP/1.1 over raw sockets with TCP_NODELAY, so that the generator costs little beside what it
//! measures. It reads answers with `Content-Length`, which all answers here have.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What one run measured.
pub(crate) struct Measured {
    /// Answered requests per second.
    pub(crate) per_second: f64,
    /// Latencies in microseconds, ascending.
    micros: Vec<u32>,
}

impl Measured {
    /// The latency in microseconds that `percent` of the requests stayed within.
    pub(crate) fn percentile(&self, percent: f64) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "an index into a list of at most some millions"
        )]
        let at = ((self.micros.len() as f64 * percent / 100.0).ceil() as usize).saturating_sub(1);
        self.micros
            .get(at.min(self.micros.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0)
    }
}

/// Sends `request` over `connections` for `duration`, after a tenth of that as warm-up.
///
/// # Errors
/// When an answer is not 2xx, or a connection breaks: a failed request must not look fast.
pub(crate) async fn run(
    address: SocketAddr,
    request: &str,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Measured> {
    let warm_until = Instant::now() + duration / 10;
    let until = warm_until + duration;
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            let request = request.to_owned();
            tokio::spawn(async move { client(address, &request, warm_until, until).await })
        })
        .collect();
    let mut micros = Vec::new();
    for client in clients {
        micros.extend(client.await??);
    }
    micros.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let per_second = micros.len() as f64 / duration.as_secs_f64();
    Ok(Measured { per_second, micros })
}

async fn client(
    address: SocketAddr,
    request: &str,
    warm_until: Instant,
    until: Instant,
) -> anyhow::Result<Vec<u32>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut micros = Vec::new();
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        let began = Instant::now();
        if began >= until {
            return Ok(micros);
        }
        stream.write_all(request.as_bytes()).await?;
        answer(&mut stream, &mut buffer).await?;
        if began >= warm_until {
            micros.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
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
