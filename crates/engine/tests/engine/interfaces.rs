//! What a component is granted, and what not: environment, files, variables, databases, stores.

use std::collections::BTreeMap;

use nokube_spinapp::locked::LockedVariable;
use serde_json::json;

use crate::support::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_has_its_own_environment_below_the_configured_one_and_nothing_of_the_process() {
    let mut stage = Stage::new("env");
    stage.config.environment = BTreeMap::from([
        ("BOTH".to_owned(), "config".to_owned()),
        ("ONE".to_owned(), "1".to_owned()),
    ]);
    stage.config.locked.components[0].env =
        BTreeMap::from(["BOTH", "TWO"].map(|name| (name.to_owned(), "manifest".to_owned())));
    let served = stage.serve().await;
    assert_eq!(
        served.get("/env").await.json(),
        json!({ "BOTH": "config", "ONE": "1", "TWO": "manifest" })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_there_to_read_and_nothing_else() {
    let mut stage = Stage::new("files");
    let files = stage.dir.path().join("files");
    std::fs::create_dir(&files).expect("a folder");
    std::fs::write(files.join("hello.txt"), "hello").expect("a file");
    std::fs::write(stage.dir.path().join("secret.txt"), "secret").expect("a file");
    std::os::unix::fs::symlink("../secret.txt", files.join("link")).expect("a link");
    if let Some(component) = stage.config.components.get_mut("probe") {
        component.files = Some(files);
    }
    let served = stage.serve().await;
    let mut seen = served.get("/files").await.json();
    if let Some(names) = seen["names"].as_array_mut() {
        names.sort_by_key(ToString::to_string);
    }
    let expected = json!({ "names": ["hello.txt", "link"], "text": "hello", "outside": false, "written": false });
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_are_filled_in_and_only_the_declared_ones_are_there() {
    let mut stage = Stage::new("variables");
    let variable = |default: Option<&str>| LockedVariable {
        default: default.map(str::to_owned),
        ..LockedVariable::default()
    };
    stage.config.locked.variables = BTreeMap::from([
        ("host".to_owned(), variable(None)),
        ("port".to_owned(), variable(Some("80"))),
    ]);
    stage.config.locked.components[0].config =
        BTreeMap::from([("url".to_owned(), "http://{{ host }}:{{ port }}/".to_owned())]);
    stage.config.variables = BTreeMap::from([("host".to_owned(), "example.test".to_owned())]);
    let served = stage.serve().await;
    assert_eq!(
        served.get("/variable?url").await.body,
        "http://example.test:80/"
    );
    assert_eq!(
        served.get("/variable?host").await.status,
        502,
        "the application's variable is not the component's"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_and_stores_are_the_granted_ones_and_outlive_instances() {
    let metadata = json!({ "databases": ["default"], "key_value_stores": ["default"] });
    let mut stage = Stage::of("data", &[("probe", json!("/..."))], &metadata);
    let path = |name: &str| stage.dir.path().join(name);
    stage.config.sqlite = BTreeMap::from([
        ("default".to_owned(), path("a.db")),
        ("other".to_owned(), path("b.db")),
    ]);
    stage.config.key_value = BTreeMap::from([("default".to_owned(), path("kv.db"))]);
    let served = stage.serve().await;
    for count in ["1", "2", "3"] {
        assert_eq!(served.get("/sqlite?default").await.body, count);
        assert_eq!(served.get("/key-value?default").await.body, count);
    }
    for path in ["/sqlite?other", "/sqlite?auth", "/key-value?other"] {
        assert_eq!(served.get(path).await.status, 502, "{path}");
    }
    assert!(!served.stage.dir.path().join("b.db").exists());
}
