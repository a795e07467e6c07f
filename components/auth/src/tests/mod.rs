//! The component from request to answer, natively.

mod accounts;
mod brute_force;
mod hashing;
mod invitations;
mod limits;
mod rotation;
mod routes;
mod sessions;
mod strangers;
mod totp;

use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";

fn app() -> TestApp {
    let app = TestApp::new(&crate::COMPONENT).described_by(&crate::contract::contract());
    app.set("setup_code", "the-setup-code");
    app
}

fn register(app: &TestApp, username: &str) -> Value {
    app.post("/api/v1/auth/register")
        .json(&json!({ "username": username, "password": PASSWORD }))
        .send()
        .expect(201)
}

fn login(app: &TestApp, username: &str, password: &str) -> TestAnswer {
    app.post("/api/v1/auth/login")
        .json(&json!({ "username": username, "password": password }))
        .send()
}

fn refresh(app: &TestApp, tokens: &Value) -> TestAnswer {
    app.post("/api/v1/auth/refresh")
        .json(&json!({ "refresh_token": tokens["refresh_token"] }))
        .send()
}

fn access(tokens: &Value) -> &str {
    tokens["access_token"].as_str().unwrap()
}
