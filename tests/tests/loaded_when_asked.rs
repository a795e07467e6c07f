//! What nobody asks is not loaded: after a start, and after a while without a request. No request fails
//! for it, and what had not become ready before a start is applied without one.

use std::time::{Duration, Instant};

use nokube_tests::api::Api;
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// A platform with one site that says `text`; its id and address.
async fn with_a_site(platform: &Platform, text: &str) -> (Api, Repository, Value) {
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let site = Repository::of_files("site", &[("index.html", text.as_bytes())]);
    let deployed = deploy(&api, project, &site, json!({})).await;
    let revision = deployed["revision"].as_u64().expect("a revision");
    let id = deployed["deployment_id"].as_str().expect("an id");
    let running = api.wait_until_running(id, revision).await;
    (api, site, running)
}

async fn deploy(api: &Api, project: i64, site: &Repository, more: Value) -> Value {
    let build = api.build(project, "web", &site.file_url()).await;
    let mut request =
        json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
    for (name, value) in more.as_object().expect("an object") {
        request[name] = value.clone();
    }
    api.post("/deploy", &request).await.expect(202)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

async fn says(api: &Api, deployment: &Value, words: &str) {
    let answer = api.visit(text(&deployment["access_url"]), "/").await;
    assert_eq!(answer.expect("it answers").text, words);
}

#[tokio::test]
async fn after_a_start_an_application_runs_and_its_first_request_loads_it() {
    let mut platform = Platform::start();
    let (api, _site, deployed) = with_a_site(&platform, "kept").await;
    assert_eq!(platform.loaded_modules(), 1);
    platform.kill();
    platform.start_again();
    let api = platform.api().with_token(api.token().expect("signed in"));
    let path = format!("/deployments/{}", text(&deployed["deployment_id"]));
    let shown = api.get(&path).await.expect(200);
    assert_eq!(shown["status"], "running", "{shown}");
    assert_eq!(platform.loaded_modules(), 0, "nobody has asked");
    says(&api, &deployed, "kept").await;
    assert_eq!(platform.loaded_modules(), 1);
    let shown = api.get(&path).await.expect(200);
    assert_eq!(shown["status"], "running", "{shown}");
}

#[tokio::test]
async fn an_application_that_nobody_asks_is_unloaded_and_no_request_fails_for_it() {
    let platform = Platform::start_with(&["--unload-idle-after", "1"]);
    let (api, _site, deployed) = with_a_site(&platform, "kept").await;
    says(&api, &deployed, "kept").await;
    until("the application to be unloaded", PATIENCE, || async {
        (platform.loaded_modules() == 0).then_some(())
    })
    .await;
    // Requests at every distance from the moment at which it is unloaded, several at once. The pauses are what
    // is tested: there is nothing to wait for.
    let began = Instant::now();
    let mut pause = Duration::from_millis(900);
    while began.elapsed() < Duration::from_secs(8) {
        let ask = || says(&api, &deployed, "kept");
        tokio::join!(ask(), ask(), ask(), ask());
        tokio::time::sleep(pause).await;
        pause += Duration::from_millis(40);
    }
    // What is being asked all the time stays.
    let until_then = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until_then {
        says(&api, &deployed, "kept").await;
        assert_eq!(platform.loaded_modules(), 1);
    }
}

#[tokio::test]
async fn a_revision_that_was_put_aside_serves_until_the_next_one_is_ready() {
    let mut platform = Platform::start();
    let (api, site, deployed) = with_a_site(&platform, "one").await;
    platform.kill();
    platform.start_again();
    let api = platform.api().with_token(api.token().expect("signed in"));
    let project = deployed["project_id"].as_i64().expect("a project");
    site.write("index.html", b"two");
    let _commit = site.commit("two");
    let never_ready = json!({
        "health_check_enabled": true, "readiness_check_path": "/nothing", "health_check_period": 1,
        "health_check_failure_threshold": 2, "health_check_timeout": 1,
    });
    let second = deploy(&api, project, &site, never_ready).await;
    says(&api, &deployed, "one").await;
    let path = format!("/deployments/{}", text(&second["deployment_id"]));
    until("the second revision to fail", PATIENCE, || async {
        let shown = api.get(&path).await.expect(200);
        (shown["status"] == "failed").then_some(())
    })
    .await;
    says(&api, &deployed, "one").await;
}

#[tokio::test]
async fn what_had_not_become_ready_before_a_crash_is_applied_without_a_request() {
    let mut platform = Platform::start_to_crash_at("target.prepared");
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let site = Repository::of_files("site", &[("index.html", b"kept")]);
    let build = api.build(project, "web", &site.file_url()).await;
    let request =
        json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
    let post = api.request(reqwest::Method::POST, "/deploy").json(&request);
    // The crash may come before the answer.
    let _ = api.try_send(post).await;
    platform.wait_for_crash().await;
    platform.start_again();
    until("the application to be loaded", PATIENCE, || async {
        (platform.loaded_modules() == 1).then_some(())
    })
    .await;
}
