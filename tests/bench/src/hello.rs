//! The engine alone, answering a greeting: a fresh instance per request, reused ones, and ones that serve several requests
//! at once; beside `wasmtime serve` in the same modes and beside hyper answering natively.

use std::path::{Path, PathBuf};

use crate::Options;
use crate::load::{Contestant, Measured, Round, in_turn};
use crate::server::{self, Server};
use crate::table::Report;

const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// `wasmtime serve`'s own count for WASI 0.3.
const REUSED: u32 = 128;
/// Requests that an instance of WASI 0.3 serves at once.
const SHARED: u32 = 16;

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

/// How instances are used.
struct Use {
    words: &'static str,
    reuse: u32,
    concurrent: u32,
}

const FRESH: Use = Use {
    words: "fresh",
    reuse: 1,
    concurrent: 1,
};
const IN_TURN: Use = Use {
    words: "reused",
    reuse: REUSED,
    concurrent: 1,
};
const AT_ONCE: Use = Use {
    words: "shared",
    reuse: REUSED,
    concurrent: SHARED,
};

/// One row: what, and where the row is that it is compared with.
struct Mode {
    contestant: Contestant,
    peer: Option<usize>,
    _server: Server,
}

/// Measures it.
pub(crate) async fn measure(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let guests: [(_, _, &[Use]); 2] = [
        (
            "0.2",
            nokube_tests::guests::example("hello-wasi"),
            &[FRESH, IN_TURN],
        ),
        (
            "0.3",
            nokube_tests::guests::world("wasi03_hello"),
            &[FRESH, IN_TURN, AT_ONCE],
        ),
    ];
    let mut modes = vec![mode("hyper, native", server::native().await?, None)];
    for (version, wasm, uses) in &guests {
        let modules = folder.path().join(version);
        std::fs::create_dir(&modules)?;
        server::compile(wasm, &modules, "hello")?;
        for usage in *uses {
            add(&mut modes, options, (version, wasm), &modules, usage).await?;
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
    usage: &Use,
) -> anyhow::Result<()> {
    let Use {
        words,
        reuse,
        concurrent,
    } = *usage;
    let mut peer = None;
    if let Some(program) = &options.wasmtime {
        let server = server::wasmtime(program, wasm, reuse, concurrent).await?;
        peer = Some(modes.len());
        modes.push(mode(
            &format!("wasmtime serve, WASI {version}, {words}"),
            server,
            None,
        ));
    }
    let mut manifest = MANIFEST.to_owned();
    if concurrent > 1 {
        manifest.push_str(&format!(
            "[component.hello.tool.nokube]\nreuse = {{ requests = {reuse}, concurrent = {concurrent} }}\n"
        ));
    }
    let server = server::apps(&manifest, modules, 1, reuse).await?;
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
