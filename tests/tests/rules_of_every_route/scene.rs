//! The platform with people and things in it: ada owns a project with a build and a deployment, bob may look at it,
//! eve is a stranger.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use nokube_contract::{Document, Seen};
use nokube_tests::api::Api;
use nokube_tests::platform::{Platform, repository_root};
use nokube_tests::repository::Repository;
use reqwest::Method;
use serde_json::{Value, json};

use super::exchange::{Ask, Got};

/// The one origin whose pages may call.
pub(crate) const ORIGIN: &str = "https://console.example.com";

/// A route, as the documents tell of it.
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: Method,
    pub(crate) template: String,
    pub(crate) described: Value,
    /// Index of its document.
    document: usize,
}

pub(crate) struct Scene {
    platform: Platform,
    http: reqwest::Client,
    documents: Vec<Document>,
    pub(crate) ada: String,
    pub(crate) bob: String,
    pub(crate) eve: String,
    pub(crate) leaver: String,
    pub(crate) admin: String,
    pub(crate) refresh_token: String,
    keys: String,
    pub(crate) repository_url: String,
    _repository: Repository,
    pub(crate) project: i64,
    pub(crate) spare_project: i64,
    pub(crate) build: String,
    pub(crate) waiting_build: String,
    pub(crate) deployment: String,
    asked: Cell<u32>,
    faults: RefCell<Vec<String>>,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        let platform = Platform::start_with(&["--cors-origins", ORIGIN]);
        let anyone = platform.api();
        let admin = anyone.register("root1", Some(platform.setup_code())).await;
        let ada = anyone.register("ada", None).await;
        let bob = anyone.register("bob", None).await;
        let eve = anyone.register("eve", None).await;
        let leaver = signed_in(&anyone, "leaver").await;
        let stayer = signed_in(&anyone, "stayer").await;
        let repository = Repository::of_files("site", &[("index.html", b"hi")]);
        let project = ada.create_project("shop").await;
        let spare_project = ada.create_project("spare").await;
        let build = ada.build(project, "web", &repository.file_url()).await;
        let request =
            json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
        let deployment = ada.deploy(&request).await;
        let waiting = waiting_build(&ada, project).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let token = |api: &Api| api.token().unwrap_or_default().to_owned();
        let scene = Self {
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(60))
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .expect("an HTTP client can be made"),
            documents: documents(),
            ada: token(&ada),
            bob: token(&bob),
            eve: token(&eve),
            leaver: text(&leaver["access_token"]),
            refresh_token: text(&stayer["refresh_token"]),
            admin: token(&admin),
            keys: std::fs::read_to_string(platform.data_dir().join("data/keys.env"))
                .expect("the data folder has the keys"),
            repository_url: repository.file_url(),
            _repository: repository,
            project,
            spare_project,
            build: text(&build["build_id"]),
            waiting_build: waiting,
            deployment: text(&deployment["deployment_id"]),
            asked: Cell::new(0),
            faults: RefCell::default(),
            platform,
        };
        let bob = bob.get("/auth/me").await.expect(200)["id"].clone();
        scene.make_viewer(bob.as_i64().unwrap_or_default());
        scene
    }

    /// Bob may look at ada's project.
    fn make_viewer(&self, user: i64) {
        let folder = self.platform.data_dir().join("data/db");
        let files = std::fs::read_dir(&folder).expect("the data folder has the databases");
        let mut added = 0;
        for file in files.flatten() {
            let Ok(database) = rusqlite::Connection::open(file.path()) else {
                continue;
            };
            added += database
                .execute(
                    "INSERT INTO project_members (project_id, user_id, username, role, added_at_ms) \
                     VALUES (?1, ?2, 'bob', 'viewer', 0)",
                    (self.project, user),
                )
                .unwrap_or(0);
        }
        assert_eq!(added, 1, "no database of {} has members", folder.display());
    }

    /// A secret of the platform's.
    pub(crate) fn key(&self, name: &str) -> String {
        let prefix = format!("SPIN_VARIABLE_{}=", name.to_uppercase());
        let line = self
            .keys
            .lines()
            .find_map(|line| line.strip_prefix(&prefix));
        let value = line.unwrap_or_else(|| panic!("no key {name}"));
        value.trim_matches(['"', '\'']).to_owned()
    }

    pub(crate) fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (index, document) in self.documents.iter().enumerate() {
            for (method, template, described) in document.operations() {
                operations.push(Operation {
                    id: described["operationId"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                    method: method.parse().expect("a method"),
                    template: template.to_owned(),
                    described: described.clone(),
                    document: index,
                });
            }
        }
        operations
    }

    /// What only looks first, what removes last, and of that what is inside before what is outside.
    pub(crate) fn in_order_of_damage<'a>(&self, operations: &'a [Operation]) -> Vec<&'a Operation> {
        let mut sorted: Vec<&Operation> = operations.iter().collect();
        sorted.sort_by_key(|operation| {
            let damage = match operation.method.as_str() {
                "GET" => 0,
                "DELETE" => 2,
                _ => 1,
            };
            (damage, operation.template.clone())
        });
        sorted
    }

    /// The description of a parameter or the like.
    pub(crate) fn resolve<'a>(&'a self, operation: &'a Operation, value: &'a Value) -> &'a Value {
        self.documents[operation.document].resolve(value)
    }

    /// The schema of an operation's JSON body.
    pub(crate) fn body_schema(&self, operation: &Operation) -> Option<&Value> {
        self.documents[operation.document]
            .body_schema(operation.method.as_str(), &operation.template)
    }

    pub(crate) fn fault(&self, operation: &Operation, what: &str) {
        self.note(format!("{}: {what}", operation.id));
    }

    pub(crate) fn note(&self, fault: String) {
        self.faults.borrow_mut().push(fault);
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.faults.borrow().clone()
    }

    /// Sends a request and checks what every answer has; with an operation, that its document tells of the answer.
    pub(crate) async fn ask(&self, operation: Option<&Operation>, ask: &Ask) -> Got {
        let number = self.asked.get() + 1;
        self.asked.set(number);
        let request_id = format!("rules-{number}");
        let mut request = self
            .http
            .request(
                ask.method.clone(),
                format!("{}{}", self.platform.url(), ask.path),
            )
            .header("x-request-id", &request_id);
        if let Some(token) = &ask.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        let answer = request.send().await.expect("the platform answers");
        let headers = answer.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        let got = Got {
            status: answer.status().as_u16(),
            headers: headers.collect(),
            body: answer.bytes().await.expect("the answer is whole").to_vec(),
        };
        let mut wrong = got.lacks(&request_id);
        if let Some(operation) = operation {
            let seen = Seen {
                method: ask.method.as_str(),
                template: &operation.template,
                status: got.status,
                headers: &got.headers,
                body: &got.body,
            };
            wrong.extend(self.documents[operation.document].check(&seen).err());
        }
        for fault in wrong {
            let text = String::from_utf8_lossy(&got.body);
            let text: String = text.chars().take(300).collect();
            self.note(format!(
                "{} {}: {} {fault}: {text}",
                ask.method, ask.path, got.status
            ));
        }
        got
    }
}

/// All that registering gives.
async fn signed_in(anyone: &Api, username: &str) -> Value {
    let password = format!("correct horse {username}");
    let body = json!({ "username": username, "password": password });
    anyone.post("/auth/register", &body).await.expect(201)
}

/// A build that waits for its source.
async fn waiting_build(ada: &Api, project: i64) -> String {
    let path = format!("/builds/upload?project_id={project}&service_name=waiting");
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("an HTTP client can be made");
    let answer = client
        .post(format!("{}/api/v1{path}", ada.url()))
        .bearer_auth(ada.token().unwrap_or_default())
        .send()
        .await
        .expect("the platform answers");
    let build: Value = answer.json().await.expect("a build");
    build["build_id"].as_str().expect("an id").to_owned()
}

/// The API's, and those of the platform's own parts.
fn documents() -> Vec<Document> {
    let read = |name: &str| {
        let file = repository_root().join("docs").join(name);
        std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("{} is there", file.display()))
    };
    let parse = |text: &str| Document::from_json(text).expect("a document is JSON");
    let internal: Value = serde_json::from_str(&read("openapi-internal.json")).expect("JSON");
    let parts = internal.as_object().into_iter().flatten();
    std::iter::once(parse(&read("openapi.json")))
        .chain(parts.map(|(_, part)| parse(&part.to_string())))
        .collect()
}
