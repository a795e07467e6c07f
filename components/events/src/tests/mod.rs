//! The component from request to answer, natively.

mod calendar;
mod events;
mod list;
mod plans;
mod strangers;

use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

fn app() -> TestApp {
    let app = TestApp::new(&crate::COMPONENT).described_by(&crate::contract::contract());
    app.set("platform_url", "https://nokube.example/");
    app
}

fn alice(app: &TestApp) -> String {
    app.token(1, "alice", "user")
}

fn sale() -> Value {
    json!({
        "title": "Soldes d'été", "description": "Tout à moitié prix",
        "start_date": "2027-06-20", "end_date": "2027-07-10", "status": "draft"
    })
}

fn create(app: &TestApp, token: &str, body: &Value) -> TestAnswer {
    app.post("/api/v1/events").bearer(token).json(body).send()
}

/// Creates one and gives its path.
fn created(app: &TestApp, body: &Value) -> String {
    let event = create(app, &alice(app), body).expect(201);
    format!("/api/v1/events/{}", event["id"].as_str().unwrap())
}

/// The sale with some fields changed.
fn sale_with(changes: &Value) -> Value {
    let mut body = sale();
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}
