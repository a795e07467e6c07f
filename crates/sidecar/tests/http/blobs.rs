//! The blob store over HTTP, with a fake platform.

use std::sync::Arc;

use crate::support::{FakePlatform, FakeTarget, Running, SIDECAR_TOKEN};
use nokube_keys::{BlobTicket, TicketKey, TicketUse};
use nokube_sidecar::StorageOptions;

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
async fn a_source_that_nobody_waits_for_is_refused_before_any_of_it_is_stored() {
    let world = world().await;
    let refusal = (
        409,
        serde_json::json!({ "type": "/problems/no-source-awaited" }),
    );
    *world.platform.awaited.lock().unwrap() = Some(refusal);
    let answer = world
        .put(&ticket("1", TicketUse::PutSource), "archive")
        .await;
    assert_eq!(answer.status(), 409);
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["type"], "/problems/no-source-awaited");
    for folder in ["incoming", "sources"] {
        let folder = world.data.path().join("sidecar").join(folder);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn another_source_never_takes_the_place_of_the_one_that_the_platform_knows() {
    let world = world().await;
    let first = ticket("1", TicketUse::PutSource);
    assert_eq!(world.put(&first, "archive").await.status(), 202);
    let told = world.platform.sources.lock().unwrap()[0]["digest"].clone();
    *world.platform.awaited.lock().unwrap() = Some((200, serde_json::json!({ "digest": told })));
    let second = ticket("2", TicketUse::PutSource);
    assert_eq!(world.put(&second, "another").await.status(), 409);
    let kept = world.get(&ticket("3", TicketUse::GetSource)).await;
    assert_eq!(kept.text().await.unwrap(), "archive");
    assert_eq!(world.put(&second, "archive").await.status(), 202);
}

#[tokio::test]
async fn an_upload_that_would_touch_the_reserve_is_refused_and_told_to_come_back() {
    let platform = Arc::new(FakePlatform::default());
    let url = platform.serve().await;
    let data = tempfile::tempdir().unwrap();
    let storage = StorageOptions {
        reserve_bytes: Some(u64::MAX),
        ..StorageOptions::default()
    };
    let target = Arc::new(FakeTarget::default());
    let sidecar = Running::start_with(data.path(), &target, &url, storage).await;
    let world = World {
        sidecar,
        platform,
        data,
    };
    for allows in [TicketUse::PutSource, TicketUse::PutArtifact] {
        let answer = world.put(&ticket("1", allows), "archive").await;
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body["type"], "/problems/storage-full");
    }
    assert!(world.platform.sources.lock().unwrap().is_empty());
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

#[tokio::test]
async fn what_an_upload_asks_of_the_platform_carries_the_uploaders_request_id() {
    let world = world().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let put = |id: &str, ticket: &str| {
        let url = format!("{}/blobs/{ticket}", world.sidecar.url);
        let request = world.sidecar.client.put(url).body("abc");
        request
            .header("x-request-id", id)
            .header("traceparent", trace)
            .send()
    };
    let signed = ticket("traced", TicketUse::PutSource);
    let answer = put("upload-7", &signed).await.unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.headers()["x-request-id"], "upload-7");
    let asked_and_told = vec![("upload-7".to_owned(), trace.to_owned()); 2];
    assert_eq!(*world.platform.origins.lock().unwrap(), asked_and_told);

    let answer = put("upload-8", &signed).await.unwrap();
    assert_eq!(answer.status(), 410);
    assert_eq!(answer.headers()["x-request-id"], "upload-8");
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(problem["request_id"], "upload-8");
    assert!(!problem.to_string().contains(&signed), "{problem}");
}
