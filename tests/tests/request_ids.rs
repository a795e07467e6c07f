//! One id for a request, from the edge through components and the sidecar to the log and the audit trail.

use std::time::Duration;

use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use reqwest::{Client, Method, redirect};
use serde_json::json;

const LOG_LIMIT: Duration = Duration::from_secs(10);

/// A line of the platform's log with both words.
async fn logged(platform: &Platform, words: [&str; 2]) -> String {
    let file = platform.data_dir().join("test-output.log");
    until(&format!("a line with {words:?}"), LOG_LIMIT, || async {
        let log = std::fs::read_to_string(&file).ok()?;
        let mut lines = log.lines();
        lines
            .find(|line| words.iter().all(|word| line.contains(word)))
            .map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn an_id_given_at_the_edge_is_in_the_answer_the_audit_trail_and_the_sidecars_log() {
    let platform = Platform::start();
    let api = platform.api().register("ada", None).await;
    let project = api.create_project("shop").await;
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .build()
        .expect("an HTTP client can be made");
    let path = format!(
        "{}/api/v1/builds/upload?project_id={project}&service_name=web",
        platform.url()
    );
    let answer = client
        .post(path)
        .bearer_auth(api.token().unwrap_or_default())
        .header("x-request-id", "edge-1")
        .send()
        .await
        .expect("the platform answers");
    assert_eq!(answer.status(), 307);
    assert_eq!(answer.headers()["x-request-id"], "edge-1");
    let address = answer.headers()["location"]
        .to_str()
        .expect("an address")
        .to_owned();

    let put = |id: &'static str| {
        let request = client.request(Method::PUT, &address).body("not a gzip");
        request.header("x-request-id", id).send()
    };
    let answer = put("edge-2").await.expect("the sidecar answers");
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.headers()["x-request-id"], "edge-2");
    let answer = put("edge-3").await.expect("the sidecar answers");
    assert_eq!(answer.status(), 410);
    assert_eq!(answer.headers()["x-request-id"], "edge-3");
    let line = logged(&platform, ["ticket-spent", "edge-3"]).await;
    let ticket = address.rsplit('/').next().expect("a ticket");
    assert!(
        !line.contains(ticket),
        "a ticket is never in the log: {line}"
    );

    let trail = api
        .get(&format!("/projects/{project}/activity"))
        .await
        .expect(200);
    let entries = trail["data"].as_array().expect("entries");
    assert!(
        entries
            .iter()
            .any(|entry| entry["action"] == "build.create" && entry["request_id"] == "edge-1"),
        "{trail}"
    );
}

#[tokio::test]
async fn the_id_of_a_deploy_is_in_the_sidecars_log() {
    let platform = Platform::start();
    let api = platform.api().register("ada", None).await;
    let project = api.create_project("shop").await;
    let repository = Repository::of_files("site", &[("index.html", b"hi")]);
    let build = api.build(project, "web", &repository.file_url()).await;
    let release = json!({
        "project_id": project, "service_name": "web", "build_id": build["build_id"],
    });
    let request = api.request(Method::POST, "/deploy").json(&release);
    let deployed = api.send(request.header("x-request-id", "deploy-7")).await;
    let deployed = deployed.expect(202);
    let id = deployed["deployment_id"].as_str().expect("an id");
    let line = logged(&platform, ["deploy-7", "is wanted so from now on"]).await;
    assert!(line.contains(id), "{line}");
}
