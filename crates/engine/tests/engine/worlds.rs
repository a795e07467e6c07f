//! Every interface in every version of it that components import, and every way to misbehave in either world of WASI:
//! run, by the programs of `tests/guests/worlds`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use nokube_engine::Limits;
use nokube_engine::logs::Stream;
use nokube_spinapp::locked::LockedVariable;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wasmparser::{Parser, Payload};

use crate::guests::{self, put};
use crate::support::{Served, Stage};

async fn limited(guest: &str, limits: Limits) -> Served {
    let mut stage = guests::stage(guest, &Value::Null);
    stage.config.limits = limits;
    stage.serve().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_of_both_worlds_answer() {
    for guest in ["wasi02_hello", "wasi03_hello"] {
        let served = guests::stage(guest, &Value::Null).serve().await;
        let reply = served.get("/").await;
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (200, "hello"),
            "{guest}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_every_kind_come_back_from_a_database_in_every_version() {
    let (rows, failed) = (", 1 changed", "no such table: nowhere");
    let cases = [
        ("spin2_sqlite", [failed; 2]),
        ("wasi02_sqlite", [rows, failed]),
        ("wasi03_sqlite", [rows, failed]),
    ];
    for (guest, more) in cases {
        let mut stage = guests::stage(guest, &json!({ "databases": ["default"] }));
        let path = |name: &str| stage.dir.path().join(name);
        stage.config.sqlite = BTreeMap::from([
            ("default".to_owned(), path("a.db")),
            ("other".to_owned(), path("b.db")),
        ]);
        let served = stage.serve().await;
        let reply = served.get("/?default").await;
        assert_eq!(reply.status, 200, "{guest}: {reply:?}");
        let values = [
            "Integer(-7)",
            "Real(0.5)",
            "Text(\"é\")",
            "Blob([0, 255])",
            "Null",
        ];
        let columns = r#"["i", "r", "s", "b", "n"]"#;
        for part in values.into_iter().chain(more).chain([columns]) {
            assert!(reply.body.contains(part), "{guest}: {part} in {reply:?}");
        }
        let refused = served.get("/?other").await;
        assert_eq!(refused.status, 502, "{guest}");
        assert!(
            refused.body.contains("AccessDenied"),
            "{guest}: {refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_values_are_kept_in_every_version() {
    let plain = r#"None Some([1, 2]) ["a"] true false"#;
    let many = r#"[("x", Some([1])), ("y", Some([2])), ("z", None)]; 8; Some([1]) true false"#;
    let cases = [
        ("spin2_key_value", plain.to_owned()),
        ("wasi03_key_value", plain.to_owned()),
        ("wasi_keyvalue", format!("{plain}; {many}")),
    ];
    for (guest, expected) in cases {
        let mut stage = guests::stage(guest, &json!({ "key_value_stores": ["default"] }));
        let path = |name: &str| stage.dir.path().join(name);
        stage.config.key_value = BTreeMap::from([
            ("default".to_owned(), path("a.db")),
            ("other".to_owned(), path("b.db")),
        ]);
        let served = stage.serve().await;
        assert_eq!(served.get("/?default").await.body, expected, "{guest}");
        let refused = served.get("/?other").await;
        assert_eq!(refused.status, 502, "{guest}");
        assert!(
            refused.body.contains("AccessDenied"),
            "{guest}: {refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_are_read_in_every_version() {
    let cases = [
        ("spin2_variables", "hello"),
        ("wasi03_variables", "hello"),
        ("wasi_config", "hello of 1"),
    ];
    for (guest, expected) in cases {
        let mut stage = guests::stage(guest, &Value::Null);
        stage.config.locked.variables =
            BTreeMap::from([("word".to_owned(), LockedVariable::default())]);
        stage.config.locked.components[0].config =
            BTreeMap::from([("greeting".to_owned(), "{{ word }}".to_owned())]);
        stage.config.variables = BTreeMap::from([("word".to_owned(), "hello".to_owned())]);
        let served = stage.serve().await;
        assert_eq!(served.get("/?greeting").await.body, expected, "{guest}");
        let missing = served.get("/?word").await;
        assert_eq!(missing.status, 502, "{guest}");
        assert!(missing.body.contains("Undefined"), "{guest}: {missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_worlds_fetch_from_allowed_hosts_only() {
    let mut elsewhere = guests::stage("wasi02_hello", &Value::Null);
    elsewhere.config.hosts = vec!["127.0.0.1".to_owned()];
    let elsewhere = elsewhere.serve().await;
    let url = format!("/?http://{}/", elsewhere.addr);
    for guest in ["wasi02_fetch", "wasi03_fetch"] {
        let allowed = json!({ "allowed_outbound_hosts": ["http://127.0.0.1:*"] });
        let mut stage = guests::stage(guest, &allowed);
        stage.config.egress.private_addresses = true;
        let served = stage.serve().await;
        assert_eq!(served.get(&url).await.body, "200 hello", "{guest}");
        let served = guests::stage(guest, &allowed).serve().await;
        assert_eq!(
            served.get(&url).await.status,
            502,
            "{guest}: a private address"
        );
        let mut stage = guests::stage(guest, &Value::Null);
        stage.config.egress.private_addresses = true;
        let served = stage.serve().await;
        let refused = served.get(&url).await;
        assert_eq!(refused.status, 502, "{guest}: not in the manifest");
        assert!(
            refused.body.contains("RequestDenied"),
            "{guest}: {refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_of_both_worlds_call_each_other() {
    let pairs = [
        ("wasi02_fetch", "wasi03_hello"),
        ("wasi03_fetch", "wasi02_hello"),
        ("wasi03_fetch", "wasi03_hello"),
    ];
    for (front, back) in pairs {
        let routes = [
            ("front", json!("/...")),
            ("back", json!({ "private": true })),
        ];
        let metadata = json!({ "allowed_outbound_hosts": ["http://back.spin.internal"] });
        let mut stage = Stage::of("pair", &routes, &metadata);
        put(&mut stage, "front", front);
        put(&mut stage, "back", back);
        let served = stage.serve().await;
        let reply = served.get("/?http://back.spin.internal/").await;
        assert_eq!(reply.body, "200 hello", "{front} and {back}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_answered_while_it_still_comes() {
    // More than is taken in before a guest begins.
    let piece = "x".repeat(64 << 10);
    for guest in ["wasi02_stream", "wasi03_stream"] {
        let served = guests::stage(guest, &Value::Null).serve().await;
        let mut stream = TcpStream::connect(served.addr).await.expect("a connection");
        let host = served.host();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        stream
            .write_all(format!("{head}{chunk}").as_bytes())
            .await
            .expect("sent");
        let mut seen = String::new();
        let mut bytes = vec![0; 4096];
        while !seen.contains("XXX") {
            let length = stream.read(&mut bytes).await.expect("answered");
            assert!(length > 0, "{guest} ended: {seen}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        assert!(seen.starts_with("HTTP/1.1 200"), "{guest}: {seen}");
        stream
            .write_all(b"3\r\nend\r\n0\r\n\r\n")
            .await
            .expect("sent");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.expect("answered");
        seen.push_str(&rest);
        assert!(seen.ends_with("END\r\n0\r\n\r\n"), "{guest}");
        let count = seen.bytes().filter(|byte| *byte == b'X').count();
        assert_eq!(count, piece.len(), "{guest}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_is_explained_in_both_worlds() {
    for guest in ["wasi02_trap", "wasi03_trap"] {
        let served = guests::stage(guest, &Value::Null).serve().await;
        let reply = served.get_with("/", "x-request-id: the-one\r\n").await;
        assert_eq!(reply.status, 500, "{guest}: {reply:?}");
        let line = served.logged("cause_of_the_trap").await;
        assert_eq!(line.request_id.as_deref(), Some("the-one"), "{guest}");
        assert!(line.text.contains("unreachable"), "{guest}: {}", line.text);
        let panic = served.logged("asked to panic").await;
        assert_eq!(
            (panic.stream, panic.request_id.as_deref()),
            (Stream::Stderr, Some("the-one")),
            "{guest}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_in_both_worlds() {
    let cpu = Limits {
        cpu_ms: 200,
        ..Limits::default()
    };
    let wall = Limits {
        wall_ms: 200,
        ..Limits::default()
    };
    let memory = Limits {
        memory_bytes: 32 << 20,
        ..Limits::default()
    };
    let cases = [
        ("wasi02_loop", &cpu, 504, "CPU limit reached"),
        ("wasi03_loop", &cpu, 504, "CPU limit reached"),
        ("wasi02_loop", &wall, 504, "time limit reached"),
        ("wasi03_loop", &wall, 504, "time limit reached"),
        ("wasi02_sleep", &wall, 504, "time limit reached"),
        ("wasi03_sleep", &wall, 504, "time limit reached"),
        ("wasi02_alloc", &memory, 500, "memory limit reached"),
        ("wasi03_alloc", &memory, 500, "memory limit reached"),
    ];
    for (guest, limits, status, words) in cases {
        let served = limited(guest, limits.clone()).await;
        let reply = tokio::time::timeout(Duration::from_secs(10), served.get("/")).await;
        assert_eq!(reply.expect("in time").status, status, "{guest}");
        served.logged(words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_there_to_read_in_both_worlds() {
    for guest in ["wasi02_files", "wasi03_files"] {
        let mut stage = guests::stage(guest, &Value::Null);
        let files = stage.dir.path().join("files");
        std::fs::create_dir(&files).expect("a folder");
        std::fs::write(files.join("hello.txt"), "hello").expect("a file");
        std::fs::write(stage.dir.path().join("secret.txt"), "secret").expect("a file");
        std::os::unix::fs::symlink("../secret.txt", files.join("link")).expect("a link");
        if let Some(component) = stage.config.components.get_mut("probe") {
            component.files = Some(files);
        }
        let served = stage.serve().await;
        let expected = r#"["hello.txt", "link"] hello outside: false written: false"#;
        assert_eq!(served.get("/").await.body, expected, "{guest}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_lead_nowhere_in_both_worlds() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let there: SocketAddr = listener.local_addr().expect("an address");
    for guest in ["wasi02_sockets", "wasi03_sockets"] {
        let mut stage = guests::stage(guest, &json!({ "allowed_outbound_hosts": ["*://*:*"] }));
        stage.config.egress.private_addresses = true;
        let served = stage.serve().await;
        let reply = served.get(&format!("/?{}", there.port())).await;
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (200, "false false false false"),
            "{guest}"
        );
    }
    let nobody = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(nobody.is_err(), "somebody connected");
}

/// `cargo xtask tidy` looks for a program of each interface by what the programs say of themselves.
#[test]
fn a_program_imports_the_interface_that_it_says_it_tries() {
    let mut tried = 0;
    for (wasm, source) in guests::all() {
        let source = std::fs::read_to_string(source).expect("a program");
        let said = source.lines().take_while(|line| line.starts_with("//!"));
        let said = said.flat_map(|line| line.split('`').skip(1).step_by(2));
        let wasm = std::fs::read(wasm).expect("it is compiled");
        let imports = imports(&wasm);
        for interface in said {
            let Some((path, version)) = interface.split_once('@') else {
                continue;
            };
            tried += 1;
            let is_of = |import: &String| {
                let Some((of, found)) = import.split_once('@') else {
                    return false;
                };
                let rest = of.strip_prefix(path);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                    && found.starts_with(version)
            };
            assert!(imports.iter().any(is_of), "{interface}: {imports:?}");
        }
    }
    assert!(tried >= 12, "{tried} interfaces");
}

/// What a component itself imports, without what is inside it.
fn imports(wasm: &[u8]) -> Vec<String> {
    let mut depth = 0_u32;
    let mut imports = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.expect("WebAssembly") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                let names = section
                    .into_iter()
                    .map(|import| import.expect("an import").name);
                imports.extend(names.map(|name| name.name.to_owned()));
            }
            _ => {}
        }
    }
    imports
}
