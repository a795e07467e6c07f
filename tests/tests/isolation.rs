//! An application that asks for what is the platform's gets what is its own, or nothing.

use std::time::Duration;

use nokube_tests::api::Api;
use nokube_tests::guests::probe;
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

async fn release(api: &Api, project: i64, service: &str, manifest: &[u8], probe: &[u8]) -> Value {
    let repository =
        Repository::of_files(service, &[("spin.toml", manifest), ("probe.wasm", probe)]);
    let build = api.build(project, service, &repository.file_url()).await;
    json!({ "project_id": project, "service_name": service, "build_id": build["build_id"] })
}

#[tokio::test]
async fn labels_variables_environment_and_addresses_are_the_applications_own() {
    // Compiled first: meanwhile a kept connection would be closed.
    let probe = probe();
    let platform = Platform::start();
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let manifest = include_bytes!("fixtures/curious-spin.toml");
    let request = release(&api, project, "curious", manifest, &probe).await;
    let deployed = api.deploy(&request).await;
    let url = deployed["access_url"]
        .as_str()
        .expect("an address")
        .to_owned();
    let ask = async |path: &str| api.visit(&url, path).await.expect("it answers");

    assert_eq!(ask("/variable?jwt_private_key").await.text, "mine");
    for name in ["sealing_key", "system_token", "runner_token"] {
        let answer = ask(&format!("/variable?{name}")).await;
        assert!(!answer.status.is_success(), "{name}: {}", answer.text);
    }
    let environment = ask("/env").await.text;
    for secret in ["SPIN_VARIABLE", "NOKUBE", "HOME", "PATH"] {
        assert!(!environment.contains(secret), "{environment}");
    }
    // "auth" is a database of this application: a new one, which the platform's never hears of.
    assert_eq!(ask("/sqlite?auth").await.text, "1");
    assert_eq!(ask("/sqlite?auth").await.text, "2");
    assert_eq!(ask("/sqlite?platform").await.text, "1");
    assert!(
        !ask("/sqlite?metrics").await.status.is_success(),
        "a label its manifest does not name"
    );
    for file in ["auth.db", "auth.db-wal", "platform.db", "platform.db-wal"] {
        let bytes =
            std::fs::read(platform.data_dir().join("data/db").join(file)).unwrap_or_default();
        assert!(!bytes.windows(5).any(|window| window == b"visit"), "{file}");
    }

    // The platform, the sidecar and the cloud's metadata are out of reach whatever the manifest allows.
    let own = platform.url().trim_start_matches("http://").to_owned();
    for address in [
        format!("http://{own}/health"),
        format!(
            "http://localhost:{}/health",
            own.rsplit(':').next().expect("a port")
        ),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[::ffff:127.0.0.1]/".to_owned(),
    ] {
        let answer = ask(&format!("/fetch?{address}")).await;
        assert!(!answer.status.is_success(), "{address}: {}", answer.text);
    }
}

#[tokio::test]
async fn an_operator_may_open_private_addresses_to_applications() {
    // Compiled first: meanwhile a kept connection would be closed.
    let probe = probe();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere";
            let _ = stream.write_all(answer).await;
        }
    });
    let manifest = include_bytes!("fixtures/curious-spin.toml");
    for (arguments, is_reached) in [(&[][..], false), (&["--tenant-private-egress"][..], true)] {
        let platform = Platform::start_with(arguments);
        let api = platform.register_ada().await;
        let project = api.create_project("shop").await;
        let request = release(&api, project, "curious", manifest, &probe).await;
        let deployed = api.deploy(&request).await;
        let url = deployed["access_url"].as_str().expect("an address");
        let path = format!("/fetch?http://127.0.0.1:{port}/");
        let answer = api.visit(url, &path).await.expect("it answers");
        assert_eq!(
            answer.text == "200 here",
            is_reached,
            "{arguments:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_variable_that_nobody_gave_fails_the_deployment_by_name() {
    // Compiled first: meanwhile a kept connection would be closed.
    let probe = probe();
    let platform = Platform::start();
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let manifest = include_bytes!("fixtures/demanding-spin.toml");
    let mut request = release(&api, project, "demanding", manifest, &probe).await;
    let accepted = api.post("/deploy", &request).await.expect(202);
    let id = accepted["deployment_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let failed = until(
        "the deployment to fail",
        Duration::from_secs(30),
        || async {
            let deployment = api.get(&format!("/deployments/{id}")).await.expect(200);
            (deployment["status"] == "failed").then_some(deployment)
        },
    )
    .await;
    let reason = failed["error_message"].as_str().expect("a reason");
    assert!(reason.contains("system_token"), "{reason}");

    request["secrets"] = json!({ "SYSTEM_TOKEN": "the user's own" });
    let deployed = api.deploy(&request).await;
    let url = deployed["access_url"].as_str().expect("an address");
    let answer = api
        .visit(url, "/variable?system_token")
        .await
        .expect("it answers");
    assert_eq!(answer.text, "the user's own");
}

/// What a guest that broke out of its WebAssembly would find itself in.
#[tokio::test]
async fn the_process_of_applications_has_given_up_its_rights() {
    let platform = Platform::start();
    platform.register_ada().await;
    let patience = Duration::from_secs(10);
    let tenants = until("the process to be there", patience, || async {
        platform.children("tenants").first().copied()
    })
    .await;
    let read = |name: &str| std::fs::read(format!("/proc/{tenants}/{name}"));
    let status = until("it to be confined", patience, || async {
        let status = String::from_utf8(read("status").ok()?).expect("text");
        status.contains("Seccomp:\t2").then_some(status)
    })
    .await;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {status}")).trim()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("CapEff:"), "0000000000000000");
    assert_eq!(field("CapPrm:"), "0000000000000000");
    let own = std::fs::metadata("/proc/self").expect("a process");
    if std::os::unix::fs::MetadataExt::uid(&own) == 0 {
        let ids: Vec<_> = field("Uid:").split_whitespace().collect();
        assert!(ids.iter().all(|id| *id != "0"), "{ids:?}");
        assert!(ids.iter().all(|id| id == &ids[0]), "{ids:?}");
        assert_eq!(field("Groups:"), "");
        let root = std::fs::read_link(format!("/proc/{tenants}/root")).expect("by root");
        let folder = platform.data_dir().join("data/tenants");
        assert_eq!(root, folder.canonicalize().expect("it is there"));
    }
    let environment = read("environ").expect("the same user's, or root's");
    let environment = String::from_utf8_lossy(&environment);
    let keys = platform.data_dir().join("data/keys.env");
    let keys = std::fs::read_to_string(keys).expect("the platform's keys");
    for (name, secret) in keys.lines().filter_map(|line| line.split_once('=')) {
        assert!(secret.len() > 8, "{name} is no secret");
        assert!(!environment.contains(secret), "{name}");
    }
    // Nor does it hold a file of the platform open.
    let open = std::fs::read_dir(format!("/proc/{tenants}/fd")).expect("its files");
    let database = platform.data_dir().join("data/db");
    for file in open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()) {
        assert!(!file.starts_with(&database), "{}", file.display());
    }
}
