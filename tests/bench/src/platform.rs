//! The whole platform: restart, API calls, a build, memory.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nokube_tests::api::Api;
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use serde_json::json;

use crate::load;
use crate::table::Table;

const RESTARTS: usize = 7;
const PROJECTS: usize = 50;

/// Measures it.
pub(crate) async fn measure(table: &mut Table, duration: Duration) -> anyhow::Result<()> {
    let mut platform = Platform::start();
    let api = platform
        .api()
        .register("bench", Some(platform.setup_code()))
        .await;
    let address: SocketAddr = platform.url().trim_start_matches("http://").parse()?;

    memory(table, platform.pid())?;
    restarts(table, &mut platform).await;
    calls(table, &api, address, duration).await?;
    release(table, &api, address, duration).await
}

/// `VmRSS` of the platform and of each of its children.
fn memory(table: &mut Table, pid: u32) -> anyhow::Result<()> {
    // The kernel lists children by the thread that started them.
    let mut children = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("children"))?;
        children.extend(text.split_whitespace().map(str::to_owned));
    }
    for pid in std::iter::once(pid.to_string()).chain(children) {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline"))?;
        let command = arguments
            .split(|byte| *byte == 0)
            .nth(1)
            .unwrap_or_default();
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next())
            .context("a process without VmRSS")?;
        let what = format!(
            "resident memory, `nokube {}`",
            String::from_utf8_lossy(command)
        );
        table.add(&what, &[("VmRSS", kib.parse::<f64>()? / 1024.0, "MiB")]);
    }
    Ok(())
}

async fn restarts(table: &mut Table, platform: &mut Platform) {
    let mut millis = Vec::new();
    for _ in 0..RESTARTS {
        platform.kill();
        let began = Instant::now();
        platform.start_again();
        let health = reqwest::get(format!("{}/health", platform.url())).await;
        assert!(
            health.is_ok_and(|answer| answer.status() == 200),
            "the platform answers after a restart"
        );
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    millis.sort_by(f64::total_cmp);
    let figures = [
        ("median", millis[RESTARTS / 2], "ms"),
        ("slowest", millis[RESTARTS - 1], "ms"),
    ];
    table.add("restart to answering, after `kill -9`", &figures);
}

async fn calls(
    table: &mut Table,
    api: &Api,
    address: SocketAddr,
    duration: Duration,
) -> anyhow::Result<()> {
    for number in 0..PROJECTS {
        api.create_project(&format!("project {number}")).await;
    }
    let token = api.token().context("the benchmark is signed in")?;
    let list = format!(
        "GET /api/v1/projects?limit=20 HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    for connections in [1, 16] {
        let measured = load::run(address, &list, connections, duration).await?;
        table.add_load(
            &format!("list 20 of {PROJECTS} projects, {connections} connections"),
            &measured,
        );
    }
    let body = json!({ "username": "bench", "password": "correct horse bench" }).to_string();
    let login = format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // Few enough to stay within the limit on logins of one account.
    let measured = load::run(address, &login, 1, duration.min(Duration::from_secs(2))).await?;
    table.add_load("login (Argon2id, 19 MiB, t=2), 1 connection", &measured);
    Ok(())
}

/// From a push to an answering address, and the cold starts of what was deployed.
async fn release(
    table: &mut Table,
    api: &Api,
    address: SocketAddr,
    duration: Duration,
) -> anyhow::Result<()> {
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
    let url = deployed["access_url"]
        .as_str()
        .context("an address")?
        .to_owned();
    let first = Instant::now();
    assert_eq!(api.visit(&url, "/").await?.status, 200);
    let first = first.elapsed();
    table.add(
        "static site, from `POST /builds` to an answering address",
        &[
            ("build", built.as_secs_f64() * 1000.0, "ms"),
            ("whole", began.elapsed().as_secs_f64() * 1000.0, "ms"),
            ("first request", first.as_secs_f64() * 1000.0, "ms"),
        ],
    );
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let get = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
    for connections in [1, 16] {
        let measured = load::run(address, &get, connections, duration).await?;
        table.add_load(
            &format!("static site through the front, fresh instances, {connections} connections"),
            &measured,
        );
    }
    Ok(())
}
