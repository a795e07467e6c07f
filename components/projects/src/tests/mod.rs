//! The component from request to answer, natively.

mod audit;
mod leaving;
mod members;
mod plans;
mod projects;
mod roles;
mod strangers;

use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

fn app() -> TestApp {
    TestApp::new(&crate::COMPONENT).described_by(&crate::contract::contract())
}

fn alice(app: &TestApp) -> String {
    app.token(1, "alice", "user")
}

fn create(app: &TestApp, token: &str, body: &Value) -> TestAnswer {
    app.post("/api/v1/projects").bearer(token).json(body).send()
}

fn create_named(app: &TestApp, token: &str, name: &str) -> Value {
    create(app, token, &json!({ "name": name })).expect(201)
}

/// A deployment of project 1, behind the component's back.
fn deploy_something(app: &TestApp) {
    app.sql(
        "platform",
        "INSERT INTO deployments (id, project_id, service_name, environment, host_label, revision, \
         replicas, desired, generation, acknowledged_generation, handover_failures, \
         handover_after_ms, status, replicas_ready, replicas_total, objects, created_at_ms, \
         updated_at_ms) \
         VALUES ('d1', 1, 'api', 'production', 'api', 1, 1, 'running', 1, 1, 0, 0, 'running', 1, 1, '[]', 0, 0)",
    );
}

#[test]
fn health_asks_the_database() {
    nokube_guest::testing::check_health(&app());
}
