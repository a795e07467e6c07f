//! One leader.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::api::Cluster;
use crate::leader::{Candidate, Role};
use crate::metrics::Metrics;
use crate::testing::Fake;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/nokube-system/leases";
/// Of the paused clock.
const LIMIT: Duration = Duration::from_secs(120);

struct Replica {
    candidate: Arc<Candidate>,
    roles: watch::Receiver<Role>,
    task: JoinHandle<()>,
}

fn start(fake: &Fake, name: &str) -> Replica {
    let candidate = Arc::new(Candidate {
        cluster: Cluster::new(fake.client(), Arc::new(Metrics::default())),
        namespace: "nokube-system".to_owned(),
        name: "nokube-sidecar".to_owned(),
        identity: name.to_owned(),
        address: format!("{name}:3001"),
        renewed: watch::Sender::new(Instant::now()),
    });
    let (role, roles) = watch::channel(Role::Following(None));
    let task = tokio::spawn({
        let candidate = Arc::clone(&candidate);
        async move { candidate.run(role).await }
    });
    Replica {
        candidate,
        roles,
        task,
    }
}

impl Replica {
    async fn becomes(&mut self, role: &Role) {
        let wanted = self.roles.wait_for(|found| found == role);
        timeout(LIMIT, wanted).await.unwrap().unwrap();
    }
}

pub(super) async fn one_leads_and_another_takes_over() -> Fake {
    let fake = Fake::new();
    let mut one = start(&fake, "one");
    one.becomes(&Role::Leading).await;
    let mut two = start(&fake, "two");
    two.becomes(&Role::Following(Some("one:3001".to_owned())))
        .await;
    // As long as one renews it, two does not take it.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(*one.roles.borrow(), Role::Leading);
    assert_ne!(*two.roles.borrow(), Role::Leading);
    // And what one writes needs that.
    let renewed = || one.candidate.renewed.borrow().elapsed();
    assert!(renewed() < Duration::from_secs(5));
    one.task.abort();
    let ended = Instant::now();
    two.becomes(&Role::Leading).await;
    // Not before it was certain that one acts no more.
    assert!(ended.elapsed() >= Duration::from_secs(10));
    assert!(renewed() >= Duration::from_secs(10));
    assert!(ended.elapsed() <= Duration::from_secs(20));
    fake
}

pub(super) async fn a_lease_that_somebody_took_is_lost() -> Fake {
    let fake = Fake::new();
    let mut one = start(&fake, "one");
    one.becomes(&Role::Leading).await;
    let mut lease = fake.get(LEASES, "nokube-sidecar").unwrap();
    lease["spec"]["holderIdentity"] = json!("somebody");
    fake.insert(LEASES, lease);
    one.becomes(&Role::Lost).await;
    // And without an answer of the cluster it is lost before anybody else may begin.
    let fake = Fake::new();
    let mut one = start(&fake, "one");
    one.becomes(&Role::Leading).await;
    let outage =
        crate::testing::Rule::status("GET", "/leases/", 500, "no leader").times(usize::MAX);
    fake.script(outage);
    let begun = Instant::now();
    one.becomes(&Role::Lost).await;
    assert!(begun.elapsed() < Duration::from_secs(15));
    fake
}

pub(super) async fn a_lease_that_is_given_back_is_free_at_once() -> Fake {
    let fake = Fake::new();
    let mut one = start(&fake, "one");
    one.becomes(&Role::Leading).await;
    one.task.abort();
    one.candidate.give_back().await;
    let mut two = start(&fake, "two");
    let begun = Instant::now();
    two.becomes(&Role::Leading).await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    // A lease that somebody removed is made anew by whoever holds it.
    fake.take(LEASES, "nokube-sidecar");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(*two.roles.borrow(), Role::Leading);
    assert!(fake.get(LEASES, "nokube-sidecar").is_some());
    fake
}
