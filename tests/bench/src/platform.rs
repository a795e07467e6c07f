//! The whole platform: memory, a release, API calls.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use nokube_tests::api::Api;
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use serde_json::json;

use crate::Options;
use crate::load::{Contestant, in_turn};
use crate::process::memory_of;
use crate::server;
use crate::table::Report;

const PROJECTS: usize = 50;
/// What a request leaves behind for a moment is gone by then.
const IDLE: Duration = Duration::from_secs(5);

/// Measures it.
pub(crate) async fn measure(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    let platform = Platform::start();
    let api = platform
        .api()
        .register("bench", Some(platform.setup_code()))
        .await;
    memory(report, &platform).await?;
    let host = release(report, &api).await?;
    calls(report, options, &platform, &api, &host).await
}

/// Memory of each process when nothing is going on any more.
async fn memory(report: &mut Report, platform: &Platform) -> anyhow::Result<()> {
    tokio::time::sleep(IDLE).await;
    let section = report.figures("Memory, five seconds after a registration");
    let mut all = vec![("up", platform.pid())];
    for name in ["tenants", "runner"] {
        all.extend(platform.children(name).into_iter().map(|pid| (name, pid)));
    }
    for (name, pid) in all {
        let memory = memory_of(pid)?;
        section.say(
            &format!("`nokube {name}`"),
            &[
                ("resident", memory.rss, "MiB"),
                ("proportional", memory.pss, "MiB"),
            ],
        );
    }
    Ok(())
}

async fn calls(
    report: &mut Report,
    options: &Options,
    platform: &Platform,
    api: &Api,
    site: &str,
) -> anyhow::Result<()> {
    for number in 0..PROJECTS {
        api.create_project(&format!("project {number}")).await;
    }
    let address = platform.url().trim_start_matches("http://").to_owned();
    let token = api.token().context("the benchmark is signed in")?;
    let list = format!(
        "GET /api/v1/projects?limit=20 HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    let body = json!({ "username": "bench", "password": "correct horse bench" }).to_string();
    let login = format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let millis = u64::try_from(options.duration().as_millis()).unwrap_or(u64::MAX);
    let pids: Vec<u32> = std::iter::once(platform.pid())
        .chain(platform.children("tenants"))
        .collect();
    let rows = [
        (
            format!("list 20 of {PROJECTS} projects"),
            list,
            &[1, 16][..],
            millis,
            options.rounds,
        ),
        (
            "a static site, fresh instances".to_owned(),
            server::get(site, "/"),
            &[1, 16][..],
            millis,
            options.rounds,
        ),
        // Few enough to stay within the limit on logins of one account.
        (
            "login (Argon2id, 19 MiB, t=2)".to_owned(),
            login,
            &[1][..],
            millis.min(2000),
            1,
        ),
    ];
    let table = report.loads("The platform", &[]);
    for (name, request, connections, millis, rounds) in rows {
        let contestant = Contestant {
            name,
            address: address.parse()?,
            pids: pids.clone(),
            requests: vec![request],
        };
        for connections in connections {
            let contestants = std::slice::from_ref(&contestant);
            let measured = in_turn(contestants, *connections, rounds, millis).await?;
            for figures in &measured {
                table.add(&contestant.name, *connections, figures, &[]);
            }
        }
    }
    Ok(())
}

/// From a push to an answering address. Gives the site's host.
async fn release(report: &mut Report, api: &Api) -> anyhow::Result<String> {
    let project = api.create_project("release").await;
    let site = Repository::of_folder(
        "site",
        &nokube_tests::platform::repository_root().join("examples/static-site"),
    );
    let began = Instant::now();
    let build = api.build(project, "web", &site.file_url()).await;
    let built = began.elapsed();
    let request =
        json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
    let deployed = api.deploy(&request).await;
    let url = deployed["access_url"].as_str().context("an address")?;
    let first = Instant::now();
    assert_eq!(api.visit(url, "/").await?.status, 200);
    let first = first.elapsed();
    let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
    report.figures("A release").say(
        "static site, from `POST /builds` to an answering address",
        &[
            ("build", millis(built), "ms"),
            ("whole", millis(began.elapsed()), "ms"),
            ("first request", millis(first), "ms"),
        ],
    );
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    Ok(host.to_owned())
}
