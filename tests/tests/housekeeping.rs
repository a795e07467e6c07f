//! What is old goes while the platform is killed again and again; what runs and what can be rolled back
//! to stays.

use std::path::Path;
use std::time::Duration;

use nokube_tests::api::Api;
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use serde_json::{Value, json};

const RECOVERY: Duration = Duration::from_secs(60);
/// Housekeeping every second; two revisions and one build stay, and what nothing names for 3 seconds.
const TIDY: [&str; 8] = [
    "--housekeeping-seconds",
    "1",
    "--unused-for-seconds",
    "3",
    "--variable",
    "keep_revisions=2",
    "--variable",
    "keep_builds=1",
];

async fn serves(api: &Api, url: &str, text: &str) {
    until(&format!("{url} to serve {text:?}"), RECOVERY, || async {
        let answer = api.visit(url, "/").await.ok()?;
        (answer.text == text).then_some(())
    })
    .await;
}

/// Artifacts of the layout.
fn artifacts(data: &Path) -> usize {
    let index = std::fs::read(data.join("artifacts/index.json")).expect("an index");
    let index: Value = serde_json::from_slice(&index).expect("the index is whole");
    index["manifests"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn old_artifacts_go_and_those_of_kept_revisions_stay_through_kills() {
    let mut platform = Platform::start_with(&TIDY);
    let mut api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let repository = Repository::of_files("site", &[("index.html", b"0")]);
    let mut last = Value::Null;
    for round in 1..=4 {
        let text = round.to_string();
        repository.write("index.html", text.as_bytes());
        let _commit = repository.commit(&text);
        let build = api.build(project, "web", &repository.file_url()).await;
        let request =
            json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
        last = api.deploy(&request).await;
        platform.kill();
        platform.start_again();
        api = platform.api().with_token(api.token().expect("signed in"));
        serves(
            &api,
            last["access_url"].as_str().expect("an address"),
            &text,
        )
        .await;
    }
    let data = platform.data_dir().join("data");
    until("old artifacts to go", RECOVERY, || async {
        (artifacts(&data) == 2).then_some(())
    })
    .await;
    let id = last["deployment_id"].as_str().expect("an id");
    let listed = api
        .get(&format!("/deployments/{id}/revisions"))
        .await
        .expect(200);
    let numbers: Vec<_> = listed["data"]
        .as_array()
        .expect("revisions")
        .iter()
        .map(|revision| revision["revision"].as_u64())
        .collect();
    assert_eq!(numbers, [Some(4), Some(3)]);
    let path = format!("/deployments/{id}/rollback");
    api.post(&path, &json!({ "revision": 3 })).await.expect(202);
    let back = api.wait_until_running(id, 5).await;
    let url = back["access_url"].as_str().expect("an address").to_owned();
    serves(&api, &url, "3").await;
    platform.kill();
    platform.start_again();
    serves(&platform.api(), &url, "3").await;
}
