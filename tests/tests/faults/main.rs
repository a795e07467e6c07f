//! The platform killed some hundred times while it works, at each named point and at random moments, and asked
//! afterwards for everything that it acknowledged.
//!
//! One data folder lives through the whole run. The seed is printed; `NOKUBE_FAULTS_SEED` repeats a run as far as
//! time allows, `NOKUBE_FAULTS_ROUNDS` makes it longer.

mod chance;
mod checks;
mod workload;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use nokube_tests::platform::Platform;

use crate::chance::Chance;
use crate::workload::Workload;

/// Rounds of a run: each point once, the rest by chance.
const ROUNDS: usize = 200;
/// A kill by the clock comes within this; a round takes about as long.
const LONGEST_LIFE_MS: u64 = 700;
/// What the platform does by itself it does within this.
const MET_WITHIN: Duration = Duration::from_secs(5);
/// A point that was never met gets so many goes.
const TRIES: u32 = 5;
/// A point is met for the n-th time at most.
const LATEST_MEETING: u64 = 12;

/// Housekeeping all the time, but nothing is too old or too much: what was acknowledged is to be there.
const ARGUMENTS: [&str; 14] = [
    "--housekeeping-seconds",
    "1",
    "--variable",
    "max_projects_per_user=1000000",
    "--variable",
    "keep_builds=1000000",
    "--variable",
    "keep_revisions=1000000",
    "--variable",
    "login_limit_per_account=1000000",
    "--variable",
    "login_limit_per_address=1000000",
    "--variable",
    "login_limit_everywhere=1000000",
];

/// How a round ends.
#[derive(Debug)]
enum End {
    /// At a point, when it is met for the n-th time.
    Point(&'static str, u64),
    /// After some time, by killing one process.
    Kill(Victim, Duration),
}

#[derive(Debug, Clone, Copy)]
enum Victim {
    Platform,
    Tenants,
    Runner,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_however_and_whenever_the_platform_dies() {
    let seed = number("NOKUBE_FAULTS_SEED").unwrap_or_else(chance::fresh_seed);
    let rounds =
        number("NOKUBE_FAULTS_ROUNDS").map_or(ROUNDS, |n| usize::try_from(n).unwrap_or(ROUNDS));
    say(&format!(
        "NOKUBE_FAULTS_SEED={seed} NOKUBE_FAULTS_ROUNDS={rounds}"
    ));
    let mut chance = Chance::new(seed);
    let mut platform = Platform::start_with(&ARGUMENTS);
    let mut workload = Workload::begin(&platform).await;
    let mut met = BTreeSet::new();
    for round in 0..rounds {
        let end = choose(round, &mut chance);
        say(&format!("round {round}: {end:?}"));
        match &end {
            End::Point(point, time) => {
                platform.crash_after_next_start(Some(&format!("{point}#{time}")));
                platform.kill();
                platform.start_again();
                workload.work(&platform, &mut chance).await;
                let mut tries = 1;
                // A busy machine may not come as far as a point in one go.
                while *time == 1 && !met.contains(point) && tries <= TRIES {
                    wait_for(&platform, MET_WITHIN).await;
                    if platform.has_crashed() {
                        met.insert(*point);
                    } else {
                        workload.work(&platform, &mut chance).await;
                        tries += 1;
                    }
                }
            }
            End::Kill(victim, after) => {
                let (pid, after) = (pid_of(&platform, *victim), *after);
                let killer = tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    kill(pid);
                });
                workload.work(&platform, &mut chance).await;
                killer.await.expect("a kill can be sent");
            }
        }
        // What was reached already must not be met again while the world is looked at.
        platform.crash_after_next_start(None);
        platform.kill();
        platform.start_again();
        checks::after_a_crash(&platform, &mut workload).await;
    }
    checks::at_the_end(&mut platform, &mut workload).await;
    let missed: Vec<_> = nokube_faults::POINTS
        .iter()
        .filter(|point| !met.contains(*point))
        .collect();
    assert!(
        missed.is_empty() || rounds < ROUNDS,
        "never met: {missed:?}"
    );
}

/// Each point in turn for as long as there are some, then points and clocks by chance.
fn choose(round: usize, chance: &mut Chance) -> End {
    if let Some(point) = nokube_faults::POINTS.get(round) {
        return End::Point(point, 1);
    }
    if chance.below(2) == 0 {
        let points = nokube_faults::POINTS;
        let which = chance.below(points.len() as u64);
        let point = points[usize::try_from(which).expect("an index fits")];
        return End::Point(point, 1 + chance.below(LATEST_MEETING));
    }
    let victim = match chance.below(5) {
        0 => Victim::Tenants,
        1 => Victim::Runner,
        _ => Victim::Platform,
    };
    End::Kill(victim, Duration::from_millis(chance.below(LONGEST_LIFE_MS)))
}

/// Some points are met without anybody's asking.
async fn wait_for(platform: &Platform, limit: Duration) {
    let began = Instant::now();
    while !platform.has_crashed() && began.elapsed() < limit {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

fn pid_of(platform: &Platform, victim: Victim) -> u32 {
    let child = match victim {
        Victim::Platform => None,
        Victim::Tenants => Some("tenants"),
        Victim::Runner => Some("runner"),
    };
    child
        .and_then(|name| platform.children(name).first().copied())
        .unwrap_or_else(|| platform.pid())
}

fn kill(pid: u32) {
    // It may be gone by itself: a child of a platform that died.
    let _ = Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .output();
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[expect(clippy::print_stdout, reason = "shown when the test fails")]
fn say(line: &str) {
    println!("{line}");
}
