//! The component from request to answer, on a made-up host.

mod asking;
mod building;
mod house;
mod logs;
mod names;
mod overdue;
mod plans;
mod roles;
mod strangers;

use nokube_guest::host::OutboundAnswer;
use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

use crate::COMPONENT;

const RUNNER: &str = "test-runner-token";
const SYSTEM: &str = "test-system-token";
const URL: &str = "https://git.example.org/shop.git";

fn digest() -> String {
    format!("sha256:{}", "ab".repeat(32))
}

/// A platform with three users: ada owns project 1 `shop`, bob is a viewer in it, eve owns project 2.
struct Scene {
    app: TestApp,
    ada: String,
    bob: String,
    eve: String,
}

impl Scene {
    fn new() -> Self {
        let app = TestApp::new(&COMPONENT).described_by(&crate::contract::contract());
        app.set("sidecar_url", "http://sidecar.test");
        app.set("sidecar_token", "test-sidecar-token");
        app.set("git_access", "public");
        app.set("denied_ports", "3000");
        app.answer_calls(|request| {
            let known = request
                .url
                .ends_with(&format!("/v1/artifacts/{}", digest()));
            Ok(OutboundAnswer {
                status: if known { 200 } else { 404 },
                headers: Vec::new(),
                body: Vec::new(),
            })
        });
        // The first request makes the tables.
        assert_eq!(app.get("/api/v1/builds/health").send().status, 200);
        for sql in [
            "INSERT INTO projects (id, owner_id, owner_name, name, slug, created_at_ms, updated_at_ms) \
             VALUES (1, 1, 'ada', 'Shop', 'shop', 0, 0), (2, 3, 'eve', 'Own', 'own', 0, 0), \
             (3, 1, 'ada', 'Shop API', 'shop-api', 0, 0)",
            "INSERT INTO project_members (project_id, user_id, username, role, added_at_ms) VALUES \
             (1, 1, 'ada', 'owner', 0), (1, 2, 'bob', 'viewer', 0), (2, 3, 'eve', 'owner', 0), \
             (3, 1, 'ada', 'owner', 0)",
        ] {
            app.sql("platform", sql);
        }
        Self {
            ada: app.token(1, "ada", "user"),
            bob: app.token(2, "bob", "user"),
            eve: app.token(3, "eve", "user"),
            app,
        }
    }

    fn create(&self, body: &Value) -> TestAnswer {
        let request = self.app.post("/api/v1/builds");
        let answer = request.bearer(&self.ada).json(body).send();
        assert_ne!(answer.status, 500, "{:?}", self.app.host.logged.borrow());
        answer
    }

    /// A build of ada's that waits for a runner.
    fn pending(&self) -> String {
        let body = json!({ "project_id": 1, "service_name": "web", "repository_url": URL });
        id_of(&self.create(&body).expect(202))
    }

    fn get(&self, path: &str) -> TestAnswer {
        // A token of now: time passes in tests.
        let ada = self.app.token(1, "ada", "user");
        self.app.get(path).bearer(&ada).send()
    }

    fn build(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/builds/{id}")).expect(200)
    }

    fn lines(&self, id: &str) -> Vec<String> {
        let page = self.get(&format!("/api/v1/builds/{id}/logs")).expect(200);
        let lines = page["lines"].as_array().cloned().unwrap_or_default();
        lines
            .iter()
            .map(|line| line["text"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    fn lease(&self) -> TestAnswer {
        self.app
            .post("/api/v1/runner/lease")
            .bearer(RUNNER)
            .json(&json!({ "runner": "r1", "builders": ["runner", "simulated"] }))
            .send()
    }

    fn tell(&self, id: &str, call: &str, body: &Value) -> TestAnswer {
        self.app
            .post(&format!("/api/v1/runner/builds/{id}/{call}"))
            .bearer(RUNNER)
            .json(body)
            .send()
    }

    /// Leases and starts the next build; gives its lease.
    fn start(&self, id: &str) -> String {
        let job = self.lease().expect(200);
        assert_eq!(job["build_id"], id);
        let lease = job["lease_id"].as_str().unwrap().to_owned();
        self.tell(id, "start", &json!({ "lease_id": lease }))
            .expect(200);
        lease
    }

    fn succeed(&self, id: &str, lease: &str) -> TestAnswer {
        let result = json!({
            "lease_id": lease, "status": "success", "digest": digest(), "commit": "c".repeat(40),
        });
        self.tell(id, "result", &result)
    }

    fn tick(&self) {
        self.app
            .post("/internal/tick")
            .bearer(SYSTEM)
            .send()
            .expect(200);
    }
}

fn id_of(build: &Value) -> String {
    build["build_id"].as_str().unwrap().to_owned()
}

#[test]
fn health_asks_the_database() {
    nokube_guest::testing::check_health(&Scene::new().app);
}
