//! Changing the password, and renewing its hash.

use super::{PASSWORD, access, api_token, app, exchange, login, number, refresh, register};
use nokube_guest::db::Value as Column;
use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

const NEW: &str = "another horse entirely";

fn change(app: &TestApp, tokens: &Value, body: &Value) -> TestAnswer {
    app.post("/api/v1/auth/password")
        .bearer(access(tokens))
        .json(body)
        .send()
}

#[test]
fn another_password_ends_the_other_sessions_and_keeps_this_one_and_the_tokens() {
    let app = app();
    let here = register(&app, "alice");
    let elsewhere = login(&app, "alice", PASSWORD).expect(200);
    let token = api_token(&app, access(&here), &["read"]);
    let body = json!({ "current_password": PASSWORD, "new_password": NEW });
    assert_eq!(change(&app, &here, &body).status, 204);
    assert_eq!(refresh(&app, &elsewhere).status, 401);
    let here = refresh(&app, &here).expect(200);
    assert_eq!(login(&app, "alice", PASSWORD).status, 401);
    assert_eq!(login(&app, "alice", NEW).status, 200);
    let _ = exchange(&app, &token).expect(200);
    let audit = number(
        &app,
        "SELECT count(*) FROM audit WHERE action = 'user.password'",
    );
    assert_eq!(audit, 1);
    let back = json!({ "current_password": NEW, "new_password": PASSWORD, "revoke_tokens": true });
    assert_eq!(change(&app, &here, &back).status, 204);
    assert_eq!(exchange(&app, &token).status, 401);
}

#[test]
fn every_fault_is_told_and_a_wrong_password_changes_nothing() {
    let app = app();
    let tokens = register(&app, "alice");
    let faults = change(
        &app,
        &tokens,
        &json!({ "new_password": "short", "typo": 1 }),
    )
    .faults();
    assert_eq!(faults, ["/current_password", "/new_password", "/typo"]);
    let same = json!({ "current_password": PASSWORD, "new_password": PASSWORD });
    assert_eq!(change(&app, &tokens, &same).faults(), ["/new_password"]);
    let wrong = json!({ "current_password": "wrong password", "new_password": NEW });
    let refused = change(&app, &tokens, &wrong);
    assert_eq!(refused.expect(401)["type"], "/problems/wrong-credentials");
    assert!(refused.headers.get("ratelimit").is_some());
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
}

#[test]
fn a_stolen_access_token_is_no_way_to_try_passwords() {
    let app = app();
    let tokens = register(&app, "alice");
    let wrong = json!({ "current_password": "wrong password", "new_password": NEW });
    for _ in 0..5 {
        assert_eq!(change(&app, &tokens, &wrong).status, 401);
    }
    let right = json!({ "current_password": PASSWORD, "new_password": NEW });
    let refused = change(&app, &tokens, &right);
    assert_eq!(refused.expect(429)["type"], "/problems/too-many-attempts");
    app.advance_ms(30_000 - 1);
    assert_eq!(change(&app, &tokens, &right).status, 429);
    // Who knows the password signs in meanwhile.
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
    app.advance_ms(1);
    assert_eq!(change(&app, &tokens, &right).status, 204);
}

#[test]
fn a_right_password_is_not_counted_whatever_comes_of_the_request() {
    let app = app();
    let tokens = register(&app, "alexander");
    let refused = json!({ "current_password": PASSWORD, "new_password": "alexander" });
    for _ in 0..6 {
        assert_eq!(change(&app, &tokens, &refused).faults(), ["/new_password"]);
    }
    let wrong = json!({ "current_password": "wrong password", "new_password": NEW });
    let left = change(&app, &tokens, &wrong);
    let standings = &left.headers.0;
    let expected = "\"account\";r=4;";
    assert!(
        standings
            .iter()
            .any(|(name, value)| name == "ratelimit" && value.starts_with(expected)),
        "{standings:?}"
    );
}

fn hash(app: &TestApp) -> String {
    match &app.sql("auth", "SELECT password_hash FROM users")[0][0] {
        Column::Text(hash) => hash.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn signing_in_renews_a_hash_that_was_made_with_less() {
    let app = app();
    register(&app, "alice");
    let before = hash(&app);
    assert!(
        before.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{before}"
    );
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
    assert_eq!(hash(&app), before, "it is as it should be");
    app.set("password_passes", "3");
    assert_eq!(login(&app, "alice", "wrong password").status, 401);
    assert_eq!(hash(&app), before);
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
    let after = hash(&app);
    assert!(
        after.starts_with("$argon2id$v=19$m=19456,t=3,p=1$"),
        "{after}"
    );
    // Lower again: nothing becomes weaker than it is.
    app.set("password_passes", "2");
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
    assert_eq!(hash(&app), after);
}

#[test]
fn parameters_below_owasps_or_above_what_a_guest_bears_are_a_fault_of_the_configuration() {
    let app = app();
    register(&app, "alice");
    for (name, value) in [
        ("password_passes", "1"),
        ("password_passes", "17"),
        ("password_memory_kib", "19455"),
        ("password_memory_kib", "65537"),
        ("password_memory_kib", "4294987000"),
    ] {
        app.set(name, value);
        assert_eq!(login(&app, "alice", PASSWORD).status, 500, "{name}={value}");
        app.set(name, "");
    }
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
}
