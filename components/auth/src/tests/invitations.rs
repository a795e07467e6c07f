//! Who may register.

use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

use super::{PASSWORD, access, app, register};

fn admin(app: &TestApp) -> Value {
    register_with(app, "root", json!({ "setup_code": "the-setup-code" })).expect(201)
}

fn register_with(app: &TestApp, username: &str, more: Value) -> TestAnswer {
    let mut body = json!({ "username": username, "password": PASSWORD });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    app.post("/api/v1/auth/register").json(&body).send()
}

fn invite(app: &TestApp, admin: &Value, body: Value) -> Value {
    app.post("/api/v1/auth/invitations")
        .bearer(access(admin))
        .json(&body)
        .send()
        .expect(201)
}

fn problem(answer: &TestAnswer) -> Value {
    answer.expect(403)["type"].clone()
}

#[test]
fn where_registration_is_closed_only_the_setup_code_works() {
    let app = app();
    app.set("registration", "closed");
    let refused = register_with(&app, "alice", json!({}));
    assert_eq!(problem(&refused), "/problems/registration-closed");
    let root = admin(&app);
    let code = invite(&app, &root, json!({}))["code"].clone();
    let refused = register_with(&app, "alice", json!({ "invitation_code": code }));
    assert_eq!(problem(&refused), "/problems/registration-closed");
}

#[test]
fn a_mode_that_nobody_knows_lets_nobody_in() {
    let app = app();
    app.set("registration", "opne");
    assert_eq!(register_with(&app, "alice", json!({})).status, 500);
}

#[test]
fn an_invitation_lets_one_in() {
    let app = app();
    let root = admin(&app);
    app.set("registration", "invite");
    let refused = register_with(&app, "alice", json!({}));
    assert_eq!(problem(&refused), "/problems/invitation-required");
    let invitation = invite(&app, &root, json!({}));
    assert_eq!(invitation["status"], "open");
    let code = json!({ "invitation_code": invitation["code"] });
    let alice = register_with(&app, "alice", code.clone()).expect(201);
    assert_eq!(alice["user"]["role"], "user");
    let again = register_with(&app, "bob", code);
    assert_eq!(problem(&again), "/problems/invitation-refused");
    let guessed = register_with(&app, "bob", json!({ "invitation_code": "nki_guess" }));
    assert_eq!(problem(&guessed), "/problems/invitation-refused");
    let id = invitation["id"].as_str().unwrap();
    let kept = app
        .get(&format!("/api/v1/auth/invitations/{id}"))
        .bearer(access(&root))
        .send()
        .expect(200);
    assert_eq!(kept["status"], "used");
    assert_eq!(kept["used_by"], alice["user"]["id"]);
    assert_eq!(kept["code"], Value::Null);
}

#[test]
fn a_failed_registration_does_not_spend_the_invitation() {
    let app = app();
    let root = admin(&app);
    app.set("registration", "invite");
    let code = json!({ "invitation_code": invite(&app, &root, json!({}))["code"] });
    assert_eq!(register_with(&app, "root", code.clone()).status, 409);
    assert_eq!(register_with(&app, "alice", code).status, 201);
}

#[test]
fn an_invitation_for_an_address_is_for_that_one() {
    let app = app();
    let root = admin(&app);
    app.set("registration", "invite");
    let invitation = invite(&app, &root, json!({ "email": "Alice@Example.com" }));
    let code = &invitation["code"];
    let other = register_with(
        &app,
        "mallory",
        json!({ "invitation_code": code, "email": "mallory@example.com" }),
    );
    assert_eq!(problem(&other), "/problems/invitation-refused");
    // Who does not say gets it.
    let alice = register_with(&app, "alice", json!({ "invitation_code": code })).expect(201);
    assert_eq!(alice["user"]["email"], "alice@example.com");
}

#[test]
fn expired_and_withdrawn_invitations_are_refused() {
    let app = app();
    let root = admin(&app);
    app.set("registration", "invite");
    let withdrawn = invite(&app, &root, json!({}));
    let path = format!(
        "/api/v1/auth/invitations/{}",
        withdrawn["id"].as_str().unwrap()
    );
    let delete = || app.delete(&path).bearer(access(&root)).send().status;
    assert_eq!([delete(), delete()], [204, 404]);
    let expiring = invite(&app, &root, json!({ "expires_in_hours": 1 }));
    app.advance_ms(60 * 60 * 1_000);
    for invitation in [withdrawn, expiring] {
        let code = json!({ "invitation_code": invitation["code"] });
        let refused = register_with(&app, "alice", code);
        assert_eq!(problem(&refused), "/problems/invitation-refused");
    }
}

#[test]
fn an_invitation_that_was_used_since_it_was_read_stays() {
    let app = app();
    let root = admin(&app);
    let invitation = invite(&app, &root, json!({}));
    let path = format!(
        "/api/v1/auth/invitations/{}",
        invitation["id"].as_str().unwrap()
    );
    let etag = || {
        let read = app.get(&path).bearer(access(&root)).send();
        read.headers.get("etag").unwrap().to_owned()
    };
    let delete = |version: &str| {
        let request = app.delete(&path).bearer(access(&root));
        request.header("if-match", version).send().status
    };
    let open = etag();
    app.set("registration", "invite");
    let code = json!({ "invitation_code": invitation["code"] });
    assert_eq!(register_with(&app, "alice", code).status, 201);
    assert_eq!(delete(&open), 412);
    assert_eq!(delete(&etag()), 204);
}

#[test]
fn the_list_shows_no_code_and_faults_are_named() {
    let app = app();
    let root = admin(&app);
    let made: Vec<Value> = (0..3)
        .map(|_| {
            app.advance_ms(1_000);
            invite(&app, &root, json!({}))
        })
        .collect();
    let list = app
        .get("/api/v1/auth/invitations?limit=2")
        .bearer(access(&root))
        .send();
    let page = list.expect(200);
    assert_eq!(page["pagination"]["total"], 3);
    assert_eq!(page["data"][0]["id"], made[2]["id"]);
    for invitation in &made {
        let code = invitation["code"].as_str().unwrap();
        assert!(!String::from_utf8_lossy(&list.body).contains(code));
    }
    let bad = app
        .post("/api/v1/auth/invitations")
        .bearer(access(&root))
        .json(&json!({ "email": "x", "expires_in_hours": 721, "role": "admin" }))
        .send();
    assert_eq!(bad.faults(), ["/email", "/expires_in_hours", "/role"]);
}

#[test]
fn guesses_of_invitations_are_limited() {
    let app = app();
    app.set("registration", "invite");
    let guess = || register_with(&app, "alice", json!({ "invitation_code": "x" })).status;
    let statuses: Vec<u16> = (0..21).map(|_| guess()).collect();
    assert_eq!(statuses[19..], [403, 429]);
    // Those who need none are not concerned.
    app.set("registration", "open");
    register(&app, "bob");
}
