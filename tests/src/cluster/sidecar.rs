//! `nokube-sidecar` as a platform in the cluster has it: a namespace and a service account of its own, with the rights
//! that it asks for itself and no other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nokube_api::sidecar::{AppPhase, AppSpec, AppStatus};
use nokube_artifact::layout::Layout;
use nokube_artifact::pack::{PackLimits, Source, pack};
use nokube_keys::{SealingKey, Secret};
use nokube_spinapp::manifest::Manifest;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::kube::Kube;
pub use super::rights::{Right, Scope};
use super::rights::{grant, rights, roles};
use super::{Cluster, Running, Visit, keeper, resident_kb};
use crate::platform::repository_root;
use crate::wait::until;

/// What callers of the sidecar bear.
pub const SIDECAR_TOKEN: &str = "sidecar-token-of-the-test";
/// What it bears itself.
pub const SYSTEM_TOKEN: &str = "system-token-of-the-test";
/// 32 bytes, base64url.
const SEALING_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
/// Variables of keys begin so.
const KEYS: &str = "SPIN_VARIABLE_";
/// Its service account, as the chart names it.
const ACCOUNT: &str = "nokube-sidecar";
/// Below it are all hosts.
pub const BASE_DOMAIN: &str = "apps.example.org";
const START_LIMIT: Duration = Duration::from_secs(60);
/// Pods are ready at once; what is waited for is a chain of controllers on a busy machine.
pub const CHANGE_LIMIT: Duration = Duration::from_secs(300);

/// A platform installed in the cluster.
pub struct Installation {
    cluster: &'static Cluster,
    /// The platform's name.
    pub platform: String,
    /// Where its sidecar lives.
    pub namespace: String,
    /// Bearer token of the sidecar's service account.
    pub account_token: String,
    rights: Vec<Right>,
    folder: TempDir,
}

/// How a replica is started, beside what is the same for all.
#[derive(Debug, Default)]
pub struct Options {
    /// Another address of the API server, such as a proxy's.
    pub server: Option<String>,
    /// The platform that it ticks; nobody, when there is none.
    pub platform_url: Option<String>,
    /// Where it listens; on a free port of loopback, when nothing is said.
    pub listen: Option<String>,
    /// More variables, above what is set otherwise.
    pub environment: Vec<(String, String)>,
}

impl Options {
    /// With another address of the API server.
    #[must_use]
    pub fn by_way_of(server: &str) -> Self {
        Self {
            server: Some(server.to_owned()),
            ..Self::default()
        }
    }

    /// An address for whoever has to know it before the replica is started.
    #[must_use]
    pub fn free_address() -> String {
        let [port] = super::free_ports();
        format!("127.0.0.1:{port}")
    }

    /// With another key.
    #[must_use]
    pub fn with_key(self, name: &str, value: &str) -> Self {
        self.with(&format!("{KEYS}{name}"), value)
    }

    /// With one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Installation {
    /// Installs a platform of this name: what its chart would do for the sidecar.
    ///
    /// # Panics
    /// When an object is refused.
    pub async fn new(visit: &Visit, platform: &str) -> Self {
        let cluster = visit.cluster;
        let kube = cluster.kube();
        let namespace = format!("nokube-{platform}");
        let object =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        let _ = kube
            .create("/api/v1/namespaces", &object)
            .await
            .expect("a namespace");
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        let object = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": ACCOUNT } });
        let _ = kube
            .create(&accounts, &object)
            .await
            .expect("a service account");
        let roles = roles(platform, &namespace);
        for object in &roles {
            grant(&kube, object).await;
        }
        Self::with_rights(visit, platform, &namespace, &roles).await
    }

    /// One whose namespace, account and rights somebody else has made: `objects` are those of RBAC.
    ///
    /// # Panics
    /// When the account has no token.
    pub async fn with_rights(
        visit: &Visit,
        platform: &str,
        namespace: &str,
        objects: &[Value],
    ) -> Self {
        let cluster = visit.cluster;
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": { "expirationSeconds": 7200 },
        });
        let path = format!("{accounts}/{ACCOUNT}/token");
        let answer = cluster.kube().create(&path, &request).await;
        let answer = answer.expect("a token");
        let account_token = answer["status"]["token"]
            .as_str()
            .expect("a token")
            .to_owned();
        Self {
            cluster,
            platform: platform.to_owned(),
            namespace: namespace.to_owned(),
            account_token,
            rights: rights(objects),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Starts a replica and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start(&self) -> Sidecar {
        self.start_with(Options::default()).await
    }

    /// The same, started in another way.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn start_with(&self, options: Options) -> Sidecar {
        let mut sidecar = self.launch(options);
        until("the sidecar to answer", START_LIMIT, || {
            assert!(
                !sidecar.running.has_ended(),
                "the sidecar has ended:\n{}",
                sidecar.log()
            );
            let call = sidecar.http.get(format!("{}/readyz", sidecar.url)).send();
            async move {
                call.await
                    .ok()
                    .filter(|answer| answer.status().is_success())
                    .map(|_| ())
            }
        })
        .await;
        sidecar
    }

    /// What Kubernetes does with a container that has ended: starts it again. Of one that runs, a renewed lease is waited
    /// for: who could not renew it for long is about to end.
    ///
    /// # Panics
    /// When neither answers.
    pub async fn started_again(&self, mut sidecar: Sidecar, options: Options) -> Sidecar {
        let began = std::time::Instant::now();
        let before = self.renewed().await;
        loop {
            if sidecar.has_ended() {
                return self.start_with(options).await;
            }
            let answer = sidecar.try_call(Method::GET, "/readyz", None).await;
            if matches!(answer, Some((200, _))) && self.renewed().await != before {
                return sidecar;
            }
            assert!(began.elapsed() < START_LIMIT, "{}", sidecar.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// When the lease was renewed last, as its holder writes it.
    async fn renewed(&self) -> Option<String> {
        let leases = self.cluster.kube().list(&self.leases()).await;
        let lease = leases.first()?;
        Some(lease["spec"]["renewTime"].as_str()?.to_owned())
    }

    fn leases(&self) -> String {
        format!(
            "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
            self.namespace
        )
    }

    /// Starts a replica that may never answer.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn launch(&self, options: Options) -> Sidecar {
        let listen = options.listen.unwrap_or_else(Options::free_address);
        let name = listen.replace(':', "-");
        let server = options.server.unwrap_or_else(|| self.cluster.server());
        let kubeconfig = self.cluster.kubeconfig(
            &format!("{}-{name}", self.platform),
            &server,
            &self.account_token,
        );
        let log = self.folder.path().join(format!("{name}.log"));
        let file = std::fs::File::create(&log).expect("the folder is writable");
        let nobody = "http://127.0.0.1:9".to_owned();
        let mut command = keeper::tied(&sidecar_program());
        command
            .env("KUBECONFIG", kubeconfig)
            .env("NOKUBE_LISTEN", &listen)
            .env("NOKUBE_ADVERTISE", &listen)
            .env("NOKUBE_PLATFORM", &self.platform)
            .env("NOKUBE_NAMESPACE", &self.namespace)
            .env("NOKUBE_BASE_DOMAIN", BASE_DOMAIN)
            .env("NOKUBE_EDGE", "gateway:edge/public")
            .env(
                "NOKUBE_PLATFORM_URL",
                options.platform_url.unwrap_or(nobody),
            )
            .env("NOKUBE_DATA_DIR", self.folder.path().join(&name))
            .env(format!("{KEYS}SIDECAR_TOKEN"), SIDECAR_TOKEN)
            .env(format!("{KEYS}SYSTEM_TOKEN"), SYSTEM_TOKEN)
            .env(format!("{KEYS}SEALING_KEY"), SEALING_KEY)
            .envs(options.environment)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be shared"))
            .stderr(file);
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("an HTTP client can be made");
        Sidecar {
            running: keeper::start(command),
            http,
            url: format!("http://{listen}"),
            log,
            artifacts: self.folder.path().join(&name).join("artifacts"),
        }
    }

    /// Takes the lead from a replica that is dead, so that the next one need not wait until that is certain.
    pub async fn forget_leader(&self) {
        let _ = self.cluster.kube().delete(&self.leases()).await;
    }

    /// What the sidecar asks to be allowed.
    #[must_use]
    pub fn rights(&self) -> &[Right] {
        &self.rights
    }

    /// A client with the sidecar's own rights.
    #[must_use]
    pub fn as_sidecar(&self) -> Kube {
        self.cluster.kube_as(&self.account_token)
    }

    /// A client of somebody in the pods of a namespace: its account `name`.
    ///
    /// # Panics
    /// When there is no such account.
    pub async fn as_account(&self, namespace: &str, name: &str) -> Kube {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {},
        });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let answer = self
            .cluster
            .kube()
            .create(&path, &request)
            .await
            .expect(&path);
        let token = answer["status"]["token"].as_str().expect("a token");
        self.cluster.kube_as(token)
    }
}

/// A running replica, and a client of its API.
pub struct Sidecar {
    running: Running,
    http: reqwest::Client,
    /// Its address.
    pub url: String,
    log: PathBuf,
    artifacts: PathBuf,
}

impl Sidecar {
    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// Takes the processor away from it.
    pub fn suspend(&self) {
        self.running.signal("STOP");
    }

    /// Gives it back.
    pub fn resume(&self) {
        self.running.signal("CONT");
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.running.has_ended()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it lives on.
    pub async fn until_ended(&mut self) {
        let running = &mut self.running;
        let ended = || std::future::ready(running.has_ended().then_some(()));
        until("the sidecar to end", CHANGE_LIMIT, ended).await;
    }

    /// What it has in memory, in kilobytes.
    #[must_use]
    pub fn resident_kb(&self) -> u64 {
        resident_kb(self.running.pid())
    }

    /// A call of its API: the status and the JSON body, if any.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let answer = self.try_call(method, path, body).await;
        answer.unwrap_or_else(|| panic!("the sidecar does not answer:\n{}", self.log()))
    }

    /// The same; nothing when it does not answer.
    pub async fn try_call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        let mut call = self
            .http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(SIDECAR_TOKEN);
        if let Some(body) = body {
            call = call.json(body);
        }
        let answer = call.send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        Some((
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        ))
    }

    /// Says what is wanted, whatever comes of it.
    pub async fn put(&self, app: &AppSpec) -> (u16, Value) {
        let body = serde_json::to_value(app).expect("a spec is JSON");
        let path = format!("/v1/apps/{}", app.deployment_id);
        self.call(Method::PUT, &path, Some(&body)).await
    }

    /// Says what is wanted.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn want(&self, app: &AppSpec) {
        let (status, body) = self.put(app).await;
        assert_eq!(status, 202, "{body}");
    }

    /// How far a deployment is; nothing when it is unknown.
    ///
    /// # Panics
    /// When the answer is another one.
    pub async fn status(&self, app: &AppSpec) -> Option<AppStatus> {
        let path = format!("/v1/apps/{}", app.deployment_id);
        match self.call(Method::GET, &path, None).await {
            (200, body) => Some(serde_json::from_value(body).expect("a status")),
            (404, _) => None,
            (status, body) => panic!("{status} {body}"),
        }
    }

    /// Waits for the wanted generation to reach a phase.
    ///
    /// # Panics
    /// When it does not, with its status.
    pub async fn reaches(&self, app: &AppSpec, phase: AppPhase) -> AppStatus {
        self.becomes(app, |status| status.phase == phase).await
    }

    /// Waits for a status of the wanted generation.
    ///
    /// # Panics
    /// When there is none, with what there was.
    pub async fn becomes(&self, app: &AppSpec, is_it: impl Fn(&AppStatus) -> bool) -> AppStatus {
        let began = std::time::Instant::now();
        loop {
            let status = self.status(app).await;
            match status {
                Some(status) if status.generation == app.generation && is_it(&status) => {
                    return status;
                }
                status => assert!(
                    began.elapsed() < CHANGE_LIMIT,
                    "{} is {status:?}\n{}",
                    app.service,
                    self.log()
                ),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Says what is wanted and waits until it runs.
    ///
    /// # Panics
    /// When it does not.
    pub async fn runs(&self, app: &AppSpec) -> AppStatus {
        self.want(app).await;
        self.reaches(app, AppPhase::Running).await
    }

    /// Removes a deployment and waits until nothing is left.
    ///
    /// # Panics
    /// When something stays.
    pub async fn remove(&self, app: &AppSpec) {
        let path = format!("/v1/apps/{}", app.deployment_id);
        until("a deployment to be gone", CHANGE_LIMIT, || async {
            let (status, body) = self.call(Method::DELETE, &path, None).await;
            assert!(matches!(status, 202 | 404), "{status} {body}");
            (status == 404).then_some(())
        })
        .await;
    }

    /// A page of a deployment's log: its lines.
    pub async fn log_of(&self, app: &AppSpec) -> Vec<String> {
        let path = format!("/v1/apps/{}/logs?limit=100&tail=100", app.deployment_id);
        let (status, body) = self.call(Method::GET, &path, None).await;
        assert_eq!(status, 200, "{body}");
        let lines = body["lines"].as_array().cloned().unwrap_or_default();
        let text = |line: &Value| line["text"].as_str().unwrap_or_default().to_owned();
        lines.iter().map(text).collect()
    }

    /// Stores a Spin application of one component in the sidecar's blob store; gives its digest.
    ///
    /// # Panics
    /// When it cannot be packed.
    #[must_use]
    pub fn store_artifact(&self, wasm: &Path) -> String {
        let source = tempfile::tempdir().expect("a folder");
        std::fs::copy(wasm, source.path().join("app.wasm")).expect("a file can be copied");
        let manifest = Manifest::parse(
            "spin_manifest_version = 2\n\
             [application]\nname = \"app\"\nversion = \"1.0.0\"\n\
             [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n\
             [component.app]\nsource = \"app.wasm\"\n",
        )
        .expect("a manifest");
        let layout = Layout::open(&self.artifacts).expect("a layout");
        let source = Source {
            root: source.path(),
            manifest_dir: Path::new(""),
        };
        let created = "2026-01-02T03:04:05Z";
        let packed = pack(&layout, &manifest, source, created, PackLimits::default());
        packed.expect("an artifact").digest.to_string()
    }
}

/// Seals secrets as the platform does.
///
/// # Panics
/// Never: the key is one.
#[must_use]
pub fn sealed(deployment_id: &str, secrets: &[(&str, &str)]) -> BTreeMap<String, String> {
    let key = SealingKey::from_base64(SEALING_KEY).expect("a key");
    let seal = |(name, value): &(&str, &str)| {
        let place = format!("{deployment_id}/{name}");
        // Made up: what is sealed is no secret.
        let nonce = [7; 24];
        let secret = Secret::new((*value).to_owned());
        ((*name).to_owned(), key.seal(&secret, &place, nonce))
    };
    secrets.iter().map(seal).collect()
}

/// The `nokube-sidecar` program.
///
/// # Panics
/// When it was not built.
pub(super) fn sidecar_program() -> PathBuf {
    let path = std::env::var_os("NOKUBE_SIDECAR_BIN").map_or_else(
        || repository_root().join("target/release/nokube-sidecar"),
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "{} is missing: `cargo xtask test` builds it",
        path.display()
    );
    path
}
