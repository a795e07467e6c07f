//! A thousand deployments of fifty users: how long until all are ready, and what the sidecar has in memory then.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use nokube_api::sidecar::{AppPhase, AppSpec, AppStatus};
use nokube_tests::cluster::sidecar::{Installation, Sidecar};
use nokube_tests::cluster::spec::Tenant;
use nokube_tests::cluster::visit_alone;
use nokube_tests::guests;
use reqwest::Method;

const USERS: usize = 50;
const DEPLOYMENTS_OF_EACH: usize = 20;
/// One in so many is a Spin application: SpinKube's operator makes 20 calls a second at most.
const SPIN_EVERY: usize = 10;
/// Callers at once.
const CALLERS: usize = 8;
const LIMIT: Duration = Duration::from_secs(900);
/// What the sidecar may have in memory with all of them.
const RESIDENT_LIMIT_KB: u64 = 30 * 1024;

async fn list(sidecar: &Sidecar) -> Vec<AppStatus> {
    let (status, body) = sidecar.call(Method::GET, "/v1/apps", None).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_value(body["apps"].clone()).expect("a list of statuses")
}

/// Waits until this many are in a phase, and gives the most memory the sidecar was seen with.
async fn all_are(sidecar: &Sidecar, count: usize, is_it: impl Fn(&AppStatus) -> bool) -> u64 {
    let began = Instant::now();
    let mut most_kb = 0;
    loop {
        let apps = list(sidecar).await;
        most_kb = most_kb.max(sidecar.resident_kb());
        let there = apps.iter().filter(|app| is_it(app)).count();
        if there == count {
            return most_kb;
        }
        let waiting = apps.iter().find(|app| !is_it(app));
        assert!(began.elapsed() < LIMIT, "{there} of {count}; {waiting:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_deployments_become_ready_and_the_sidecar_stays_small() {
    let Some(visit) = visit_alone().await else {
        return;
    };
    let installation = Installation::new(&visit, "load").await;
    let mut sidecar = installation.start().await;
    let idle_kb = sidecar.resident_kb();
    let digest = sidecar.store_artifact(&guests::world("wasi02_hello"));
    let mut apps: Vec<AppSpec> = Vec::new();
    for user in 0..USERS {
        let tenant = Tenant::new(&format!("user-{user}"), &format!("load-{user}"));
        for number in 0..DEPLOYMENTS_OF_EACH {
            let service = format!("web-{number}");
            apps.push(if number % SPIN_EVERY == 0 {
                tenant.spin(&service, &digest)
            } else {
                tenant.container(&service)
            });
        }
    }
    let count = apps.len();
    let began = Instant::now();
    let calls = futures::stream::iter(&apps).map(|app| sidecar.want(app));
    calls.buffer_unordered(CALLERS).collect::<()>().await;
    let accepted = began.elapsed();
    let most_kb = all_are(&sidecar, count, |app| app.phase == AppPhase::Running).await;
    let ready = began.elapsed();
    let settled_kb = sidecar.resident_kb();

    {
        println!(
            "  {count} deployments of {USERS} users: accepted in {:.1} s, all ready after {:.1} s",
            accepted.as_secs_f64(),
            ready.as_secs_f64()
        );
        println!(
            "  the sidecar: {:.1} MB idle, {:.1} MB at most, {:.1} MB with all ready; the control plane {:.0} MB",
            idle_kb as f64 / 1024.0,
            most_kb as f64 / 1024.0,
            settled_kb as f64 / 1024.0,
            visit.resident_kb() as f64 / 1024.0
        );
    }
    // Started anew it reads all of them at once, and is no larger.
    sidecar.kill();
    installation.forget_leader().await;
    let again = installation.start().await;
    let restarted_kb = all_are(&again, count, |app| app.phase == AppPhase::Running).await;
    {
        println!(
            "  started anew: {:.1} MB at most",
            restarted_kb as f64 / 1024.0
        );
    }
    assert!(
        most_kb < RESIDENT_LIMIT_KB,
        "{most_kb} kB with {count} deployments"
    );
    assert!(
        settled_kb < RESIDENT_LIMIT_KB,
        "{settled_kb} kB with {count} deployments"
    );
    assert!(
        restarted_kb < RESIDENT_LIMIT_KB,
        "{restarted_kb} kB after a restart"
    );
}
