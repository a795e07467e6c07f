//! The first request of an application that is loaded: its module is mapped, and no instance of it was ever made. (What a
//! request costs that finds its application not loaded is in `idle`, and a fresh instance for each request in `hello`.)

use crate::generator::Until;
use crate::hello::MANIFEST;
use crate::load::{Contestant, Measured, ask};
use crate::server;
use crate::table::Report;

const APPS: usize = 1000;
/// One after another, and more at once than the machine has cores.
const CONNECTIONS: [usize; 2] = [1, 16];

/// Measures it.
pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let wasm = nokube_tests::guests::example("hello-wasi");
    server::compile(&wasm, folder.path(), "hello")?;
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        // Every application is asked once, so each figure needs a server of its own.
        let server = server::apps(MANIFEST, folder.path(), APPS, 1).await?;
        let contestant = Contestant {
            name: format!("first request of an application, {APPS} of them"),
            address: server.address,
            pids: vec![server.pid],
            requests: (0..APPS)
                .map(|number| server::get(&server::host(number), "/"))
                .collect(),
        };
        let first = ask(&contestant, connections, Until::EachOnce).await?;
        let again = ask(&contestant, connections, Until::EachOnce).await?;
        rows.push((connections, contestant.name, first));
        rows.push((connections, "each once more".to_owned(), again));
    }
    let table = report.loads("Cold starts", &[]);
    for (connections, name, round) in rows {
        let figures = Measured {
            rounds: vec![round],
        };
        table.add(&name, connections, &figures, &[]);
    }
    Ok(())
}
