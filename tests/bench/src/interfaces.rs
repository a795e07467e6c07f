//! What a request costs that does something: a row read, a row inserted (acknowledged when it is on the disk), a call
//! to another component.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Options;
use crate::load::{Contestant, in_turn};
use crate::server::{self, Server};
use crate::table::Report;

const CONNECTIONS: [usize; 3] = [1, 16, 64];
const ROWS: usize = 1000;
const REUSED: u32 = 128;

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
    let host = server::host(0);
    let reads: Vec<String> = (0..ROWS)
        .map(|row| server::get(&host, &format!("/read?{}", row * 7919)))
        .collect();
    let asked = [
        ("nothing but an answer", vec![server::get(&host, "/")]),
        ("SQLite, a row read", reads),
        (
            "SQLite, a row inserted",
            vec![server::get(&host, "/insert")],
        ),
        (
            "a call to another component",
            vec![server::get(&host, "/chain")],
        ),
    ];
    let millis = u64::try_from(options.duration().as_millis()).unwrap_or(u64::MAX);
    flushes(report, folder.path(), options.duration())?;
    let table = report.loads("Interfaces", &[]);
    for (what, requests) in &asked {
        let contestants: Vec<Contestant> = servers
            .iter()
            .map(|(words, server)| Contestant {
                name: format!("{what}, {words}"),
                address: server.address,
                pids: vec![server.pid],
                requests: requests.clone(),
            })
            .collect();
        for connections in CONNECTIONS {
            let measured = in_turn(&contestants, connections, options.rounds, millis).await?;
            for (contestant, figures) in contestants.iter().zip(&measured) {
                table.add(&contestant.name, connections, figures, &[]);
            }
        }
    }
    Ok(())
}

/// How fast the disk is that the databases are on: what flushes each commit by itself makes no more commits than that.
fn flushes(report: &mut Report, folder: &Path, duration: Duration) -> anyhow::Result<()> {
    let mut file = File::create(folder.join("flushed"))?;
    let page = [7; 4 << 10];
    file.write_all(&page)?;
    file.sync_all()?;
    let (began, mut millis) = (Instant::now(), Vec::new());
    while began.elapsed() < duration {
        file.rewind()?;
        file.write_all(&page)?;
        let flush = Instant::now();
        file.sync_data()?;
        millis.push(flush.elapsed().as_secs_f64() * 1000.0);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let rate = millis.len() as f64 / began.elapsed().as_secs_f64();
    millis.sort_by(f64::total_cmp);
    let median = millis.get(millis.len() / 2).copied().unwrap_or(f64::NAN);
    report.figures("The disk").say(
        "4 KiB written and flushed, one after another",
        &[("rate", rate, "per second"), ("p50", median, "ms")],
    );
    Ok(())
}
