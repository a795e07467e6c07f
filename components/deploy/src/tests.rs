//! The component from request to answer, on a made-up host with a made-up sidecar.

mod actions;
mod containers;
mod domains;
mod handover;
mod house;
mod logs;
mod namespaces;
mod plans;
mod previewing;
mod releasing;
mod removing;
mod revisions;
mod roles;
mod strangers;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use nokube_guest::host::{OutboundAnswer, OutboundRequest, SendError};
use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

use crate::COMPONENT;

const SYSTEM: &str = "test-system-token";
const SEALING_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const REPOSITORY: &str = "registry.localhost/nokube/ada-shop-web";

/// Builds 1 and 2 of ada's project 1 succeeded, 3 failed; 4 is eve's.
fn build_id(n: u32) -> String {
    format!("01940000-0000-7000-8000-00000000000{n}")
}

fn digest(n: u32) -> String {
    format!("sha256:{}", format!("{n:02x}").repeat(32))
}

/// How the made-up sidecar behaves.
#[derive(Default)]
struct Sidecar {
    down: bool,
    /// What it was told, by deployment.
    apps: BTreeMap<String, Value>,
    /// The phase it says.
    phase: Option<&'static str>,
    /// It is a cluster, and says no address.
    is_cluster: bool,
    /// It refuses every spec with this.
    refuses: Option<Value>,
    /// Removals take this many questions.
    slow_removals: u32,
    /// What it was asked to show.
    previewed: Vec<Value>,
    /// TXT records by name; nothing when the DNS does not answer.
    dns: Option<BTreeMap<String, Vec<String>>>,
    /// The names that were looked up.
    looked_up: Vec<String>,
}

impl Sidecar {
    fn answer(&mut self, request: &OutboundRequest) -> Result<OutboundAnswer, SendError> {
        if self.down {
            return Err(SendError::NoAnswer("connection refused".into()));
        }
        let path = request.url.strip_prefix("http://sidecar.test").unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let id = path
            .strip_prefix("/v1/apps/")
            .unwrap_or_default()
            .to_owned();
        let (status, body) = match (request.method.as_str(), path) {
            ("GET", "/v1/apps") => {
                let apps: Vec<Value> = self.apps.values().map(|app| self.status(app)).collect();
                (200, json!({ "apps": apps }))
            }
            ("GET", path) if path.ends_with("/logs") => {
                let line = json!({
                    "n": 1, "time": "2027-01-15T08:00:00.000Z", "stream": "stdout",
                    "component": "front", "request_id": "r-1", "text": "Hello",
                });
                let is_wanted = !query.contains("cursor=") && !query.contains("q=other");
                let lines: Vec<Value> = is_wanted.then_some(line).into_iter().collect();
                (
                    200,
                    json!({ "lines": lines, "cursor": "c1", "complete": false }),
                )
            }
            ("GET", path) if path.ends_with("/manifests") || path.ends_with("/events") => {
                let known = self.apps.keys().any(|id| path.contains(id.as_str()));
                if known {
                    (200, seen_at_the_target(path))
                } else {
                    (404, Value::Null)
                }
            }
            ("GET", "/v1/dns/txt") => {
                let name = query.strip_prefix("name=").unwrap_or_default();
                self.looked_up.push(name.to_owned());
                match &self.dns {
                    Some(zone) => {
                        let records = zone.get(name).cloned().unwrap_or_default();
                        (200, json!({ "name": name, "records": records }))
                    }
                    None => (503, json!({ "detail": "the DNS does not answer" })),
                }
            }
            ("POST", "/v1/preview") if self.refuses.is_some() => {
                (422, self.refuses.clone().unwrap())
            }
            ("POST", "/v1/preview") => {
                let spec: Value = serde_json::from_slice(&request.body).unwrap();
                let id = format!("SpinApp/{}", spec["service"].as_str().unwrap());
                self.previewed.push(spec);
                (200, json!({ "manifests": { id: "kind: \"SpinApp\"\n" } }))
            }
            ("GET", _) => match self.apps.get(&id) {
                Some(app) => (200, self.status(app)),
                None => (404, Value::Null),
            },
            ("PUT", _) if self.refuses.is_some() => (422, self.refuses.clone().unwrap()),
            ("PUT", _) => {
                let spec: Value = serde_json::from_slice(&request.body).unwrap();
                let known = self
                    .apps
                    .get(&id)
                    .and_then(|app| app["generation"].as_u64());
                let same = self.apps.get(&id) == Some(&spec);
                if !same && known >= spec["generation"].as_u64() {
                    (409, json!({ "detail": "stale" }))
                } else {
                    self.apps.insert(id, spec.clone());
                    (202, self.status(&spec))
                }
            }
            ("DELETE", _) if !self.apps.contains_key(&id) => (404, Value::Null),
            ("DELETE", _) if self.slow_removals > 0 => {
                self.slow_removals -= 1;
                (202, self.status(&self.apps[&id]))
            }
            ("DELETE", _) => {
                let app = self.apps.remove(&id).unwrap();
                (202, self.status(&app))
            }
            other => panic!("the sidecar has no {other:?}"),
        };
        Ok(OutboundAnswer {
            status,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        })
    }

    fn status(&self, app: &Value) -> Value {
        let wanted = if app["desired"] == "stopped" {
            "stopped"
        } else {
            "running"
        };
        let (access_url, objects) = if self.is_cluster {
            (Value::Null, json!(["Namespace", "Service"]))
        } else {
            (
                json!("http://web.shop.ada.localhost:3000/"),
                json!(["Application"]),
            )
        };
        json!({
            "deployment_id": app["deployment_id"], "generation": app["generation"],
            "revision": app["revision"], "phase": self.phase.unwrap_or(wanted),
            "replicas_ready": app["spec"]["replicas"], "replicas_total": app["spec"]["replicas"],
            "access_url": access_url, "message": null, "objects": objects,
        })
    }
}

fn seen_at_the_target(path: &str) -> Value {
    if path.ends_with("/manifests") {
        return json!({ "manifests": { "SpinApp/web": "kind: \"SpinApp\"\n" } });
    }
    json!({ "events": [{
        "time": "2027-01-15T08:00:00.000Z", "type": "warning", "reason": "FailedScheduling",
        "message": "0/3 nodes are available", "object": "Pod/web-1", "count": 2,
    }] })
}

/// A platform with a project of ada's, in which bob is a viewer, and one of eve's.
struct Scene {
    app: TestApp,
    sidecar: Rc<RefCell<Sidecar>>,
}

impl Scene {
    fn new() -> Self {
        let app = TestApp::new(&COMPONENT).described_by(&crate::contract::contract());
        app.set("sidecar_url", "http://sidecar.test");
        app.set("sidecar_token", "test-sidecar-token");
        app.set("sealing_key", SEALING_KEY);
        app.set("base_domain", "apps.example.org");
        app.set("platform_url", "https://nokube.example.org");
        let sidecar = Rc::new(RefCell::new(Sidecar {
            dns: Some(BTreeMap::new()),
            ..Sidecar::default()
        }));
        let answering = Rc::clone(&sidecar);
        app.answer_calls(move |request| answering.borrow_mut().answer(request));
        // The first request makes the tables.
        assert_eq!(app.get("/api/v1/deploy/health").send().status, 200);
        app.sql(
            "platform",
            "INSERT INTO projects (id, owner_id, owner_name, name, slug, created_at_ms, updated_at_ms) \
             VALUES (1, 1, 'ada', 'Shop', 'shop', 0, 0), (2, 3, 'eve', 'Own', 'own', 0, 0)",
        );
        app.sql(
            "platform",
            "INSERT INTO project_members (project_id, user_id, username, role, added_at_ms) VALUES \
             (1, 1, 'ada', 'owner', 0), (1, 2, 'bob', 'viewer', 0), (2, 3, 'eve', 'owner', 0)",
        );
        for (n, project, status) in [
            (1, 1, "success"),
            (2, 1, "success"),
            (3, 1, "failed"),
            (4, 2, "success"),
        ] {
            let repository = if project == 1 {
                REPOSITORY
            } else {
                "registry.localhost/nokube/eve-own-web"
            };
            let digest = if status == "success" {
                format!("'{}'", digest(n))
            } else {
                "NULL".into()
            };
            app.sql(
                "platform",
                &format!(
                    "INSERT INTO builds (id, project_id, service_name, status, builder, source, source_ready, \
                     image_repository, image_tag, build_args, digest, attempts, log_lines, log_bytes, log_base, \
                     log_full, created_by, created_by_name, created_at_ms, queued_at_ms, completed_at_ms) VALUES \
                     ('{}', {project}, 'web', '{status}', 'runner', 'git', 1, '{repository}', 't{n}', '{{}}', \
                     {digest}, 1, 0, 0, 0, 0, 1, 'ada', {n}, {n}, {n})",
                    build_id(n),
                ),
            );
        }
        Self { app, sidecar }
    }

    fn token(&self, name: &str) -> String {
        match name {
            "root" => self.app.token(9, "root", "admin"),
            "bob" => self.app.token(2, "bob", "user"),
            "eve" => self.app.token(3, "eve", "user"),
            _ => self.app.token(1, "ada", "user"),
        }
    }

    fn post_as(&self, name: &str, path: &str, body: &Value) -> TestAnswer {
        let request = self.app.post(path).bearer(&self.token(name));
        let answer = request.json(body).send();
        assert_ne!(answer.status, 500, "{:?}", self.app.host.logged.borrow());
        answer
    }

    fn post(&self, path: &str, body: &Value) -> TestAnswer {
        self.post_as("ada", path, body)
    }

    fn get_as(&self, name: &str, path: &str) -> TestAnswer {
        self.app.get(path).bearer(&self.token(name)).send()
    }

    fn get(&self, path: &str) -> TestAnswer {
        self.get_as("ada", path)
    }

    fn patch(&self, id: &str, body: &Value) -> TestAnswer {
        let request = self.app.patch(&format!("/api/v1/deployments/{id}"));
        request.bearer(&self.token("ada")).json(body).send()
    }

    /// Deploys `web` of build 1 with more fields, or others.
    fn deploy(&self, more: &Value) -> TestAnswer {
        let mut body = json!({ "project_id": 1, "service_name": "web", "build_id": build_id(1) });
        let fields = body.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        self.post("/api/v1/deploy", &body)
    }

    /// A deployment of ada's that runs.
    fn running(&self) -> String {
        let answer = self.deploy(&json!({}));
        id_of(&answer.expect(202))
    }

    fn deployment(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/deployments/{id}")).expect(200)
    }

    fn action(&self, id: &str, action: &str, body: &Value) -> TestAnswer {
        self.post(&format!("/api/v1/deployments/{id}/{action}"), body)
    }

    fn told(&self, id: &str) -> Value {
        self.sidecar
            .borrow()
            .apps
            .get(id)
            .cloned()
            .unwrap_or_default()
    }

    fn tick(&self) {
        self.app.advance_ms(1_000);
        let answer = self.app.post("/internal/tick").bearer(SYSTEM).send();
        assert_eq!(answer.status, 200, "{:?}", self.app.host.logged.borrow());
    }
}

fn id_of(deployment: &Value) -> String {
    deployment["deployment_id"].as_str().unwrap().to_owned()
}

#[test]
fn health_asks_the_database() {
    nokube_guest::testing::check_health(&Scene::new().app);
}
