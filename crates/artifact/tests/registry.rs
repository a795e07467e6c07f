//! Pushing to a real registry (Debian's `docker-registry`), and to one that gives out tokens.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use nokube_artifact::Digest;
use nokube_artifact::layout::Layout;
use nokube_artifact::oci::{CONFIG_TYPE, DATA_TYPE, Descriptor, ImageManifest, MANIFEST_TYPE};
use nokube_artifact::push::{Credentials, PushError, PushOptions, Reference, push};
use tempfile::TempDir;

const PROGRAM: &str = "docker-registry";
/// bcrypt, of `correct horse`.
const HTPASSWD: &str = "ada:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n";

struct Registry {
    process: Child,
    address: String,
    _dir: TempDir,
}

impl Registry {
    /// Starts a registry; `None` when there is no such program and the run was told to do without it (`cargo xtask
    /// test` does, and says so): a test that cannot test anything must not pass otherwise.
    async fn start(with_password: bool) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        // It can't be told to choose a port by itself.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let address = format!("127.0.0.1:{port}");
        let config = dir.path().join("config.yml");
        fs::write(&config, configuration(dir.path(), &address, with_password)).unwrap();
        let process = Command::new(PROGRAM)
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match process {
            Ok(process) => process,
            Err(error) => {
                let without = std::env::var("NOKUBE_TESTS_WITHOUT").unwrap_or_default();
                let may_be_missing = without.split(',').any(|name| name == PROGRAM);
                assert!(may_be_missing, "{PROGRAM} can't be started: {error}");
                return None;
            }
        };
        let registry = Self {
            process,
            address,
            _dir: dir,
        };
        registry.wait().await;
        Some(registry)
    }

    async fn wait(&self) {
        let begun = Instant::now();
        while registry_get(&self.address, "", None).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "no registry");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn name(&self) -> Reference {
        format!("{}/nokube/ada-shop-api:v1", self.address)
            .parse()
            .unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(dir: &Path, address: &str, with_password: bool) -> String {
    let mut config = format!(
        "version: 0.1\nlog: {{ level: error }}\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
         http:\n  addr: {address}\n  secret: for-this-test-only\n",
        dir.join("data").display()
    );
    if with_password {
        let path = dir.join("htpasswd");
        fs::write(&path, HTPASSWD).unwrap();
        config.push_str("auth:\n  htpasswd:\n    realm: test\n    path: ");
        config.push_str(&path.display().to_string());
        config.push('\n');
    }
    config
}

async fn registry_get(
    address: &str,
    path: &str,
    who: Option<&Credentials>,
) -> Result<reqwest::Response, reqwest::Error> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut request = client
        .get(format!("http://{address}/v2/{path}"))
        .header("accept", MANIFEST_TYPE);
    if let Some(who) = who {
        request = request.basic_auth(&who.username, Some(&who.password));
    }
    request.send().await
}

/// A layout with one artifact: an empty layer, a small one, and one larger than a buffer.
fn artifact(dir: &Path) -> (Layout, Digest, Vec<u8>) {
    let layout = Layout::open(dir).unwrap();
    let _storing = layout.storing().unwrap();
    let large: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let mut layers = Vec::new();
    for bytes in [&b"small"[..], &large, b"small"] {
        layout.put_bytes(bytes).unwrap();
        layers.push(Descriptor::of(DATA_TYPE, bytes));
    }
    layout.put_bytes(b"{}").unwrap();
    let manifest = ImageManifest {
        annotations: Default::default(),
        config: Descriptor::of(CONFIG_TYPE, b"{}"),
        layers,
        media_type: None,
        schema_version: 2,
    };
    let bytes = manifest.to_json();
    let digest = layout.put_manifest(&bytes).unwrap();
    (layout, digest, bytes)
}

fn plain(credentials: Option<Credentials>) -> PushOptions {
    PushOptions {
        credentials,
        plain_http: true,
    }
}

fn ada(password: &str) -> Credentials {
    Credentials {
        username: "ada".to_owned(),
        password: password.to_owned(),
    }
}

#[tokio::test]
async fn an_artifact_is_pushed_and_is_there_by_tag_and_digest() {
    let Some(registry) = Registry::start(false).await else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let (layout, digest, bytes) = artifact(dir.path());
    for round in ["the first time", "again"] {
        let pushed = push(&layout, &digest, &registry.name(), &plain(None)).await;
        assert_eq!(pushed.unwrap(), digest, "{round}");
    }
    for what in ["v1".to_owned(), digest.to_string()] {
        let path = format!("nokube/ada-shop-api/manifests/{what}");
        let answer = registry_get(&registry.address, &path, None).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{what}");
        assert_eq!(answer.bytes().await.unwrap(), bytes, "{what}");
    }
    let large = &layout.manifest(&digest).unwrap().layers[1];
    let path = format!("nokube/ada-shop-api/blobs/{}", large.digest);
    let answer = registry_get(&registry.address, &path, None).await.unwrap();
    assert_eq!(Digest::of(&answer.bytes().await.unwrap()), large.digest);
}

#[tokio::test]
async fn a_registry_with_a_password_takes_the_right_one_only() {
    let Some(registry) = Registry::start(true).await else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let (layout, digest, _) = artifact(dir.path());
    for wrong in [None, Some(ada("wrong"))] {
        let refused = push(&layout, &digest, &registry.name(), &plain(wrong)).await;
        assert!(
            matches!(refused, Err(PushError::Unauthorized(_))),
            "{refused:?}"
        );
    }
    let right = plain(Some(ada("correct horse")));
    let pushed = push(&layout, &digest, &registry.name(), &right).await;
    assert_eq!(pushed.unwrap(), digest);
    let path = "nokube/ada-shop-api/manifests/v1";
    let answer = registry_get(&registry.address, path, right.credentials.as_ref()).await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
}

/// What a registry with tokens was asked, and the blobs it got.
#[derive(Default)]
struct Seen {
    token_queries: Vec<String>,
    stored: Vec<String>,
    leaked: bool,
}

/// A registry that wants a token of its own token service, and takes uploads at another origin.
async fn token_registry() -> (String, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let home = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let elsewhere = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = home.local_addr().unwrap().to_string();
    let upload = format!("http://{}/upload?part=1", elsewhere.local_addr().unwrap());
    let state = (address.clone(), upload, seen.clone());
    let app = Router::new().fallback(move |request: Request| {
        let (address, upload, seen) = state.clone();
        async move {
            let (head, body) = request.into_parts();
            take_in(body).await;
            answer(&address, &upload, &seen, &head)
        }
    });
    let at_elsewhere = seen.clone();
    let uploads = Router::new().fallback(move |request: Request| {
        let seen = at_elsewhere.clone();
        async move {
            let (head, body) = request.into_parts();
            take_in(body).await;
            let mut seen = seen.lock().unwrap();
            seen.leaked |= head.headers.contains_key("authorization");
            seen.stored
                .push(head.uri.query().unwrap_or_default().to_owned());
            StatusCode::CREATED
        }
    });
    tokio::spawn(async move { axum::serve(home, app).await });
    tokio::spawn(async move { axum::serve(elsewhere, uploads).await });
    (address, seen)
}

/// Reads a body to its end: a server that answers before may break the pipe of who still sends.
async fn take_in(body: axum::body::Body) {
    let _ = axum::body::to_bytes(body, usize::MAX).await.unwrap();
}

fn answer(address: &str, upload: &str, seen: &Mutex<Seen>, request: &Parts) -> Response {
    let path = request.uri.path();
    let authorization = request.headers.get("authorization");
    if path == "/token" {
        let query = request.uri.query().unwrap_or_default().to_owned();
        seen.lock().unwrap().token_queries.push(query);
        // Basic, of `ada:correct horse`.
        return match authorization.and_then(|value| value.to_str().ok()) {
            Some("Basic YWRhOmNvcnJlY3QgaG9yc2U=") => r#"{"token":"t0ken"}"#.into_response(),
            _ => StatusCode::UNAUTHORIZED.into_response(),
        };
    }
    let mut headers = HeaderMap::new();
    let mut add = |name, value: &str| {
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    };
    if authorization.is_none_or(|value| value != "Bearer t0ken") {
        let challenge = format!(r#"Bearer realm="http://{address}/token",service="test""#);
        add("www-authenticate", &challenge);
        return (StatusCode::UNAUTHORIZED, headers).into_response();
    }
    let status = match request.method {
        Method::POST => {
            add("location", upload);
            StatusCode::ACCEPTED
        }
        Method::PUT => StatusCode::CREATED,
        _ => StatusCode::NOT_FOUND,
    };
    (status, headers).into_response()
}

#[tokio::test]
async fn a_token_is_fetched_and_not_shown_to_where_uploads_go() {
    let (address, seen) = token_registry().await;
    let dir = TempDir::new().unwrap();
    let (layout, digest, _) = artifact(dir.path());
    let name: Reference = format!("{address}/a/b:c").parse().unwrap();
    let refused = push(&layout, &digest, &name, &plain(Some(ada("wrong")))).await;
    assert!(
        matches!(refused, Err(PushError::Unauthorized(_))),
        "{refused:?}"
    );
    let options = plain(Some(ada("correct horse")));
    assert_eq!(
        push(&layout, &digest, &name, &options).await.unwrap(),
        digest
    );
    let seen = seen.lock().unwrap();
    let query = "service=test&scope=repository%3Aa%2Fb%3Apull%2Cpush";
    assert_eq!(seen.token_queries, [query, query]);
    assert_eq!(seen.stored.len(), 3, "each blob once");
    assert!(
        seen.stored
            .iter()
            .all(|query| query.starts_with("part=1&digest=sha256%3A"))
    );
    assert!(!seen.leaked);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_a_retryable_error() {
    let dir = TempDir::new().unwrap();
    let (layout, digest, _) = artifact(dir.path());
    let name: Reference = "127.0.0.1:1/a/b:c".parse().unwrap();
    let failed = push(&layout, &digest, &name, &plain(None))
        .await
        .unwrap_err();
    assert!(failed.is_retryable(), "{failed}");
}
