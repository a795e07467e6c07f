//! Two replicas of the sidecar: one leads, the other takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use nokube_api::sidecar::AppPhase;
use nokube_tests::cluster::sidecar::{CHANGE_LIMIT, Installation, Options, Sidecar};
use nokube_tests::cluster::spec::{Changed as _, Tenant};
use nokube_tests::cluster::visit;
use nokube_tests::wait::until;

/// A platform that counts how often it is ticked.
struct Ticked {
    url: String,
    ticks: Arc<AtomicU32>,
}

impl Ticked {
    async fn start() -> Self {
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&ticks);
        let tick = any(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(StatusCode::NO_CONTENT)
        });
        let router = Router::new()
            .route("/internal/tick", tick)
            .fallback(any(|| std::future::ready(StatusCode::SERVICE_UNAVAILABLE)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, ticks }
    }

    fn count(&self) -> u32 {
        self.ticks.load(Ordering::Relaxed)
    }

    async fn until_ticked(&self) {
        let before = self.count();
        until("a tick", CHANGE_LIMIT, || async {
            (self.count() > before + 1).then_some(())
        })
        .await;
    }
}

async fn start(installation: &Installation, platform: &Ticked) -> Sidecar {
    let options = Options {
        platform_url: Some(platform.url.clone()),
        ..Options::default()
    };
    installation.start_with(options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_leads_both_answer_and_the_other_takes_over() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let installation = Installation::new(&visit, "replicas").await;
    let (one, other) = (Ticked::start().await, Ticked::start().await);
    let mut leader = start(&installation, &one).await;
    one.until_ticked().await;
    let follower = start(&installation, &other).await;
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
        installation.namespace
    );
    let leases = kube.list(&path).await;
    assert_eq!(leases.len(), 1, "{leases:?}");
    let holder = leases[0]["spec"]["holderIdentity"].clone();

    // Whoever is asked answers for both.
    let tenant = Tenant::new("ada", "replicas-shop");
    let app = tenant.container("web");
    let _ = follower.runs(&app).await;
    let seen = leader.status(&app).await.expect("the leader knows it");
    assert_eq!(seen.phase, AppPhase::Running);
    one.until_ticked().await;
    assert_eq!(other.count(), 0, "the follower ticked");

    leader.kill();
    other.until_ticked().await;
    let leases = kube.list(&path).await;
    assert_ne!(leases[0]["spec"]["holderIdentity"], holder);
    let scaled = app.then(|app| app.spec.replicas = 2);
    let status = follower.runs(&scaled).await;
    assert_eq!(status.replicas_ready, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_suspended_does_not_go_on_as_one() {
    let Some(visit) = visit().await else {
        return;
    };
    let installation = Installation::new(&visit, "suspended").await;
    let (one, other) = (Ticked::start().await, Ticked::start().await);
    let mut leader = start(&installation, &one).await;
    one.until_ticked().await;
    let follower = start(&installation, &other).await;
    leader.suspend();
    other.until_ticked().await;
    let before = one.count();
    leader.resume();
    leader.until_ended().await;
    // A call that was under way when it was suspended may still arrive.
    assert!(one.count() <= before + 1, "it ticked on");
    let tenant = Tenant::new("ada", "suspended-shop");
    let _ = follower.runs(&tenant.container("web")).await;
}
