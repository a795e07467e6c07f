//! What is found before an application answers its first request.

use std::os::unix::fs::PermissionsExt;

use nokube_engine::AppConfig;
use nokube_spinapp::locked::LockedVariable;
use serde_json::json;

use crate::support::{Stage, engine, probe_wasm};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_told_at_once() {
    let metadata = json!({ "databases": ["auth"], "key_value_stores": ["cache"] });
    let mut stage = Stage::of("faults", &[("probe", json!("/..."))], &metadata);
    stage
        .config
        .locked
        .variables
        .insert("api_key".to_owned(), LockedVariable::default());
    if let Some(component) = stage.config.components.get_mut("probe") {
        component.module = stage.dir.path().join("missing.cwasm");
        component.files = Some(stage.dir.path().join("missing"));
    }
    let error = engine()
        .load(stage.config.clone())
        .await
        .expect_err("it has faults");
    let text = error.to_string();
    for part in [
        "api_key",
        "API_KEY",
        "\"auth\"",
        "\"cache\"",
        "missing.cwasm",
        "its files",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(error.faults.len(), 5, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_nobody_provides_is_named_with_a_remedy() {
    let stage = Stage::new("imports");
    let wat = r#"(component
        (import "spin:redis/redis@3.0.0" (instance))
        (import "wasi:http/types@0.2.0-rc-2023-11-10" (instance (export "x" (func)))))"#;
    let error = load_wat(stage, wat).await;
    assert!(
        error.contains("spin:redis/redis@3.0.0") && error.contains("key-value store"),
        "{error}"
    );
    assert!(error.contains("wasi:http/types@0.2.0-rc"), "{error}");
}

/// The names of docs/decisions/0024, in the versions that Spin has them in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_interface_that_is_left_out_has_its_own_remedy() {
    let told = [
        ("spin:postgres/postgres@3.0.0", "no PostgreSQL here yet"),
        ("spin:postgres/postgres@4.0.0", "no PostgreSQL here yet"),
        ("fermyon:spin/postgres@2.0.0", "no PostgreSQL here yet"),
        ("fermyon:spin/rdbms-types@2.0.0", "no PostgreSQL or MySQL"),
        ("spin:mysql/mysql@3.0.0", "no MySQL here; use SQLite"),
        ("fermyon:spin/mysql@2.0.0", "no MySQL here; use SQLite"),
        ("spin:redis/redis@3.0.0", "no Redis here"),
        ("fermyon:spin/redis@2.0.0", "no Redis here"),
        ("spin:mqtt/mqtt@3.0.0", "no MQTT here"),
        ("fermyon:spin/mqtt@2.0.0", "no MQTT here"),
        ("spin:llm/llm@3.0.0", "no AI inference here"),
        ("fermyon:spin/llm@2.0.0", "no AI inference here"),
    ];
    let imports: String = told
        .iter()
        .map(|(name, _)| format!(r#"(import "{name}" (instance (export "x" (func))))"#))
        .collect();
    let error = load_wat(Stage::new("left-out"), &format!("(component {imports})")).await;
    for (name, remedy) in told {
        let (_, after) = error.split_once(&format!("imports {name}, ")).expect(name);
        let sentence = after.split("; component ").next().unwrap_or_default();
        assert!(sentence.contains(remedy), "{name}: {sentence}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interfaces_of_spin_1_are_refused_by_name() {
    // Without a version they are of Spin 1; with 2.0.0 the first three are provided.
    let names = [
        "fermyon:spin/config",
        "fermyon:spin/http",
        "fermyon:spin/key-value",
        "fermyon:spin/sqlite",
        "fermyon:spin/variables",
    ];
    let imports: String = names
        .iter()
        .map(|name| format!(r#"(import "{name}" (instance (export "x" (func))))"#))
        .collect();
    let error = load_wat(Stage::new("spin-1"), &format!("(component {imports})")).await;
    for name in names {
        let told = format!("imports {name}, which is not provided here: it is of Spin 1");
        assert!(error.contains(&told), "{name} in {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_answers_no_requests_is_refused() {
    let error = load_wat(Stage::new("no-http"), "(component)").await;
    assert!(error.contains("wasi:http/incoming-handler"), "{error}");
}

async fn load_wat(mut stage: Stage, wat: &str) -> String {
    let path = stage.dir.path().join("component.wasm");
    std::fs::write(&path, wat::parse_str(wat).expect("valid text")).expect("written");
    if let Some(component) = stage.config.components.get_mut("probe") {
        component.module = path;
    }
    engine()
        .load(stage.config.clone())
        .await
        .expect_err("it has faults")
        .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_others_can_write_is_not_run() {
    let mut stage = Stage::new("writable");
    let path = stage.dir.path().join("probe.cwasm");
    std::fs::copy(crate::support::probe(), &path).expect("copied");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("changed");
    if let Some(component) = stage.config.components.get_mut("probe") {
        component.module = path;
    }
    let error = engine()
        .load(stage.config.clone())
        .await
        .expect_err("it is refused")
        .to_string();
    assert!(
        error.contains("could have been written by somebody else"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lazy_application_opens_its_modules_at_the_first_request() {
    let mut stage = Stage::new("lazy");
    stage.config.lazy = true;
    assert_eq!(stage.serve().await.get("/ok").await.body, "ok");
    let mut stage = Stage::new("lazy-broken");
    stage.config.lazy = true;
    let path = stage.dir.path().join("broken.wasm");
    std::fs::write(&path, "not wasm").expect("written");
    if let Some(component) = stage.config.components.get_mut("probe") {
        component.module = path;
    }
    let served = stage.serve().await;
    assert_eq!(served.get("/ok").await.status, 500);
    served.logged("could not be started").await;
}

#[test]
fn a_module_that_is_not_a_component_is_refused_with_a_remedy() {
    let error = engine().compile(b"\0asm\x01\0\0\0").expect_err("a module");
    assert!(error.to_string().contains("wasm32-wasip2"), "{error}");
    assert!(engine().compile(b"nonsense").is_err());
    assert!(probe_wasm().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_travels_as_json_and_keeps_its_secrets_out_of_debug() {
    let mut stage = Stage::new("json");
    stage
        .config
        .variables
        .insert("token".to_owned(), "s3cr3t".to_owned());
    let text = serde_json::to_string(&stage.config).expect("JSON");
    let read: AppConfig = serde_json::from_str(&text).expect("a configuration");
    assert_eq!(read.locked, stage.config.locked);
    assert_eq!(read.variables, stage.config.variables);
    assert!(!format!("{:?}", stage.config).contains("s3cr3t"));
    assert!(serde_json::from_str::<AppConfig>(&text.replace("\"hosts\"", "\"hostz\"")).is_err());
}
