//! Locked applications, against what Spin itself wrote.

use serde_json::json;

use super::*;
use crate::manifest::{ComponentContent, Manifest};

const WASM: &str = "sha256:658501297a947a751004a112fecc139e9943aa919f75a32f51fd059fa0f3e945";

fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The fixture as Spin wrote it, before it was formatted for reading.
fn compact(name: &str) -> Vec<u8> {
    let text = fixture(name);
    let mut compact = String::new();
    let mut in_text = false;
    for c in text.chars() {
        if c == '"' {
            in_text = !in_text;
        }
        if in_text || !c.is_whitespace() {
            compact.push(c);
        }
    }
    compact.into_bytes()
}

fn inline(text: &str, digest: &str, path: &str) -> ContentPath {
    ContentPath {
        content: ContentRef {
            source: None,
            inline: Some(text.as_bytes().to_vec()),
            digest: Some(digest.to_owned()),
        },
        path: path.to_owned(),
    }
}

fn lock(name: &str) -> LockedApp {
    let manifest = Manifest::parse(&fixture(&format!("{name}/spin.toml"))).unwrap();
    manifest.lock(|component| ComponentContent {
        source: ContentRef {
            digest: Some(WASM.to_owned()),
            ..ContentRef::default()
        },
        files: if component.files.is_empty() {
            Vec::new()
        } else {
            vec![
                inline(
                    "<h1>hi</h1>\n",
                    "sha256:737e6daf77521604fc482aa91e8bed8c47f4815c624e61e49c45ecbb5832f708",
                    "index.html",
                ),
                inline(
                    "b{}\n",
                    "sha256:c2e78553799004b5b0aa0b2f4393a49cd4ce77790f1463758ea8c1a355936bf7",
                    "sub/a.css",
                ),
            ]
        },
    })
}

#[test]
fn a_manifest_is_locked_into_the_very_bytes_that_spin_wrote() {
    for name in ["probe", "site"] {
        let wanted = compact(&format!("{name}/locked-app.json"));
        let written = lock(name).to_json();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            String::from_utf8(wanted).unwrap()
        );
    }
}

#[test]
fn what_spin_wrote_is_read_and_written_unchanged() {
    for name in ["probe", "site"] {
        let bytes = compact(&format!("{name}/locked-app.json"));
        let app = LockedApp::from_json(&bytes).unwrap();
        assert_eq!(app, lock(name));
        assert_eq!(app.to_json(), bytes);
    }
    let app = LockedApp::from_json(&compact("site/locked-app.json")).unwrap();
    assert_eq!(app.name(), "site");
    let api = app.component("api").unwrap();
    assert_eq!(api.sqlite_databases(), ["default"]);
    assert_eq!(api.allowed_outbound_hosts()[0], "https://example.org");
    assert_eq!(app.triggers[1].component(), "api");
    assert!(matches!(app.triggers[1].route(), Ok(Route::Path(_))));
}

#[test]
fn inline_content_is_written_in_the_alphabet_that_spin_reads() {
    let content = ContentRef {
        inline: Some(vec![0xfb, 0xff, 0xfe, 0x01]),
        ..ContentRef::default()
    };
    let text = serde_json::to_string(&content).unwrap();
    assert_eq!(text, r#"{"inline":"+//+AQ"}"#);
    for written in ["+//+AQ", "+//+AQ==", "-__-AQ", "-__-AQ=="] {
        let read: ContentRef = serde_json::from_value(json!({ "inline": written })).unwrap();
        assert_eq!(read, content, "{written}");
    }
}

fn app() -> Value {
    serde_json::from_str(&fixture("site/locked-app.json")).unwrap()
}

fn faults(app: &Value) -> Vec<String> {
    match LockedApp::from_json(app.to_string().as_bytes()) {
        Err(LockedError::Faults(faults)) => faults.0.into_iter().map(|f| f.path).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_fields_are_passed_over_unless_they_must_be_understood() {
    let mut app = app();
    app["later"] = json!(1);
    assert!(LockedApp::from_json(app.to_string().as_bytes()).is_ok());
    app["must_understand"] = json!(["component_host_requirements", "later"]);
    assert_eq!(faults(&app), ["must_understand"]);
    app["spin_lock_version"] = json!(2);
    let read = LockedApp::from_json(app.to_string().as_bytes());
    assert!(matches!(read, Err(LockedError::Version(2))));
}

#[test]
fn requirements_that_are_optional_are_passed_over() {
    let mut app = app();
    app["components"][1]["host_requirements"] =
        json!({ "local_service_chaining": "required", "splines": "optional" });
    assert!(LockedApp::from_json(app.to_string().as_bytes()).is_ok());
    app["components"][1]["host_requirements"]["splines"] = json!("required");
    assert_eq!(faults(&app), ["components.api.host_requirements"]);
}

#[test]
fn file_paths_that_leave_the_folder_are_refused() {
    for bad in [
        "../x",
        "/etc/passwd",
        "a/../b",
        "a//b",
        "./a",
        "a/",
        "",
        "a\0b",
    ] {
        let mut app = app();
        app["components"][0]["files"][0]["path"] = json!(bad);
        assert_eq!(faults(&app).len(), 1, "{bad:?}");
    }
    let mut app = app();
    app["components"][0]["files"][0]["path"] = json!("sub/a.css");
    assert_eq!(faults(&app).len(), 1, "twice");
    app["components"][0]["files"][0]["path"] = json!("sub");
    assert_eq!(faults(&app).len(), 1, "a file and a folder");
}

#[test]
fn everything_that_can_not_be_run_is_told_at_once() {
    let mut app = app();
    app["triggers"][0]["trigger_type"] = json!("redis");
    app["triggers"][1]["id"] = json!("front-http-trigger");
    app["triggers"][1]["trigger_config"]["component"] = json!("gone");
    app["components"][0]["id"] = json!("api");
    app["components"][0]["source"]["digest"] = json!("sha256:XYZ");
    app["components"][1]["metadata"]["ai_models"] = json!(["llama2-chat"]);
    app["components"][1]["metadata"]["allowed_outbound_hosts"] = json!(["nonsense"]);
    app["components"][1]["config"]["greeting"] = json!("{{ nothing }}");
    app["components"][1]["dependencies"] = json!({ "a:b": {} });
    let mut told = faults(&app);
    told.sort();
    assert_eq!(
        told,
        [
            "components.api",
            "components.api",
            "components.api.config.greeting",
            "components.api.metadata.ai_models",
            "components.api.metadata.allowed_outbound_hosts",
            "components.api.source",
            "triggers.front-http-trigger",
            "triggers.front-http-trigger",
            "triggers.front-http-trigger",
        ]
    );
}

#[test]
fn a_bounded_number_of_components_is_taken() {
    let mut app = app();
    let first = app["components"][0].clone();
    let components = (0..65).map(|n| {
        let mut component = first.clone();
        component["id"] = Value::from(format!("c{n}"));
        component
    });
    app["components"] = Value::Array(components.collect());
    let told = faults(&app);
    assert!(told.iter().any(|path| path == "components"), "{told:?}");
}

#[test]
fn a_bounded_number_of_stores_is_taken() {
    for key in ["databases", "key_value_stores"] {
        let mut app = app();
        let mut with = |count: usize| {
            let labels: Vec<_> = (0..count).map(|n| format!("l{n}")).collect();
            app["components"][1]["metadata"][key] = labels.into();
            app.clone()
        };
        let allowed = with(16).to_string();
        assert!(LockedApp::from_json(allowed.as_bytes()).is_ok(), "{key}");
        assert_eq!(faults(&with(17)), ["components"], "{key}");
    }
}

#[test]
fn what_is_no_locked_application_is_said_so() {
    for bad in ["", "[]", "{}", r#"{"spin_lock_version":1}"#] {
        let read = LockedApp::from_json(bad.as_bytes());
        assert!(matches!(read, Err(LockedError::Malformed(_))), "{bad}");
    }
}
