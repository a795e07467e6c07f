//! The engine alone, answering a greeting: a fresh instance per request and reused ones, beside `wasmtime serve` in the
//! same modes and beside the same HTTP server answering natively.

use std::path::{Path, PathBuf};

use crate::Options;
use crate::load::{Contestant, Measured, Round, in_turn};
use crate::server::{self, Server};
use crate::table::Report;

const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// `wasmtime serve`'s own count for WASI 0.3.
const REUSED: u32 = 128;

pub(crate) const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "hello"
[[trigger.http]]
route = "/..."
component = "hello"
[component.hello]
source = "hello.cwasm"
"#;

/// One row: what, and where the row is that it is compared with.
struct Mode {
    contestant: Contestant,
    peer: Option<usize>,
    _server: Server,
}

/// Measures it.
pub(crate) async fn measure(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let guests = [
        ("0.2", nokube_tests::guests::example("hello-wasi")),
        ("0.3", nokube_tests::guests::world("wasi03_hello")),
    ];
    let mut modes = vec![mode("native", server::native().await?, None)];
    for &(version, ref wasm) in &guests {
        let modules = folder.path().join(version);
        std::fs::create_dir(&modules)?;
        server::compile(wasm, &modules, "hello")?;
        for (words, reuse) in [("fresh", 1), ("reused", REUSED)] {
            add(
                &mut modes,
                options,
                (version, wasm),
                &modules,
                (words, reuse),
            )
            .await?;
        }
    }
    if options.wasmtime.is_none() {
        report.note("`wasmtime serve`: not run, there is no such program here");
    }
    let contestants: Vec<Contestant> = modes.iter().map(|mode| mode.contestant.clone()).collect();
    let table = report.loads("A greeting", &["÷ native", "÷ wasmtime", "CPU ÷ wasmtime"]);
    for connections in CONNECTIONS {
        let millis = u64::try_from(options.duration().as_millis()).unwrap_or(u64::MAX);
        let measured = in_turn(&contestants, connections, options.rounds, millis).await?;
        for (mode, figures) in modes.iter().zip(&measured) {
            let peer = mode.peer.and_then(|peer| measured.get(peer));
            let against = |peer: Option<&Measured>, figure: fn(&Round) -> f64| {
                peer.map(|peer| figures.ratio(peer, figure))
            };
            table.add(
                &mode.contestant.name,
                connections,
                figures,
                &[
                    against(measured.first(), Round::rate),
                    against(peer, Round::rate),
                    against(peer, Round::server_micros),
                ],
            );
        }
    }
    Ok(())
}

/// One mode of the engine, behind the same of its peer.
async fn add(
    modes: &mut Vec<Mode>,
    options: &Options,
    (version, wasm): (&str, &PathBuf),
    modules: &Path,
    (words, reuse): (&str, u32),
) -> anyhow::Result<()> {
    let mut peer = None;
    if let Some(program) = &options.wasmtime {
        let server = server::wasmtime(program, wasm, reuse).await?;
        peer = Some(modes.len());
        modes.push(mode(
            &format!("wasmtime serve, WASI {version}, {words}"),
            server,
            None,
        ));
    }
    let server = server::apps(MANIFEST, modules, 1, reuse).await?;
    modes.push(mode(
        &format!("engine, WASI {version}, {words}"),
        server,
        peer,
    ));
    Ok(())
}

fn mode(name: &str, server: Server, peer: Option<usize>) -> Mode {
    Mode {
        contestant: Contestant {
            name: name.to_owned(),
            address: server.address,
            pids: vec![server.pid],
            requests: vec![server::get(&server::host(0), "/")],
        },
        peer,
        _server: server,
    }
}
