//! Running the load generator against servers, and the figures of several rounds.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::generator::{BEGUN, Load, Outcome, Until};
use crate::process::cpu_of;

/// One server and what it is asked.
#[derive(Clone)]
pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// Whose computing is counted; nobody's where it can't be told from that of others.
    pub(crate) pids: Vec<u32>,
    pub(crate) requests: Vec<String>,
}

/// One round of one contestant.
#[derive(Clone)]
pub(crate) struct Round {
    pub(crate) outcome: Outcome,
    /// Not a number where it is not known.
    pub(crate) server_cpu_seconds: f64,
}

impl Round {
    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let requests = self.outcome.requests as f64;
        requests / self.outcome.seconds
    }

    /// Microseconds that the server computed per request.
    pub(crate) fn server_micros(&self) -> f64 {
        self.per_request(self.server_cpu_seconds)
    }

    /// The same of the generator.
    pub(crate) fn generator_micros(&self) -> f64 {
        self.per_request(self.outcome.cpu_seconds)
    }

    fn per_request(&self, seconds: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let requests = self.outcome.requests as f64;
        seconds * 1e6 / requests
    }
}

/// What all rounds of one contestant say.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) rounds: Vec<Round>,
}

impl Measured {
    /// The median of a figure over the rounds.
    pub(crate) fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(figure).collect())
    }

    /// The median over the rounds of a figure as a ratio to another contestant's in the same round.
    pub(crate) fn ratio(&self, other: &Self, figure: impl Fn(&Round) -> f64) -> f64 {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(
            pairs
                .map(|(ours, theirs)| figure(ours) / figure(theirs))
                .collect(),
        )
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Asks the contestants in turn, `rounds` times: what disturbs the machine disturbs neighbours alike.
pub(crate) async fn in_turn(
    contestants: &[Contestant],
    connections: usize,
    rounds: usize,
    millis: u64,
) -> anyhow::Result<Vec<Measured>> {
    let mut measured: Vec<Vec<Round>> = contestants.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds.max(1) {
        for (contestant, rounds) in contestants.iter().zip(&mut measured) {
            let round = ask(contestant, connections, Until::Millis(millis))
                .await
                .with_context(|| contestant.name.clone())?;
            rounds.push(round);
        }
    }
    Ok(measured
        .into_iter()
        .map(|rounds| Measured { rounds })
        .collect())
}

/// Runs the generator once.
pub(crate) async fn ask(
    contestant: &Contestant,
    connections: usize,
    until: Until,
) -> anyhow::Result<Round> {
    let load = Load {
        address: contestant.address,
        connections,
        requests: contestant.requests.clone(),
        until,
    };
    let file = tempfile::NamedTempFile::new()?;
    serde_json::to_writer(&file, &load)?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("load")
        .arg(file.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().context("the output is piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let begun = lines.next_line().await?;
    ensure!(begun.as_deref() == Some(BEGUN), "the generator failed");
    let before = cpu_of_all(&contestant.pids)?;
    let line = lines.next_line().await?.context("the generator failed")?;
    let after = cpu_of_all(&contestant.pids)?;
    Ok(Round {
        outcome: serde_json::from_str(&line)?,
        server_cpu_seconds: after - before,
    })
}

fn cpu_of_all(pids: &[u32]) -> anyhow::Result<f64> {
    if pids.is_empty() {
        return Ok(f64::NAN);
    }
    pids.iter().map(|pid| cpu_of(*pid)).sum()
}
