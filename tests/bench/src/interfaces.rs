//! What a request costs that does something: an answer in chunks, a row read, a row inserted (acknowledged when it is on the
//! disk), a call to another component; each beside an answer that does nothing, and inserts beside SQLite itself and the
//! disk.

use std::path::Path;
use std::time::Duration;

use crate::Options;
use crate::disk;
use crate::generator::Until;
use crate::load::{Contestant, Measured, Round, ask};
use crate::server::{self, Server};
use crate::table::Report;

const CONNECTIONS: [usize; 3] = [1, 16, 64];
const ROWS: usize = 1000;
const REUSED: u32 = 128;
const INSERT: &str = "SQLite, a row inserted";

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "bench"
[[trigger.http]]
route = "/..."
component = "bench"
[component.bench]
source = "bench.cwasm"
sqlite_databases = ["default"]
allowed_outbound_hosts = ["http://hello.spin.internal"]
[[trigger.http]]
route = { private = true }
component = "hello"
[component.hello]
source = "hello.cwasm"
"#;

/// Measures it.
pub(crate) async fn measure(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let guests = [
        ("bench", nokube_tests::guests::guest("bench")),
        ("hello", nokube_tests::guests::example("hello-wasi")),
    ];
    for (name, wasm) in &guests {
        server::compile(wasm, folder.path(), name)?;
    }
    let mut servers: Vec<(&str, Server)> = Vec::new();
    for (words, reuse) in [("fresh", 1), ("reused", REUSED)] {
        let server = server::apps(MANIFEST, folder.path(), 1, reuse).await?;
        let setup = reqwest::Client::new()
            .get(format!("http://{}/setup", server.address))
            .header("host", server::host(0));
        setup.send().await?.error_for_status()?;
        servers.push((words, server));
    }
    let asked = asked();
    // What all others are compared with comes first, in as many modes as there are servers.
    let contestants: Vec<Contestant> = asked
        .iter()
        .flat_map(|(what, requests)| {
            servers.iter().map(move |(words, server)| Contestant {
                name: format!("{what}, {words}"),
                address: server.address,
                pids: vec![server.pid],
                requests: requests.clone(),
            })
        })
        .collect();
    let columns = ["÷ plain answer", "÷ SQLite itself", "÷ flushes"];
    let table = report.loads("Interfaces", &columns);
    for connections in CONNECTIONS {
        let rounds = Rounds::measure(&contestants, connections, options, folder.path()).await?;
        for (at, figures) in rounds.of.iter().enumerate() {
            let name = &contestants[at].name;
            let plain = (at >= servers.len()).then(|| &rounds.of[at % servers.len()]);
            let inserts = name.starts_with(INSERT);
            let against =
                |peer: Option<&Measured>| peer.map(|peer| figures.ratio(peer, Round::rate));
            table.add(
                name,
                connections,
                figures,
                &[
                    against(plain),
                    against(inserts.then_some(&rounds.sqlite)),
                    against(inserts.then_some(&rounds.flushes)),
                ],
            );
        }
        for (name, figures) in [
            ("SQLite itself, a row inserted and flushed", &rounds.sqlite),
            ("the disk, 4 KiB written and flushed", &rounds.flushes),
        ] {
            table.add(name, 1, figures, &[None; 3]);
        }
    }
    Ok(())
}

/// What is asked, by its name.
fn asked() -> [(&'static str, Vec<String>); 5] {
    let get = |path: &str| server::get(&server::host(0), path);
    let reads = (0..ROWS).map(|row| get(&format!("/read?{}", row * 7919)));
    [
        ("nothing but an answer", vec![get("/")]),
        ("the same in chunks", vec![get("/chunks")]),
        ("SQLite, a row read", reads.collect()),
        (INSERT, vec![get("/insert")]),
        ("a call to another component", vec![get("/chain")]),
    ]
}

/// All that is compared, measured in the same rounds.
struct Rounds {
    /// In the order of the contestants.
    of: Vec<Measured>,
    /// One connection that flushes each commit by itself, as Spin's does, in this process.
    sqlite: Measured,
    flushes: Measured,
}

impl Rounds {
    async fn measure(
        contestants: &[Contestant],
        connections: usize,
        options: &Options,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let millis = u64::try_from(options.duration().as_millis()).unwrap_or(u64::MAX);
        // One after the other, and on nothing but the disk: less time says as much.
        let alone: Duration = options.duration() / 3;
        let mut measured = Self {
            of: contestants.iter().map(|_| Measured::default()).collect(),
            sqlite: Measured::default(),
            flushes: Measured::default(),
        };
        for _ in 0..options.rounds.max(1) {
            for (contestant, measured) in contestants.iter().zip(&mut measured.of) {
                let round = ask(contestant, connections, Until::Millis(millis)).await?;
                measured.rounds.push(round);
            }
            measured.sqlite.rounds.push(disk::inserts(folder, alone)?);
            measured.flushes.rounds.push(disk::flushes(folder, alone)?);
        }
        Ok(measured)
    }
}
