//! What an earlier version left goes on with this one: its databases migrate, its users sign in, its
//! applications are served.
//!
//! `tests/fixtures/upgrade/<version>/backup.tar.gz` is a backup that a version made of a short story, by
//! `cargo xtask fixture`. Its keys belong to nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nokube_tests::platform::{Platform, nokube, repository_root};
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use serde_json::json;

const RECOVERY: Duration = Duration::from_secs(60);
/// Fixtures are kept for good.
const MOST_BYTES: u64 = 300 << 10;
/// Where `cargo xtask fixture` wants a new one.
const MAKE: &str = "NOKUBE_FIXTURE";

fn fixtures() -> Vec<PathBuf> {
    let folder = repository_root().join("tests/fixtures/upgrade");
    let mut found: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("a folder of fixtures")
        .filter_map(|entry| Some(entry.ok()?.path().join("backup.tar.gz")))
        .filter(|file| file.is_file())
        .collect();
    found.sort();
    found
}

/// What every fixture is of: ada has a project whose service `web` serves one page, in its second
/// revision, with a secret. Makes nothing unless it is told where.
#[tokio::test]
async fn make_the_fixture() {
    let Some(file) = std::env::var_os(MAKE).map(PathBuf::from) else {
        return;
    };
    let platform = Platform::start();
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let repository = Repository::of_files("site", &[("index.html", b"kept")]);
    let build = api.build(project, "web", &repository.file_url()).await;
    let request = json!({
        "project_id": project, "service_name": "web", "build_id": build["build_id"],
        "secrets": { "API_KEY": "sealed" },
    });
    api.deploy(&request).await;
    let again = json!({
        "project_id": project, "service_name": "web", "build_id": build["build_id"],
        "env_vars": { "COLOUR": "blue" },
    });
    api.deploy(&again).await;
    let _ = std::fs::remove_file(&file);
    backup(&platform.data_dir().join("data"), &file);
}

fn backup(data: &Path, file: &Path) {
    let made = Command::new(nokube())
        .arg("backup")
        .arg(file)
        .arg("--data-dir")
        .arg(data)
        .status();
    assert!(made.is_ok_and(|status| status.success()), "no backup");
}

#[tokio::test]
async fn what_each_version_left_goes_on_with_this_one() {
    let fixtures = fixtures();
    assert!(!fixtures.is_empty(), "there is nothing to try");
    for file in fixtures {
        let size = std::fs::metadata(&file).expect("the fixture").len();
        assert!(size <= MOST_BYTES, "{} is too large", file.display());
        goes_on(&file).await;
    }
}

async fn goes_on(file: &Path) {
    let platform = Platform::start_of_backup(file);
    let api = platform.api();
    let login = json!({ "username": "ada", "password": "correct horse ada" });
    let session = api.post("/auth/login", &login).await.expect(200);
    let api = api.with_token(session["access_token"].as_str().expect("a token"));
    let listed = api.get("/deployments").await.expect(200);
    let id = listed["data"][0]["deployment_id"].as_str().expect("an id");
    let running = api.wait_until_running(id, 2).await;
    assert_eq!(running["spec"]["env_vars"]["COLOUR"], "blue");
    until("the application to be served", RECOVERY, || async {
        // Its row has the old platform's address until the new one has told it again.
        let deployment = api.get(&format!("/deployments/{id}")).await.expect(200);
        let url = deployment["access_url"].as_str()?;
        let answer = api.visit(url, "/").await.ok()?;
        (answer.text == "kept").then_some(())
    })
    .await;
    let rollback = json!({ "revision": 1 });
    let path = format!("/deployments/{id}/rollback");
    api.post(&path, &rollback).await.expect(202);
    api.wait_until_running(id, 3).await;
}
