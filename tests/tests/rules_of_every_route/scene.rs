//! The platform with people and things in it, what the documents tell of it, and the faults that were found.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use nokube_contract::{Document, Seen};
use nokube_tests::platform::{Platform, repository_root};
use nokube_tests::repository::Repository;
use reqwest::Method;
use serde_json::Value;

use super::exchange::{Ask, Got};
use super::things::Things;

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

/// Where answers come from.
enum Wire {
    Platform(Box<Running>),
    /// For tests of the rules themselves.
    MadeUp(fn(&Ask) -> Got),
}

struct Running {
    platform: Platform,
    http: reqwest::Client,
    _repository: Repository,
}

pub(crate) struct Scene {
    wire: Wire,
    documents: Vec<Document>,
    pub(crate) things: Things,
    keys: String,
    asked: Cell<u32>,
    faults: RefCell<Vec<String>>,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        let platform = Platform::start_with(&["--cors-origins", ORIGIN]);
        let repository = Repository::of_files("site", &[("index.html", b"hi")]);
        let things = Things::make(
            &platform.api(),
            platform.setup_code(),
            &repository.file_url(),
        )
        .await;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("an HTTP client can be made");
        let keys = std::fs::read_to_string(platform.data_dir().join("data/keys.env"));
        Self {
            documents: documents(),
            things,
            keys: keys.expect("the data folder has the keys"),
            asked: Cell::new(0),
            faults: RefCell::default(),
            wire: Wire::Platform(Box::new(Running {
                platform,
                http,
                _repository: repository,
            })),
        }
    }

    /// One of which every answer is made up.
    pub(crate) fn made_up(document: &Value, answer: fn(&Ask) -> Got) -> Self {
        let document = Document::from_json(&document.to_string()).expect("a document is JSON");
        Self {
            wire: Wire::MadeUp(answer),
            documents: vec![document],
            things: Things {
                ada: "ada".to_owned(),
                bob: "bob".to_owned(),
                dan: "dan".to_owned(),
                eve: "eve".to_owned(),
                admin: "admin".to_owned(),
                ..Things::default()
            },
            keys: String::new(),
            asked: Cell::new(0),
            faults: RefCell::default(),
        }
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
        let got = match &self.wire {
            Wire::Platform(running) => running.send(ask, &request_id).await,
            Wire::MadeUp(answer) => answer(ask),
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

impl Running {
    async fn send(&self, ask: &Ask, request_id: &str) -> Got {
        let url = format!("{}{}", self.platform.url(), ask.path);
        let request = self.http.request(ask.method.clone(), url);
        let mut request = request.header("x-request-id", request_id);
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
        Got {
            status: answer.status().as_u16(),
            headers: headers.collect(),
            body: answer.bytes().await.expect("the answer is whole").to_vec(),
        }
    }
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
