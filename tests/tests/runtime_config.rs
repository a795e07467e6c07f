//! A runtime configuration as Spin reads it, given to `nokube up`.

use std::process::Command;

use nokube_tests::platform::{Platform, nokube, repository_root};
use serde_json::json;

#[tokio::test]
async fn files_and_variables_are_those_of_the_runtime_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, dotenv) = (
        folder.path().join("config.toml"),
        folder.path().join("variables"),
    );
    std::fs::write(&dotenv, "TEAM_REGISTRY=registry.example.test/team\n").expect("written");
    let text = format!(
        "[sqlite_database.auth]\ntype = \"spin\"\npath = \"state/people.db\"\n\
         [[variables_provider]]\ntype = \"env\"\nprefix = \"TEAM\"\ndotenv_path = \"{}\"\n",
        dotenv.display()
    );
    std::fs::write(&config, text).expect("written");
    let config = config.display().to_string();
    let platform = Platform::start_with(&["--no-runner", "--runtime-config", &config]);
    let api = platform.register_ada().await;
    let databases = platform.data_dir().join("data/db");
    assert!(databases.join("state/people.db").is_file());
    assert!(!databases.join("auth.db").exists());
    assert!(
        databases.join("platform.db").is_file(),
        "a label that is not mentioned is named by its label"
    );

    let project = api.create_project("shop").await;
    let build = json!({ "project_id": project, "service_name": "web", "builder": "simulated",
        "repository_url": "https://example.org/shop.git" });
    let build = api.post("/builds", &build).await.expect(202);
    let name = build["image_full_name"].as_str().expect("a name");
    assert!(name.starts_with("registry.example.test/team/"), "{name}");
}

#[test]
fn a_variable_that_an_option_settles_stops_the_start() {
    let data = tempfile::tempdir().expect("a folder");
    let output = Command::new(nokube())
        .args(["up", "--listen", "127.0.0.1:0", "--no-runner"])
        .args(["--variable", "trusted_proxies=10.0.0.1", "--data-dir"])
        .arg(data.path())
        .arg("--manifest")
        .arg(repository_root().join("spin.toml"))
        .output()
        .expect("nokube runs");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("give --trusted-proxies"), "{said}");
    let left = std::fs::read_dir(data.path()).expect("a folder").count();
    assert_eq!(left, 0, "nothing was begun");
}
