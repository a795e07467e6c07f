//! The blob store over HTTP, with a fake platform.

use std::sync::Arc;

use crate::support::{FakePlatform, FakeTarget, Running, SIDECAR_TOKEN};
use nokube_keys::{BlobTicket, TicketKey, TicketUse};

const BUILD: &str = "01940000-0000-7000-8000-0000000000b1";

struct World {
    sidecar: Running,
    platform: Arc<FakePlatform>,
    data: tempfile::TempDir,
}

async fn world() -> World {
    let platform = Arc::new(FakePlatform::default());
    let url = platform.serve().await;
    let data = tempfile::tempdir().unwrap();
    let sidecar = Running::start(data.path(), &Arc::new(FakeTarget::default()), &url).await;
    World {
        sidecar,
        platform,
        data,
    }
}

fn ticket(id: &str, allows: TicketUse) -> String {
    let ticket = BlobTicket {
        id: id.to_owned(),
        allows,
        build_id: BUILD.to_owned(),
        max_bytes: 10,
    };
    TicketKey::from_sidecar_token(SIDECAR_TOKEN).sign(ticket, 60)
}

impl World {
    async fn put(&self, ticket: &str, body: &'static str) -> reqwest::Response {
        self.sidecar
            .client
            .put(format!("{}/blobs/{ticket}", self.sidecar.url))
            .body(body)
            .send()
            .await
            .unwrap()
    }

    async fn get(&self, ticket: &str) -> reqwest::Response {
        self.sidecar
            .client
            .get(format!("{}/blobs/{ticket}", self.sidecar.url))
            .send()
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_source_is_stored_told_of_and_fetched_as_often_as_wanted() {
    let world = world().await;
    let answer = world
        .put(&ticket("1", TicketUse::PutSource), "archive")
        .await;
    assert_eq!(answer.status(), 202);
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["build_id"], BUILD);
    let told = world.platform.sources.lock().unwrap().clone();
    assert_eq!(told[0]["size_bytes"], 7);
    assert!(told[0]["digest"].as_str().unwrap().starts_with("sha256:"));
    for _ in 0..2 {
        let answer = world.get(&ticket("2", TicketUse::GetSource)).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-length"], "7");
        assert_eq!(answer.text().await.unwrap(), "archive");
    }
}

#[tokio::test]
async fn a_ticket_that_stores_works_once_over_a_restart_too() {
    let world = world().await;
    let ticket = ticket("1", TicketUse::PutSource);
    assert_eq!(world.put(&ticket, "archive").await.status(), 202);
    assert_eq!(world.put(&ticket, "other").await.status(), 410);
    let url = world.platform.serve().await;
    let data = world.data;
    drop(world.sidecar);
    let again = World {
        sidecar: Running::start(data.path(), &Arc::new(FakeTarget::default()), &url).await,
        platform: world.platform,
        data,
    };
    assert_eq!(again.put(&ticket, "other").await.status(), 410);
    assert_eq!(again.platform.sources.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_ticket_is_not_spent_while_the_platform_is_down() {
    let world = world().await;
    let ticket = ticket("1", TicketUse::PutSource);
    *world.platform.down.lock().unwrap() = true;
    assert_eq!(world.put(&ticket, "archive").await.status(), 503);
    *world.platform.down.lock().unwrap() = false;
    assert_eq!(world.put(&ticket, "archive").await.status(), 202);
}

#[tokio::test]
async fn an_accepted_source_stays_when_another_comes_with_another_ticket() {
    let world = world().await;
    let put = |id: &str, body| {
        let ticket = ticket(id, TicketUse::PutSource);
        let world = &world;
        async move { world.put(&ticket, body).await.status() }
    };
    let kept = async || {
        let answer = world.get(&ticket("g", TicketUse::GetSource)).await;
        answer.text().await.unwrap()
    };
    // The platform never heard of the first.
    *world.platform.down.lock().unwrap() = true;
    assert_eq!(put("1", "unheard").await, 503);
    *world.platform.down.lock().unwrap() = false;
    assert_eq!(put("1", "archive").await, 202);
    assert_eq!(kept().await, "archive");
    assert_eq!(put("2", "another").await, 422);
    assert_eq!(kept().await, "archive");
    assert_eq!(put("3", "archive").await, 202);
    assert_eq!(kept().await, "archive");
    let incoming = world.data.path().join("sidecar/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0);
}

#[tokio::test]
async fn more_than_the_ticket_allows_is_refused_and_leaves_nothing() {
    let world = world().await;
    let ticket = ticket("1", TicketUse::PutSource);
    assert_eq!(
        world.put(&ticket, "more than ten bytes").await.status(),
        413
    );
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter([
        Ok::<_, std::io::Error>("more than "),
        Ok("ten bytes"),
    ]));
    let answer = world
        .sidecar
        .client
        .post(format!("{}/blobs/{ticket}", world.sidecar.url))
        .body(chunked)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 413);
    let incoming = world.data.path().join("sidecar/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0);
    assert_eq!(world.put(&ticket, "fits").await.status(), 202);
}

#[tokio::test]
async fn altered_expired_and_other_tickets_are_refused() {
    let world = world().await;
    assert_eq!(world.put("nonsense", "x").await.status(), 403);
    let other = TicketKey::from_sidecar_token("other").sign(
        BlobTicket {
            id: "1".into(),
            allows: TicketUse::PutSource,
            build_id: BUILD.into(),
            max_bytes: 10,
        },
        60,
    );
    assert_eq!(world.put(&other, "x").await.status(), 403);
    assert_eq!(
        world
            .put(&ticket("1", TicketUse::GetSource), "x")
            .await
            .status(),
        403
    );
    assert_eq!(
        world.get(&ticket("1", TicketUse::PutSource)).await.status(),
        403
    );
    assert_eq!(
        world.get(&ticket("1", TicketUse::GetSource)).await.status(),
        404
    );
}

#[tokio::test]
async fn what_is_no_artifact_is_refused() {
    let world = world().await;
    let answer = world
        .put(&ticket("1", TicketUse::PutArtifact), "no tar")
        .await;
    assert_eq!(answer.status(), 422);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
}
