//! Many deployed applications that nobody asks: what they cost at a start, in memory, and when somebody asks.
//!
//! One is deployed through the API. The others are seeded as the sidecar's desired state of the same artifact: to it
//! and to the local target they are deployments like any other.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use serde_json::{Value, json};

use crate::Options;
use crate::generator::Until;
use crate::load::{Contestant, Measured, ask};
use crate::process::memory_of;
use crate::server;
use crate::table::{Report, Section};

const RESTARTS: usize = 7;
const CONNECTIONS: usize = 16;
/// Preparing an application that is new to a machine takes some milliseconds.
const PREPARED_WITHIN: Duration = Duration::from_secs(300);

/// Measures it.
pub(crate) async fn measure(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    let mut platform = Platform::start();
    let seeds = Seeds::deploy(&platform).await?;
    let section = report.figures("Deployed applications that nobody asks");
    seeds.write(0)?;
    restarts(section, &mut platform, 0).await?;
    seeds.write(10)?;
    platform.kill();
    platform.start_again();
    restarts(section, &mut platform, 10).await?;

    let count = options.idle_apps;
    platform.kill();
    seeds.write(count)?;
    let began = Instant::now();
    platform.start_again();
    while seeds.prepared()? < count {
        ensure!(began.elapsed() < PREPARED_WITHIN, "not all are prepared");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    section.say(
        &format!("{count} applications new to the machine, all unpacked"),
        &[("within", began.elapsed().as_secs_f64(), "s")],
    );
    restarts(section, &mut platform, count).await?;

    platform.kill();
    let began = Instant::now();
    platform.start_again();
    let before = tenants(&platform)?;
    let all = Contestant {
        name: "all".to_owned(),
        address: platform.url().trim_start_matches("http://").parse()?,
        pids: vec![platform.pid(), tenants_pid(&platform)?],
        requests: (0..count)
            // In an order that is not that of their names.
            .map(|number| server::get(&seeds.host(number * 7919 % count), "/"))
            .collect(),
    };
    let first = ask(&all, CONNECTIONS, Until::EachOnce).await?;
    section.say(
        &format!("{count} applications, from the start until each has answered"),
        &[("within", began.elapsed().as_secs_f64(), "s")],
    );
    let after = tenants(&platform)?;
    memory(section, "none of them loaded", &platform)?;
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let each = |all: f64| all * 1024.0 / count as f64;
    section.say(
        &format!("memory of each of {count} loaded applications"),
        &[
            ("resident", each(after.rss - before.rss), "KiB"),
            ("proportional", each(after.pss - before.pss), "KiB"),
            ("tenants' process", after.rss, "MiB resident"),
        ],
    );
    let mut rows = vec![("the first request of each", CONNECTIONS, first)];
    for connections in [1, CONNECTIONS] {
        let millis = u64::try_from(options.duration().as_millis()).unwrap_or(u64::MAX);
        let round = ask(&all, connections, Until::Millis(millis)).await?;
        rows.push(("one after the other, again", connections, round));
    }
    let table = report.loads(&format!("Requests to {count} applications"), &[]);
    for (what, connections, round) in rows {
        let figures = Measured {
            rounds: vec![round],
        };
        table.add(what, connections, &figures, &[]);
    }
    Ok(())
}

fn tenants_pid(platform: &Platform) -> anyhow::Result<u32> {
    let pids = platform.children("tenants");
    pids.first().copied().context("there is a tenants' process")
}

fn tenants(platform: &Platform) -> anyhow::Result<crate::process::Memory> {
    memory_of(tenants_pid(platform)?)
}

fn memory(section: &mut Section, what: &str, platform: &Platform) -> anyhow::Result<()> {
    let platform = memory_of(platform.pid())?;
    section.say(
        &format!("`nokube up`, {what}"),
        &[("resident", platform.rss, "MiB")],
    );
    Ok(())
}

/// From starting the process to the first `200` of `GET /health`.
async fn restarts(
    section: &mut Section,
    platform: &mut Platform,
    count: usize,
) -> anyhow::Result<()> {
    let mut millis = Vec::new();
    for _ in 0..RESTARTS {
        platform.kill();
        let began = Instant::now();
        platform.start_again();
        let health = reqwest::get(format!("{}/health", platform.url())).await?;
        ensure!(health.status() == 200, "the platform answers after a start");
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    millis.sort_by(f64::total_cmp);
    section.say(
        &format!("restart to answering after `kill -9`, {count} applications"),
        &[
            ("median", millis[RESTARTS / 2], "ms"),
            ("slowest", millis[RESTARTS - 1], "ms"),
        ],
    );
    Ok(())
}

/// Desired state of many deployments, made from one.
struct Seeds {
    desired: PathBuf,
    unpacked: PathBuf,
    original: Value,
    original_file: PathBuf,
    original_host: String,
}

impl Seeds {
    async fn deploy(platform: &Platform) -> anyhow::Result<Self> {
        let api = platform
            .api()
            .register("bench", Some(platform.setup_code()))
            .await;
        let project = api.create_project("idle").await;
        let site = Repository::of_files("site", &[("index.html", b"hello\n")]);
        let build = api.build(project, "web", &site.file_url()).await;
        let deployed = api
            .deploy(&json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] }))
            .await;
        let id = deployed["deployment_id"].as_str().context("an id")?;
        let url = deployed["access_url"].as_str().context("an address")?;
        let data = platform.data_dir().join("data");
        let desired = data.join("sidecar/apps");
        let original_file = desired.join(format!("{id}.json"));
        let original = nokube_tests::wait::until(
            "the deployment to be settled",
            Duration::from_secs(10),
            || async {
                let read = std::fs::read(&original_file).ok()?;
                let app: Value = serde_json::from_slice(&read).ok()?;
                (!app["settled"].is_null()).then_some(app)
            },
        )
        .await;
        Ok(Self {
            desired,
            unpacked: data.join("tenants/apps"),
            original,
            original_file,
            original_host: url
                .trim_start_matches("http://")
                .trim_end_matches('/')
                .to_owned(),
        })
    }

    /// Makes `count` deployments wanted, in place of those before.
    fn write(&self, count: usize) -> anyhow::Result<()> {
        let _ = std::fs::remove_file(&self.original_file);
        for number in 0..count {
            let mut app = self.original.clone();
            for spec in ["wanted", "settled"] {
                app[spec]["deployment_id"] = Self::id(number).into();
                app[spec]["service"] = Self::service(number).into();
            }
            let file = self.desired.join(format!("{}.json", Self::id(number)));
            std::fs::write(file, serde_json::to_vec(&app)?)?;
        }
        Ok(())
    }

    /// How many are unpacked and compiled.
    fn prepared(&self) -> anyhow::Result<usize> {
        let is_prepared = |dir: &Path| {
            std::fs::read_dir(dir).is_ok_and(|mut revisions| {
                revisions.any(|revision| {
                    revision.is_ok_and(|revision| revision.path().join("native").exists())
                })
            })
        };
        Ok(std::fs::read_dir(&self.unpacked)?
            .flatten()
            .filter(|entry| is_prepared(&entry.path()))
            .count())
    }

    fn id(number: usize) -> String {
        format!("01940000-0000-7000-8000-{number:012x}")
    }

    fn service(number: usize) -> String {
        format!("idle-{number}")
    }

    fn host(&self, number: usize) -> String {
        let rest = self
            .original_host
            .split_once('.')
            .map_or("", |(_, rest)| rest);
        format!("{}.{rest}", Self::service(number))
    }
}
