//! The same components, manifest and runtime configuration under Spin itself, deploys included, with
//! `nokube sidecar --target local` beside it, by the lines of the README.
//!
//! Spin is on no package registry: `cargo xtask test` says that this was not run when there is no `spin`
//! on the path (or in `NOKUBE_SPIN`).

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nokube_tests::api::Api;
use nokube_tests::needs;
use nokube_tests::platform::{nokube, repository_root};
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use serde_json::json;

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

fn start(command: &mut Command, folder: &Path, log: &str) -> Running {
    let log = std::fs::File::create(folder.join(log)).expect("a log file");
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log file"))
        .stderr(log);
    Running(command.spawn().expect("the program starts"))
}

#[tokio::test]
async fn a_release_is_built_deployed_replaced_and_rolled_back_under_spin() {
    let Some(spin) = needs::program("spin", Some("NOKUBE_SPIN")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new(nokube())
        .args(["keys", "--data-dir"])
        .arg(folder.path().join("data"))
        .output()
        .expect("nokube runs");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let keys = std::fs::read_to_string(folder.path().join("data/keys.env")).expect("keys");
    let (platform, sidecar, apps) = (free_port(), free_port(), free_port());
    let [platform_url, sidecar_url] =
        [platform, sidecar].map(|port| format!("http://127.0.0.1:{port}"));

    let mut command = Command::new(spin);
    command
        .args(["up", "-f"])
        .arg(repository_root().join("spin.toml"))
        .arg("--runtime-config-file")
        .arg(repository_root().join("runtime-config/local.toml"))
        .args(["--listen", &format!("127.0.0.1:{platform}")])
        .envs(
            keys.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(|line| line.split_once('=')),
        )
        .env("SPIN_VARIABLE_GIT_ACCESS", "local")
        .env("SPIN_VARIABLE_PLATFORM_URL", &platform_url)
        .env("SPIN_VARIABLE_SIDECAR_URL", &sidecar_url)
        .env("SPIN_VARIABLE_BLOB_URL", &sidecar_url);
    let _spin = start(&mut command, folder.path(), "spin.log");
    let mut command = Command::new(nokube());
    command
        .args([
            "sidecar",
            "--target",
            "local",
            "--data-dir",
            "data",
            "--platform-url",
            &platform_url,
        ])
        .args([
            "--listen",
            &format!("127.0.0.1:{sidecar}"),
            "--apps-listen",
            &format!("127.0.0.1:{apps}"),
        ]);
    let _sidecar = start(&mut command, folder.path(), "sidecar.log");

    until(
        "the platform to answer under Spin",
        Duration::from_secs(60),
        || async {
            let answer = reqwest::get(format!("{platform_url}/health")).await.ok()?;
            (answer.status() == 200).then_some(())
        },
    )
    .await;
    let setup_code = keys
        .lines()
        .find_map(|line| line.strip_prefix("SPIN_VARIABLE_SETUP_CODE="))
        .expect("the keys hold a setup code");
    let api = Api::new(&platform_url)
        .register("ada", Some(setup_code))
        .await;
    assert_eq!(api.get("/auth/me").await.expect(200)["role"], "admin");
    let project = api.create_project("shop").await;
    let repository = Repository::of_files("site", &[("index.html", b"one")]);
    let release = |build: serde_json::Value| json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
    let build = api.build(project, "web", &repository.file_url()).await;
    let deployed = api.deploy(&release(build)).await;
    let url = deployed["access_url"]
        .as_str()
        .expect("an address")
        .to_owned();
    assert_eq!(api.visit(&url, "/").await.expect("it answers").text, "one");
    repository.write("index.html", b"two");
    let _commit = repository.commit("two");
    let build = api.build(project, "web", &repository.file_url()).await;
    let deployed = api.deploy(&release(build)).await;
    assert_eq!(api.visit(&url, "/").await.expect("it answers").text, "two");
    let id = deployed["deployment_id"].as_str().expect("an id");
    api.post(
        &format!("/deployments/{id}/rollback"),
        &json!({ "revision": 1 }),
    )
    .await
    .expect(202);
    api.wait_until_running(id, 3).await;
    assert_eq!(api.visit(&url, "/").await.expect("it answers").text, "one");
    api.get("/nonsense").await.problem(404);
    api.delete(&format!("/projects/{project}"))
        .await
        .expect(204);
}
