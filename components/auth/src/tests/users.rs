//! What administrators do with users.

use super::{PASSWORD, access, admin, api_token, app, exchange, login, number, refresh, register};
use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

fn change(app: &TestApp, tokens: &Value, id: i64, body: &Value) -> TestAnswer {
    app.patch(&format!("/api/v1/auth/users/{id}"))
        .bearer(access(tokens))
        .json(body)
        .send()
}

#[test]
fn users_are_listed_searched_and_filtered() {
    let app = app();
    let root = admin(&app);
    register(&app, "alice");
    let _ = app
        .post("/api/v1/auth/register")
        .json(&json!({ "username": "bob", "email": "bob_by@example.com", "password": PASSWORD }))
        .send()
        .expect(201);
    let _ = change(&app, &root, 2, &json!({ "disabled": true })).expect(200);
    let names = |query: &str| {
        let path = format!("/api/v1/auth/users?{query}");
        let page = app.get(&path).bearer(access(&root)).send().expect(200);
        let names = page["data"].as_array().unwrap().iter();
        names
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(names(""), "root alice bob");
    assert_eq!(names("limit=1&page=2"), "alice");
    assert_eq!(names("q=BOB_BY"), "bob");
    assert_eq!(names("q=b"), "bob", "once, though both begin so");
    assert_eq!(names("q=ob"), "", "a beginning is meant");
    assert_eq!(names("q=b%25"), "", "a wildcard stands for itself");
    assert_eq!(names("q=b&role=user&disabled=false"), "bob");
    assert_eq!(names("q=b&role=admin"), "");
    assert_eq!(names("role=admin"), "root");
    assert_eq!(names("disabled=true"), "alice");
    assert_eq!(names("disabled=false&role=user"), "bob");
    let bad = app
        .get("/api/v1/auth/users?role=owner")
        .bearer(access(&root))
        .send();
    assert_eq!(bad.faults(), ["/role"]);
}

#[test]
fn a_disabled_user_is_out_at_once_and_comes_back_with_the_tokens() {
    let app = app();
    let root = admin(&app);
    let alice = register(&app, "alice");
    let token = api_token(&app, access(&alice), &["account:read"]);
    let held = exchange(&app, &token).expect(200);
    let disabled = change(&app, &root, 2, &json!({ "disabled": true })).expect(200);
    assert_eq!(disabled["disabled"], true);
    assert_eq!(disabled["disabled_at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(login(&app, "alice", PASSWORD).status, 401);
    assert_eq!(refresh(&app, &alice).status, 401);
    assert_eq!(
        exchange(&app, &token).expect(401)["type"],
        "/problems/token-refused"
    );
    for access_token in [access(&alice), access(&held)] {
        let me = app.get("/api/v1/auth/me").bearer(access_token).send();
        assert_eq!(me.status, 401);
    }
    let enabled = change(&app, &root, 2, &json!({ "disabled": false })).expect(200);
    assert_eq!(
        (&enabled["disabled"], &enabled["disabled_at"]),
        (&json!(false), &json!(null))
    );
    assert_eq!(refresh(&app, &alice).status, 401, "its sessions ended");
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
    let _ = exchange(&app, &token).expect(200);
    assert_eq!(
        number(
            &app,
            "SELECT count(*) FROM audit WHERE action IN ('user.disable', 'user.enable')"
        ),
        2
    );
}

#[test]
fn a_new_role_is_in_the_next_token() {
    let app = app();
    let root = admin(&app);
    let alice = register(&app, "alice");
    let users = |tokens: &Value| {
        app.get("/api/v1/auth/users")
            .bearer(access(tokens))
            .send()
            .status
    };
    assert_eq!(users(&alice), 403);
    assert_eq!(
        change(&app, &root, 2, &json!({ "role": "admin" })).expect(200)["role"],
        "admin"
    );
    let alice = refresh(&app, &alice).expect(200);
    assert_eq!(users(&alice), 200);
    // auth looks at the present role: an old token of a former administrator is no use.
    let _ = change(&app, &root, 2, &json!({ "role": "user" })).expect(200);
    assert_eq!(users(&alice), 403);
    assert_eq!(
        change(&app, &alice, 1, &json!({ "disabled": true })).status,
        403
    );
}

#[test]
fn the_last_administrator_stays_one() {
    let app = app();
    let root = admin(&app);
    register(&app, "alice");
    for body in [json!({ "role": "user" }), json!({ "disabled": true })] {
        let refused = change(&app, &root, 1, &body);
        assert_eq!(refused.expect(409)["type"], "/problems/last-administrator");
    }
    let _ = change(&app, &root, 2, &json!({ "role": "admin" })).expect(200);
    let _ = change(&app, &root, 2, &json!({ "disabled": true })).expect(200);
    // A disabled one does not count.
    assert_eq!(
        change(&app, &root, 1, &json!({ "role": "user" })).status,
        409
    );
    let _ = change(&app, &root, 2, &json!({ "disabled": false })).expect(200);
    let _ = change(&app, &root, 1, &json!({ "role": "user" })).expect(200);
    assert_eq!(
        number(&app, "SELECT count(*) FROM users WHERE role = 'admin'"),
        1
    );
}

#[test]
fn stale_versions_and_faults_are_refused() {
    let app = app();
    let root = admin(&app);
    register(&app, "alice");
    let path = "/api/v1/auth/users/2";
    let read = app.get(path).bearer(access(&root)).send();
    let etag = read.headers.get("etag").unwrap().to_owned();
    let patch = |body: Value| {
        app.patch(path)
            .bearer(access(&root))
            .header("if-match", &etag)
            .json(&body)
            .send()
    };
    assert_eq!(
        patch(json!({ "role": "owner", "disabled": null, "name": "x" })).faults(),
        ["/role", "/disabled", "/name"]
    );
    let _ = patch(json!({})).expect(200);
    let _ = patch(json!({ "disabled": true })).expect(200);
    assert_eq!(patch(json!({ "disabled": false })).status, 412);
    assert_eq!(change(&app, &root, 9, &json!({})).status, 404);
}
