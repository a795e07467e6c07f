//! Registering, and the caller's own account.

use super::{PASSWORD, access, app, register};
use serde_json::json;

#[test]
fn registering_signs_in() {
    let app = app();
    let answer = register(&app, "alice");
    assert_eq!(answer["user"]["username"], "alice");
    assert_eq!(answer["user"]["role"], "user");
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 900);
    let me = app.get("/api/v1/auth/me").bearer(access(&answer)).send();
    assert_eq!(me.expect(200), answer["user"]);
}

#[test]
fn a_name_is_made_from_the_address() {
    let app = app();
    for (email, name) in [
        ("Jean.D@example.com", "jeand"),
        ("jeand@example.org", "jeand2"),
    ] {
        let answer = app
            .post("/api/v1/auth/register")
            .json(&json!({ "email": email, "password": PASSWORD }))
            .send()
            .expect(201);
        assert_eq!(answer["user"]["username"], name);
        assert_eq!(answer["user"]["email"], email.to_lowercase());
    }
}

#[test]
fn taken_names_and_addresses_conflict() {
    let app = app();
    register(&app, "alice");
    let again = json!({ "username": "alice", "password": PASSWORD });
    let answer = app.post("/api/v1/auth/register").json(&again).send();
    assert_eq!(answer.expect(409)["type"], "/problems/taken");
    let users = app.sql("auth", "SELECT count(*) FROM users");
    assert_eq!(users[0][0], nokube_guest::db::Value::Integer(1));
}

#[test]
fn every_fault_of_a_registration_is_told() {
    let app = app();
    let answer = app
        .post("/api/v1/auth/register")
        .json(
            &json!({ "username": "Not Valid", "email": "x", "password": "short", "rôle": "admin" }),
        )
        .send();
    assert_eq!(
        answer.faults(),
        ["/username", "/email", "/password", "/rôle"]
    );
    let nobody = app
        .post("/api/v1/auth/register")
        .json(&json!({ "username": null, "password": PASSWORD }))
        .send();
    assert_eq!(nobody.faults(), ["/username"]);
    let own_name = app
        .post("/api/v1/auth/register")
        .json(&json!({ "username": "christopher", "password": "Christopher" }))
        .send();
    assert_eq!(own_name.faults(), ["/password"]);
}

#[test]
fn a_password_is_not_the_name_that_is_made_from_the_address() {
    let app = app();
    let register = |email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        app.post("/api/v1/auth/register").json(&body).send()
    };
    let refused = register("j.kowalczyk@example.org", "JKowalczyk");
    assert_eq!(refused.faults(), ["/password"]);
    assert_eq!(register("j.kowalczyk@example.org", PASSWORD).status, 201);
    // The next of the name gets a number, which is known once it is given.
    let refused = register("jkowalczyk@example.com", "jkowalczyk2");
    assert_eq!(refused.faults(), ["/password"]);
    let with_another_name = json!({
        "username": "jan", "email": "jkowalczyk@example.com", "password": "jkowalczyk2",
    });
    let request = app.post("/api/v1/auth/register").json(&with_another_name);
    assert_eq!(request.send().status, 201);
}

#[test]
fn the_setup_code_makes_one_administrator() {
    let app = app();
    let with_code = |name: &str, code: &str| {
        app.post("/api/v1/auth/register")
            .json(&json!({ "username": name, "password": PASSWORD, "setup_code": code }))
            .send()
    };
    let state = || {
        app.get("/internal/setup")
            .bearer("test-system-token")
            .send()
            .expect(200)
    };
    assert_eq!(state()["setup_done"], false);
    assert_eq!(
        with_code("mallory", "guess").expect(403)["type"],
        "/problems/setup-code-refused"
    );
    assert_eq!(
        with_code("root", "the-setup-code").expect(201)["user"]["role"],
        "admin"
    );
    assert_eq!(state()["setup_done"], true);
    assert_eq!(with_code("second", "the-setup-code").status, 403);
}

#[test]
fn nobody_becomes_administrator_where_no_code_is_set() {
    let app = app();
    app.set("setup_code", "");
    let answer = app
        .post("/api/v1/auth/register")
        .json(&json!({ "username": "mallory", "password": PASSWORD, "setup_code": "" }))
        .send();
    assert_eq!(answer.status, 403);
}

#[test]
fn the_address_changes_and_stale_versions_are_refused() {
    let app = app();
    let tokens = register(&app, "alice");
    let before = app.get("/api/v1/auth/me").bearer(access(&tokens)).send();
    let etag = before.headers.get("etag").unwrap().to_owned();
    let change = |email: serde_json::Value| {
        app.patch("/api/v1/auth/me")
            .bearer(access(&tokens))
            .header("if-match", &etag)
            .json(&json!({ "email": email }))
            .send()
    };
    assert_eq!(
        change(json!("Alice@Example.com")).expect(200)["email"],
        "alice@example.com"
    );
    assert_eq!(
        change(json!(null)).expect(412)["type"],
        "/problems/stale-version"
    );
    let unchanged = app
        .get("/api/v1/auth/me")
        .bearer(access(&tokens))
        .header("if-none-match", &etag)
        .send();
    assert_eq!(unchanged.status, 200);
}

#[test]
fn the_platform_finds_names() {
    let app = app();
    register(&app, "alice");
    register(&app, "bob");
    let find = |query: &str| {
        app.get(&format!("/internal/users?{query}"))
            .bearer("test-system-token")
            .send()
            .expect(200)
    };
    assert_eq!(
        find("ids=2,9,x")["users"],
        json!([{ "id": 2, "username": "bob" }])
    );
    assert_eq!(find("username=alice")["users"][0]["id"], 1);
    app.sql("auth", "UPDATE users SET disabled_at_ms = 1");
    assert_eq!(find("ids=2&username=alice")["users"], json!([]));
}
