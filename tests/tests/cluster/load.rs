//! A thousand deployments of fifty users: how long until all are ready and until all are gone, and what the sidecar has in
//! memory.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use nokube_api::sidecar::{AppPhase, AppSpec, AppStatus};
use nokube_tests::cluster::sidecar::{Installation, Sidecar};
use nokube_tests::cluster::spec::Tenant;
use nokube_tests::cluster::visit_alone;
use nokube_tests::{figures, guests};
use reqwest::Method;

use crate::objects::until_nothing_is_in;

const USERS: usize = 50;
const DEPLOYMENTS_OF_EACH: usize = 20;
/// One in so many is a Spin application: SpinKube's operator makes 20 calls a second at most.
const SPIN_EVERY: usize = 10;
/// Callers at once.
const CALLERS: usize = 8;
/// For all to be ready, and for all to be gone: twice what it took two cores that were busy besides (docs/benchmarks.md).
const LIMIT: Duration = Duration::from_secs(540);
/// What the sidecar may have in memory with all of them: 30 MiB.
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

/// Removes all of them, as the platform does: asking for each until it is not known any more.
async fn are_removed(sidecar: &Sidecar, mut apps: Vec<AppSpec>) {
    let began = Instant::now();
    while !apps.is_empty() {
        assert!(
            began.elapsed() < LIMIT,
            "{} are left:\n{}",
            apps.len(),
            sidecar.log()
        );
        let calls = futures::stream::iter(apps).map(move |app| async move {
            let path = format!("/v1/apps/{}", app.deployment_id);
            let (status, body) = sidecar.call(Method::DELETE, &path, None).await;
            assert!(matches!(status, 202 | 404), "{status} {body}");
            (status == 202).then_some(app)
        });
        let left: Vec<_> = calls.buffer_unordered(CALLERS).collect().await;
        apps = left.into_iter().flatten().collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn mebibytes(kb: u64) -> String {
    format!("{:.1} MiB", kb as f64 / 1024.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_deployments_become_ready_and_go_again_and_the_sidecar_stays_small() {
    let Some(visit) = visit_alone().await else {
        return;
    };
    let installation = Installation::new(&visit, "load").await;
    let mut sidecar = installation.start().await;
    let idle_kb = sidecar.resident_kb();
    let digest = sidecar.store_artifact(&guests::world("wasi02_hello"));
    let mut apps: Vec<AppSpec> = Vec::new();
    let mut namespaces = Vec::new();
    for user in 0..USERS {
        let tenant = Tenant::new(&format!("user-{user}"), &format!("load-{user}"));
        namespaces.push(tenant.namespace());
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

    let mut told = String::new();
    let _ = writeln!(
        told,
        "{count} deployments of {USERS} users: accepted in {:.1} s, all ready after {:.1} s",
        accepted.as_secs_f64(),
        ready.as_secs_f64()
    );
    let _ = writeln!(
        told,
        "the sidecar: {} idle, {} at most, {} with all ready; the control plane {}",
        mebibytes(idle_kb),
        mebibytes(most_kb),
        mebibytes(settled_kb),
        mebibytes(visit.resident_kb())
    );
    // Started anew it reads all of them at once, and is no larger.
    sidecar.kill();
    installation.forget_leader().await;
    let again = installation.start().await;
    let restarted_kb = all_are(&again, count, |app| app.phase == AppPhase::Running).await;
    let _ = writeln!(told, "started anew: {} at most", mebibytes(restarted_kb));

    let began = Instant::now();
    are_removed(&again, apps).await;
    let removed = began.elapsed().as_secs_f64();
    let kube = visit.kube();
    for namespace in &namespaces {
        until_nothing_is_in(&kube, namespace).await;
    }
    let _ = writeln!(told, "all removed after {removed:.1} s");
    figures::tell("cluster", &told);

    assert!(list(&again).await.is_empty());
    for (when, kb) in [
        ("on the way", most_kb),
        ("with all ready", settled_kb),
        ("after a restart", restarted_kb),
    ] {
        assert!(kb < RESIDENT_LIMIT_KB, "{kb} kB {when}, of {count}");
    }
}
