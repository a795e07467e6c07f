//! The platform killed (`kill -9`) between any two steps of the main job and started again: nothing
//! acknowledged is lost, each build ends, and what ran is served again without a user's request.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nokube_tests::api::Api;
use nokube_tests::guests::probe;
use nokube_tests::platform::{Platform, nokube, repository_root};
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const RECOVERY: Duration = Duration::from_secs(60);

fn site(text: &str) -> Repository {
    Repository::of_files("site", &[("index.html", text.as_bytes())])
}

/// The address answers this text, by itself, soon after the start.
async fn serves(api: &Api, url: &str, text: &str) {
    until(&format!("{url} to serve {text:?}"), RECOVERY, || async {
        api.visit(url, "/")
            .await
            .ok()
            .filter(|answer| answer.text == text)
            .map(|_| ())
    })
    .await;
}

/// Builds while the platform dies at `point`; the build must succeed after the restart all the same.
async fn a_build_survives_a_crash_at(point: &str) {
    let mut platform = Platform::start_to_crash_at(point);
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let repository = site("kept");
    let id = api
        .start_build(project, "web", &repository.file_url())
        .await;
    platform.wait_for_crash().await;
    platform.start_again();
    let api = platform.api().with_token(api.token().expect("signed in"));
    let build = api.wait_for_build(&id).await;
    assert_eq!(
        build["status"],
        "success",
        "{build}\n{}",
        api.build_log(&id).await
    );
    let request = json!({ "project_id": project, "service_name": "web", "build_id": id });
    let url = api.deploy(&request).await["access_url"]
        .as_str()
        .expect("an address")
        .to_owned();
    serves(&api, &url, "kept").await;
}

#[tokio::test]
async fn a_build_survives_a_crash_when_it_was_leased() {
    a_build_survives_a_crash_at("runner.leased").await;
}

#[tokio::test]
async fn a_build_survives_a_crash_during_clone() {
    a_build_survives_a_crash_at("runner.cloning").await;
}

#[tokio::test]
async fn a_build_survives_a_crash_during_packing() {
    a_build_survives_a_crash_at("runner.packing").await;
}

#[tokio::test]
async fn a_build_survives_a_crash_before_its_result_is_told() {
    a_build_survives_a_crash_at("runner.before_result").await;
}

#[tokio::test]
async fn a_build_survives_a_crash_while_its_artifact_is_stored() {
    a_build_survives_a_crash_at("sidecar.artifact_received").await;
}

#[tokio::test]
async fn a_build_that_was_acknowledged_survives_a_kill_at_once() {
    let mut platform = Platform::start();
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let repository = site("kept");
    let id = api
        .start_build(project, "web", &repository.file_url())
        .await;
    platform.kill();
    platform.start_again();
    let api = platform.api().with_token(api.token().expect("signed in"));
    assert_eq!(api.wait_for_build(&id).await["status"], "success");
}

/// Deploys while the platform dies at `point`. Whether the request was answered or not, the recorded
/// deployment must come up after the restart.
async fn a_deployment_survives_a_crash_at(point: &str) {
    let mut platform = Platform::start_to_crash_at(point);
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let repository = site("kept");
    let build = api.build(project, "web", &repository.file_url()).await;
    let request = json!({
        "project_id": project, "service_name": "web", "build_id": build["build_id"],
        "secrets": { "API_KEY": "sealed" },
    });
    let post = api.request(reqwest::Method::POST, "/deploy").json(&request);
    // The crash may come before the answer: that is the point of the test.
    let _ = api.try_send(post).await;
    platform.wait_for_crash().await;
    platform.start_again();
    let api = platform.api().with_token(api.token().expect("signed in"));
    let listed = api
        .get(&format!("/deployments?project_id={project}"))
        .await
        .expect(200);
    let deployment = &listed["data"][0];
    let id = deployment["deployment_id"]
        .as_str()
        .expect("the deployment was recorded before the hand-over");
    let running = api.wait_until_running(id, 1).await;
    serves(
        &api,
        running["access_url"].as_str().expect("an address"),
        "kept",
    )
    .await;
}

#[tokio::test]
async fn a_deployment_survives_a_crash_after_its_row_was_written() {
    a_deployment_survives_a_crash_at("sidecar.app_received").await;
}

#[tokio::test]
async fn a_deployment_survives_a_crash_during_hand_over() {
    a_deployment_survives_a_crash_at("sidecar.app_stored").await;
}

#[tokio::test]
async fn a_deployment_survives_a_crash_before_the_tenants_process_knows_it() {
    a_deployment_survives_a_crash_at("target.prepared").await;
}

/// A request that has begun to be answered and will not end for a while.
async fn begin_endless_request(url: &str) -> TcpStream {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let (_, port) = host.rsplit_once(':').expect("an address with a port");
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))
        .await
        .expect("a connection");
    let request = format!("GET /stream?/sleep HTTP/1.1\r\nhost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    while !text.contains("begun") {
        let mut bytes = [0; 1024];
        let length = stream.read(&mut bytes).await.expect("an answer begins");
        assert_ne!(length, 0, "the answer ended too soon: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    stream
}

#[tokio::test]
async fn the_new_revision_is_served_after_a_crash_while_the_old_one_drains() {
    let probe = probe();
    let mut platform = Platform::start_to_crash_at("tenants.draining");
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let manifest = include_bytes!("fixtures/probe-spin.toml");
    let repository =
        Repository::of_files("probe", &[("spin.toml", manifest), ("probe.wasm", &probe)]);
    let build = api.build(project, "web", &repository.file_url()).await;
    let revision = |name: &str| {
        json!({
            "project_id": project, "service_name": "web", "build_id": build["build_id"],
            "env_vars": { "REVISION": name },
        })
    };
    let first = api.deploy(&revision("one")).await;
    let url = first["access_url"].as_str().expect("an address").to_owned();
    answers_as(&api, &url, "one").await;

    let mut in_flight = begin_endless_request(&url).await;
    let request = api.request(reqwest::Method::POST, "/deploy");
    // The crash may come before the answer: what is wanted is stored before it is handed over.
    if let Ok(answer) = api.try_send(request.json(&revision("two"))).await {
        let _ = answer.expect(202);
    }
    platform.wait_for_crash().await;
    // It was being answered by the old revision to the last: neither finished nor cut off before the crash.
    let mut rest = Vec::new();
    let _ = in_flight.read_to_end(&mut rest).await;
    assert_eq!(String::from_utf8_lossy(&rest).trim(), "");

    platform.start_again();
    let api = platform.api().with_token(api.token().expect("signed in"));
    answers_as(&api, &url, "two").await;
    api.wait_until_running(first["deployment_id"].as_str().expect("an id"), 2)
        .await;
}

/// The probe at this address answers as this revision, by itself, soon after the start.
async fn answers_as(api: &Api, url: &str, revision: &str) {
    let wanted = format!(r#""REVISION":"{revision}""#);
    until(&format!("{url} to be {revision}"), RECOVERY, || async {
        let answer = api.visit(url, "/env").await.ok()?;
        answer.text.contains(&wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn running_applications_and_sessions_are_back_after_a_kill_and_a_ctrl_c() {
    let mut platform = Platform::start();
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let repository = site("kept");
    let build = api.build(project, "web", &repository.file_url()).await;
    let request =
        json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
    let url = api.deploy(&request).await["access_url"]
        .as_str()
        .expect("an address")
        .to_owned();
    platform.kill();
    platform.start_again();
    let api = platform.api().with_token(api.token().expect("signed in"));
    serves(&api, &url, "kept").await;
    assert_eq!(platform.interrupt(), Some(0), "Ctrl-C ends it cleanly");
    platform.start_again();
    let api = platform.api().with_token(api.token().expect("signed in"));
    serves(&api, &url, "kept").await;
    assert_eq!(api.get("/auth/me").await.expect(200)["username"], "ada");
}

/// A child of `parent` that compiles, once it has given up its rights: by then it is bound to its parent.
fn compiler_of(parent: u32) -> Option<String> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).ok()?;
    let children: Vec<String> = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|text| text.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    children.into_iter().find(|pid| {
        let read = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        read("cmdline").contains("\0compile\0") && read("status").contains("NoNewPrivs:\t1")
    })
}

struct KilledAtTheEnd(Child);

impl Drop for KilledAtTheEnd {
    fn drop(&mut self) {
        // Mostly it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_compiler_ends_with_the_platform_that_wants_its_work() {
    let data = tempfile::tempdir().expect("a folder");
    let platform = Command::new(nokube())
        .args(["up", "--no-runner", "--listen", "127.0.0.1:0", "--manifest"])
        .arg(repository_root().join("spin.toml"))
        .arg("--data-dir")
        .arg(data.path().join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nokube starts");
    let mut platform = KilledAtTheEnd(platform);
    let parent = platform.0.id();
    let compiler = until("the platform to compile", RECOVERY, || {
        // Stopped, so that it does not end because it is done.
        let stop = |pid: &String| Command::new("kill").args(["-STOP", pid]).status();
        let found =
            compiler_of(parent).filter(|pid| stop(pid).is_ok_and(|status| status.success()));
        std::future::ready(found)
    })
    .await;
    platform.0.kill().expect("killed");
    platform.0.wait().expect("ended");
    until("the compiler to end", RECOVERY, || async {
        let stat = fs::read_to_string(format!("/proc/{compiler}/stat")).unwrap_or_default();
        // Its entry stays until somebody asks how it ended.
        let over = stat.is_empty() || stat.contains(") Z ");
        over.then_some(())
    })
    .await;
}
