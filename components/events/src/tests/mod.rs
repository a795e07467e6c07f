//! The component from request to answer, natively.

mod calendar;
mod events;
mod list;
mod plans;
mod strangers;

use nokube_guest::host::OutboundAnswer;
use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

fn app() -> TestApp {
    let app = TestApp::new(&crate::COMPONENT).described_by(&crate::contract::contract());
    app.set("platform_url", "https://nokube.example/");
    accounts(&app, &[(1, "alice"), (2, "bob")]);
    app
}

/// `auth` knows these accounts, which are not disabled, and no others.
fn accounts(app: &TestApp, known: &'static [(i64, &'static str)]) {
    app.answer_calls(move |request| {
        let (path, ids) = request.url.split_once("?ids=").unwrap();
        assert_eq!(path, "http://auth.spin.internal/internal/users");
        let users: Vec<Value> = known
            .iter()
            .filter(|(id, _)| ids == id.to_string())
            .map(|(id, username)| json!({ "id": id, "username": username }))
            .collect();
        Ok(OutboundAnswer {
            status: 200,
            headers: Vec::new(),
            body: json!({ "users": users }).to_string().into_bytes(),
        })
    });
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

#[test]
fn health_asks_the_database() {
    nokube_guest::testing::check_health(&app());
}
