//! What others notice while one application misbehaves: six requests of it loop and six sleep, and another
//! application and the platform's API are asked meanwhile.

use std::time::Duration;

use anyhow::Context as _;
use nokube_tests::api::Api;
use nokube_tests::guests::probe;
use nokube_tests::platform::{Platform, repository_root};
use nokube_tests::repository::Repository;
use serde_json::json;

use crate::Options;
use crate::load::{Contestant, in_turn};
use crate::server;
use crate::table::Report;

/// Requests of each kind at once.
const EACH: usize = 6;
/// Past the burst that every request has before it shares a core with the others that compute.
const SETTLED: Duration = Duration::from_secs(1);

/// Measures it.
pub(crate) async fn measure(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    // Compiled first: meanwhile a kept connection would be closed.
    let probe = probe();
    let platform = Platform::start();
    let api = platform
        .api()
        .register("bench", Some(platform.setup_code()))
        .await;
    let project = api.create_project("beside").await;
    let manifest = include_bytes!("../../tests/fixtures/probe-spin.toml");
    let bad = Repository::of_files("bad", &[("spin.toml", manifest), ("probe.wasm", &probe)]);
    let good = Repository::of_folder("good", &repository_root().join("examples/static-site"));
    let bad = deploy(&api, project, "bad", &bad).await?;
    let good = deploy(&api, project, "good", &good).await?;

    let address = platform.url().trim_start_matches("http://").to_owned();
    let host = good.trim_start_matches("http://").trim_end_matches('/');
    let token = api.token().context("the benchmark is signed in")?;
    let list = format!(
        "GET /api/v1/projects?limit=20 HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    let pids: Vec<u32> = std::iter::once(platform.pid())
        .chain(platform.children("tenants"))
        .collect();
    let mut contestants = Vec::new();
    for (name, request) in [
        ("another application", server::get(host, "/")),
        ("the platform's API", list),
    ] {
        contestants.push(Contestant {
            name: name.to_owned(),
            address: address.parse()?,
            pids: pids.clone(),
            requests: vec![request],
        });
    }

    let title = "While an application loops six times and sleeps six times";
    let table = report.loads(title, &[]);
    let millis = u64::try_from(options.duration().as_millis()).unwrap_or(u64::MAX);
    let mut measure = async |meanwhile: &str, connections| {
        let measured = in_turn(&contestants, connections, options.rounds, millis).await?;
        for (contestant, figures) in contestants.iter().zip(&measured) {
            let what = format!("{}, {meanwhile}", contestant.name);
            table.add(&what, connections, figures, &[]);
        }
        anyhow::Ok(())
    };
    measure("before", 1).await?;
    let misbehaving: Vec<_> = ["/loop", "/sleep"]
        .into_iter()
        .flat_map(|path| std::iter::repeat_n(path, EACH))
        .map(|path| tokio::spawn(again_and_again(api.clone(), bad.clone(), path)))
        .collect();
    tokio::time::sleep(SETTLED).await;
    for connections in [1, 4] {
        measure("meanwhile", connections).await?;
    }
    for request in &misbehaving {
        anyhow::ensure!(!request.is_finished(), "the misbehaving requests ended");
        request.abort();
    }
    Ok(())
}

async fn deploy(
    api: &Api,
    project: i64,
    service: &str,
    repository: &Repository,
) -> anyhow::Result<String> {
    let build = api.build(project, service, &repository.file_url()).await;
    let request =
        json!({ "project_id": project, "service_name": service, "build_id": build["build_id"] });
    let deployed = api.deploy(&request).await;
    let url = deployed["access_url"].as_str().context("an address")?;
    Ok(url.to_owned())
}

/// Each ends at a limit, and the next one begins.
async fn again_and_again(api: Api, url: String, path: &'static str) {
    while api.visit(&url, path).await.is_ok() {}
}
