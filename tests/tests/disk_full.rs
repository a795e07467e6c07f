//! The disk is full: what cannot be stored is answered 503, what was acknowledged stays, and everything
//! works again by itself once there is room.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nokube_tests::api::{Answer, Api};
use nokube_tests::guests;
use nokube_tests::needs;
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use reqwest::Method;
use serde_json::json;

const DISK_BYTES: u64 = 96 << 20;
/// A full write-ahead log is 4 MiB and a change takes some 20 KiB of it.
const MOST_CHANGES: usize = 3_000;
const RECOVERY: Duration = Duration::from_secs(60);

/// An application with a database of its own.
async fn notes(api: &Api, project: i64, wasm: &[u8]) -> String {
    let files: [(&str, &[u8]); 2] = [
        ("spin.toml", guests::NOTES_MANIFEST.as_bytes()),
        ("notes.wasm", wasm),
    ];
    let repository = Repository::of_files("notes", &files);
    let build = api.build(project, "notes", &repository.file_url()).await;
    let request =
        json!({ "project_id": project, "service_name": "notes", "build_id": build["build_id"] });
    let deployment = api.deploy(&request).await;
    deployment["access_url"]
        .as_str()
        .expect("an address")
        .to_owned()
}

/// Whether it could be kept. An application that can't is not ended for it: it answers.
async fn is_noted(api: &Api, url: &str) -> bool {
    let body = json!({ "text": "x".repeat(1_000) }).to_string();
    let answer = api.visit_with(url, "/notes", Method::POST, &body).await;
    let answer = answer.expect("an answer");
    assert!(matches!(answer.status.as_u16(), 201 | 500), "{answer:?}");
    answer.status == 201
}

/// Takes all room that is left.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("ballast");
    let mut file = File::create(&path).expect("the ballast can be made");
    let block = vec![0xa5_u8; 1 << 20];
    let mut size = block.len();
    while size > 0 {
        if file.write_all(&block[..size]).is_err() {
            size /= 2;
        }
    }
    path
}

/// 2xx, or 503 with the time to come back; nothing else, and never no answer.
fn stored_or_full(answer: &Answer) -> bool {
    if answer.status.is_success() {
        return true;
    }
    answer.problem(503);
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    false
}

async fn describe(api: &Api, project: i64, text: &str) -> bool {
    let request = api.request(Method::PATCH, &format!("/projects/{project}"));
    let answer = api
        .send(request.json(&json!({ "description": text })))
        .await;
    stored_or_full(&answer)
}

/// A program among the mounts that the platform sees. False where that is not allowed.
fn among_its_mounts(platform: &Platform, program: &[&str]) -> bool {
    let disk = platform.data_dir().join("data");
    Command::new("nsenter")
        .args([
            "--target",
            &platform.inner_pid().to_string(),
            "--mount",
            "--",
        ])
        .args(program)
        .arg(disk)
        .status()
        .is_ok_and(|status| status.success())
}

/// Files that are open stay writable, as they would on no disk that turned read-only as a whole; all
/// that is opened from here on is not.
#[tokio::test]
async fn a_read_only_disk_is_said_and_survived() {
    let Some(platform) = Platform::start_on_small_disk(DISK_BYTES) else {
        return;
    };
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let repository = Repository::of_files("site", &[("index.html", b"one")]);
    let build = api.build(project, "web", &repository.file_url()).await;
    let request =
        json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
    let deployment = api.deploy(&request).await;
    let url = deployment["access_url"]
        .as_str()
        .expect("an address")
        .to_owned();
    let id = deployment["deployment_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let disk = platform.data_dir().join("data");
    let disk = disk.to_str().expect("a plain path");
    let is_read_only = among_its_mounts(&platform, &["mount", "--rbind", disk])
        && among_its_mounts(&platform, &["mount", "-o", "remount,bind,ro"]);
    if !needs::ability("remounts", is_read_only) {
        return;
    }
    let at_once = async || {
        // More than there are open connections, so that new ones are opened.
        let text = "x".repeat(400);
        let all = (0..24).map(|_| describe(&api, project, &text));
        futures::future::join_all(all).await
    };
    at_once().await;
    // The sidecar makes a new file for each wish.
    let restart = api.request(Method::POST, &format!("/deployments/{id}/restart"));
    if stored_or_full(&api.send(restart).await) {
        let shown = api.get(&format!("/deployments/{id}")).await.expect(200);
        assert_eq!(shown["status"], "pending", "{shown}");
    }
    let upload = format!("/builds/upload?project_id={project}&service_name=up");
    let answer = api.send(api.request(Method::POST, &upload).body("x")).await;
    assert!(!stored_or_full(&answer), "nothing can be uploaded");
    assert_eq!(api.visit(&url, "/").await.expect("an answer").text, "one");

    assert!(among_its_mounts(&platform, &["umount", "--lazy"]));
    until("all changes to be stored again", RECOVERY, || async {
        at_once().await.iter().all(|stored| *stored).then_some(())
    })
    .await;
    api.wait_until_running(&id, 1).await;
    let build = api.build(project, "two", &repository.file_url()).await;
    let request =
        json!({ "project_id": project, "service_name": "two", "build_id": build["build_id"] });
    api.deploy(&request).await;
}

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    // Compiled first: meanwhile a kept connection would be closed.
    let wasm = std::fs::read(guests::example("notes")).expect("it was built");
    let Some(platform) = Platform::start_on_small_disk(DISK_BYTES) else {
        return;
    };
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let repository = Repository::of_files("site", &[("index.html", b"one")]);
    let build = api.build(project, "web", &repository.file_url()).await;
    let request =
        json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
    let deployment = api.deploy(&request).await;
    let url = deployment["access_url"]
        .as_str()
        .expect("an address")
        .to_owned();
    let id = deployment["deployment_id"]
        .as_str()
        .expect("an id")
        .to_owned();

    let notes = notes(&api, project, &wasm).await;
    assert!(is_noted(&api, &notes).await);

    let ballast = fill(&platform.small_disk());
    // Room that the databases have already is used up first.
    let mut stored = String::new();
    let mut refused = 0;
    for n in 0..MOST_CHANGES {
        let text = format!("{n} {}", "x".repeat(400));
        if describe(&api, project, &text).await {
            stored = text;
        } else {
            refused += 1;
        }
        if n % 50 == 0 {
            let restart = api.request(Method::POST, &format!("/deployments/{id}/restart"));
            stored_or_full(&api.send(restart).await);
        }
        if refused >= 20 {
            break;
        }
    }
    assert!(refused >= 20, "the disk never was full");
    let login = json!({ "username": "ada", "password": "correct horse ada" });
    stored_or_full(&api.post("/auth/login", &login).await);
    stored_or_full(&api.post("/deploy", &request).await);
    let upload = format!("/builds/upload?project_id={project}&service_name=up");
    stored_or_full(&api.send(api.request(Method::POST, &upload).body("x")).await);
    // Reading needs no room, and neither does what runs.
    let shown = api.get(&format!("/projects/{project}")).await.expect(200);
    // None when the disk was full before the first.
    assert_eq!(shown["description"].as_str().unwrap_or_default(), stored);
    assert_eq!(api.visit(&url, "/").await.expect("an answer").text, "one");
    // Databases of applications stop at the reserve already.
    assert!(!is_noted(&api, &notes).await);

    std::fs::remove_file(ballast).expect("the ballast goes");
    until("changes to be stored again", RECOVERY, || async {
        describe(&api, project, "there is room").await.then_some(())
    })
    .await;
    until("notes to be kept again", RECOVERY, || async {
        is_noted(&api, &notes).await.then_some(())
    })
    .await;
    let read = api.visit(&notes, "/notes").await.expect("an answer");
    assert_eq!(read.json()["notes"].as_array().map(Vec::len), Some(2));
    api.post("/auth/login", &login).await.expect(200);
    repository.write("index.html", b"two");
    let _commit = repository.commit("two");
    let build = api.build(project, "web", &repository.file_url()).await;
    let request =
        json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
    api.deploy(&request).await;
    until("the new revision to be served", RECOVERY, || async {
        let answer = api.visit(&url, "/").await.ok()?;
        (answer.text == "two").then_some(())
    })
    .await;
}
