//! Many deployed applications that nobody asks: what they cost at a start, in memory, and when somebody asks.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nokube_tests::platform::Platform;

use crate::Options;
use crate::generator::Until;
use crate::load::{Contestant, Measured, Round, ask};
use crate::process::{Memory, cpu_of, memory_of};
use crate::seeds::Seeds;
use crate::server;
use crate::table::{Report, Section};

const RESTARTS: usize = 7;
const CONNECTIONS: usize = 16;
/// Preparing an application that is new to a machine takes some milliseconds.
const PREPARED_WITHIN: Duration = Duration::from_secs(300);
/// What a start leaves behind for a moment is gone by then, and several ticks have come.
const IDLE: Duration = Duration::from_secs(5);

/// Measures it.
pub(crate) async fn measure(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    let mut platform = Platform::start();
    let seeds = Seeds::deploy(&platform).await?;
    let all = options.idle_apps;
    let section = report.figures("Deployed applications that nobody asks");
    for count in [0, 10, all] {
        platform.kill();
        seeds.write(count)?;
        let began = Instant::now();
        platform.start_again();
        while seeds.prepared(count) < count {
            ensure!(began.elapsed() < PREPARED_WITHIN, "not all are prepared");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if count == all {
            section.say(
                &format!("{count} applications new to the machine, all unpacked"),
                &[("within", began.elapsed().as_secs_f64(), "s")],
            );
        }
        restarts(section, &mut platform, count).await?;
    }

    platform.kill();
    platform.start_again();
    idle(section, &platform, all).await?;
    let before = memories(&platform)?;
    say_memory(section, "none loaded", &before);
    let one_by_one = ask(&contestant(&platform, &seeds, all)?, 1, Until::EachOnce).await?;
    let after = memories(&platform)?;
    say_memory(section, &format!("all {all} loaded"), &after);
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let each = |of: fn(&Memory) -> f64| (of(&after.1) - of(&before.1)) * 1024.0 / all as f64;
    section.say(
        &format!("memory of each of {all} loaded applications"),
        &[
            ("resident", each(|memory| memory.rss), "KiB"),
            ("proportional", each(|memory| memory.pss), "KiB"),
        ],
    );

    platform.kill();
    let began = Instant::now();
    platform.start_again();
    let asked = contestant(&platform, &seeds, all)?;
    let at_once = ask(&asked, CONNECTIONS, Until::EachOnce).await?;
    section.say(
        &format!("{all} applications, from the start until each has answered"),
        &[("within", began.elapsed().as_secs_f64(), "s")],
    );

    let mut rows = vec![
        ("the first request of each since the start", 1, one_by_one),
        (
            "the first request of each since the start",
            CONNECTIONS,
            at_once,
        ),
    ];
    for connections in [1, CONNECTIONS] {
        let millis = u64::try_from(options.duration().as_millis()).unwrap_or(u64::MAX);
        let round = ask(&asked, connections, Until::Millis(millis)).await?;
        rows.push(("one after the other, again", connections, round));
    }
    say_rounds(report, all, rows);
    Ok(())
}

fn say_rounds(report: &mut Report, count: usize, rows: Vec<(&str, usize, Round)>) {
    let table = report.loads(&format!("Requests to {count} applications"), &[]);
    for (what, connections, round) in rows {
        let figures = Measured {
            rounds: vec![round],
        };
        table.add(what, connections, &figures, &[]);
    }
}

/// The first `count` applications, each asked in turn.
fn contestant(platform: &Platform, seeds: &Seeds, count: usize) -> anyhow::Result<Contestant> {
    Ok(Contestant {
        name: "all".to_owned(),
        address: platform.url().trim_start_matches("http://").parse()?,
        pids: vec![platform.pid(), tenants_pid(platform)?],
        requests: (0..count)
            // In an order that is not that of their names.
            .map(|number| server::get(&seeds.host(number * 7919 % count), "/"))
            .collect(),
    })
}

fn tenants_pid(platform: &Platform) -> anyhow::Result<u32> {
    let pids = platform.children("tenants");
    pids.first().copied().context("there is a tenants' process")
}

/// Of the platform's process and the tenants'.
fn memories(platform: &Platform) -> anyhow::Result<(Memory, Memory)> {
    Ok((
        memory_of(platform.pid())?,
        memory_of(tenants_pid(platform)?)?,
    ))
}

fn say_memory(section: &mut Section, when: &str, (up, tenants): &(Memory, Memory)) {
    for (name, memory) in [("up", up), ("tenants", tenants)] {
        section.say(
            &format!("`nokube {name}`, {when}"),
            &[
                ("resident", memory.rss, "MiB"),
                ("proportional", memory.pss, "MiB"),
            ],
        );
    }
}

/// What is computed for deployments that nobody asks: the tick looks at all of them.
async fn idle(section: &mut Section, platform: &Platform, count: usize) -> anyhow::Result<()> {
    let computed = || anyhow::Ok(cpu_of(platform.pid())? + cpu_of(tenants_pid(platform)?)?);
    let (before, began) = (computed()?, Instant::now());
    tokio::time::sleep(IDLE).await;
    let share = (computed()? - before) / began.elapsed().as_secs_f64();
    section.say(
        &format!("computing in the five seconds after a start, {count} applications"),
        &[("of one core", share * 100.0, "%")],
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
