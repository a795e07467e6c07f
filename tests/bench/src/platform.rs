//! The whole platform: memory, a release, API calls.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nokube_tests::api::Api;
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use serde_json::{Value, json};

use crate::Options;
use crate::load::{Contestant, in_turn, median};
use crate::process::memory_of;
use crate::server;
use crate::table::Report;

const PROJECTS: usize = 50;
/// What a request leaves behind for a moment is gone by then.
const IDLE: Duration = Duration::from_secs(5);
const RELEASES: usize = 5;
/// Between two looks at whether something has ended: little beside what is measured.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// No release takes longer.
const RELEASED_WITHIN: Duration = Duration::from_secs(60);

/// Measures it.
pub(crate) async fn measure(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    let platform = Platform::start();
    let api = platform
        .api()
        .register("bench", Some(platform.setup_code()))
        .await;
    let login = json!({ "username": "bench", "password": "correct horse bench" });
    api.post("/auth/login", &login).await.expect(200);
    memory(report, &platform).await?;
    let host = releases(report, &api).await?;
    calls(report, options, &platform, &api, &host).await
}

/// Memory of each process when nothing is going on any more.
async fn memory(report: &mut Report, platform: &Platform) -> anyhow::Result<()> {
    tokio::time::sleep(IDLE).await;
    let section = report.figures("Memory, five seconds after a registration and a login");
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

/// From a push to an answering address, several times. Gives the last site's host.
async fn releases(report: &mut Report, api: &Api) -> anyhow::Result<String> {
    let project = api.create_project("release").await;
    let mut releases = Vec::new();
    for number in 0..RELEASES {
        let site = Repository::of_folder(
            "site",
            &nokube_tests::platform::repository_root().join("examples/static-site"),
        );
        // None is like the one before.
        site.write("number.txt", number.to_string().as_bytes());
        let _ = site.commit("number");
        releases.push(release(api, project, &format!("web-{number}"), &site).await?);
    }
    let figure = |of: fn(&Release) -> Duration| -> Vec<f64> {
        let figures = releases.iter().map(of);
        figures.map(|took| took.as_secs_f64() * 1000.0).collect()
    };
    let whole = figure(|release| release.whole);
    let slowest = whole.iter().copied().fold(0.0, f64::max);
    report.figures("Releases").say(
        &format!("static site, from `POST /builds` to an answering address, median of {RELEASES}"),
        &[
            ("build", median(figure(|release| release.build)), "ms"),
            ("whole", median(whole), "ms"),
            ("slowest", slowest, "ms"),
            (
                "first request",
                median(figure(|release| release.first)),
                "ms",
            ),
        ],
    );
    let last = releases.pop().context("there was a release")?;
    let host = last.url.trim_start_matches("http://").trim_end_matches('/');
    Ok(host.to_owned())
}

/// One release, and how long its parts took.
struct Release {
    build: Duration,
    first: Duration,
    whole: Duration,
    url: String,
}

async fn release(
    api: &Api,
    project: i64,
    service: &str,
    site: &Repository,
) -> anyhow::Result<Release> {
    let began = Instant::now();
    let build_id = api.start_build(project, service, &site.file_url()).await;
    let path = format!("/builds/{build_id}");
    let built = ended(api, &path, &["success", "failed", "cancelled"]).await?;
    ensure!(built["status"] == "success", "{built}");
    let build = began.elapsed();
    let request = json!({ "project_id": project, "service_name": service, "build_id": build_id });
    let accepted = api.post("/deploy", &request).await.expect(202);
    let id = accepted["deployment_id"].as_str().context("an id")?;
    let path = format!("/deployments/{id}");
    let deployed = ended(api, &path, &["running", "failed"]).await?;
    let url = deployed["access_url"].as_str().context("an address")?;
    let asked = Instant::now();
    let answer = api.visit(url, "/").await?;
    ensure!(answer.status == 200, "{}", answer.text);
    Ok(Release {
        build,
        first: asked.elapsed(),
        whole: began.elapsed(),
        url: url.to_owned(),
    })
}

/// What is at `path`, once its status is one of these.
async fn ended(api: &Api, path: &str, ends: &[&str]) -> anyhow::Result<Value> {
    let began = Instant::now();
    while began.elapsed() < RELEASED_WITHIN {
        let found = api.get(path).await.expect(200);
        if ends.iter().any(|end| found["status"] == *end) {
            return Ok(found);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    anyhow::bail!("{path} did not end")
}
