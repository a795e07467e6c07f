//! What a request costs that does something: a row read, a row inserted (acknowledged when it is on the disk), a call
//! to another component.

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
