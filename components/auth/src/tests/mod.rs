//! The component from request to answer, natively.

mod accounts;
mod api_tokens;
mod audit;
mod brute_force;
mod demanded;
mod hashing;
mod invitations;
mod leaving;
mod limits;
mod machine;
mod password;
mod plans;
mod rotation;
mod routes;
mod session_list;
mod sessions;
mod strangers;
mod totp;
mod users;

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

fn admin(app: &TestApp) -> Value {
    app.post("/api/v1/auth/register")
        .json(&json!({ "username": "root", "password": PASSWORD, "setup_code": "the-setup-code" }))
        .send()
        .expect(201)
}

fn make_token(app: &TestApp, access: &str, body: &Value) -> TestAnswer {
    app.post("/api/v1/auth/tokens")
        .bearer(access)
        .json(body)
        .send()
}

/// A new API token with these scopes.
fn api_token(app: &TestApp, access: &str, scopes: &[&str]) -> Value {
    make_token(app, access, &json!({ "name": "ci", "scopes": scopes })).expect(201)
}

fn exchange(app: &TestApp, token: &Value) -> TestAnswer {
    app.post("/api/v1/auth/token")
        .json(&json!({ "grant_type": "api_token", "token": token["token"] }))
        .send()
}

/// An access token of a new API token with these scopes.
fn scoped(app: &TestApp, tokens: &Value, scopes: &[&str]) -> String {
    let token = api_token(app, access(tokens), scopes);
    let answer = exchange(app, &token).expect(200);
    access(&answer).to_owned()
}

fn number(app: &TestApp, statement: &str) -> i64 {
    match app.sql("auth", statement)[0][0] {
        nokube_guest::db::Value::Integer(number) => number,
        ref other => panic!("{other:?}"),
    }
}
