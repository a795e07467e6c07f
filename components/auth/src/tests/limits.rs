//! How often credentials may be tried.

use super::{PASSWORD, access, api_token, app, exchange, login, refresh, register};
use serde_json::json;

#[test]
fn failures_of_one_account_are_limited_and_forgotten_in_time() {
    let app = app();
    app.set("login_limit_per_account", "3");
    register(&app, "alice");
    for left in [2, 1, 0] {
        let answer = login(&app, "alice", "wrong password");
        assert_eq!(answer.status, 401);
        let standings = &answer.headers.0;
        let expected = format!("\"account\";r={left};");
        assert!(
            standings
                .iter()
                .any(|(name, value)| name == "ratelimit" && value.starts_with(&expected)),
            "{standings:?}"
        );
    }
    let refused = login(&app, "alice", PASSWORD);
    assert_eq!(refused.expect(429)["type"], "/problems/too-many-attempts");
    assert_eq!(refused.headers.get("retry-after"), Some("30"));
    app.advance_ms(30_000);
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
}

#[test]
fn the_name_and_the_address_of_an_account_have_one_budget() {
    let app = app();
    app.set("login_limit_per_account", "3");
    let body = json!({
        "username": "alice", "email": "alice@example.com", "password": PASSWORD
    });
    let _ = app
        .post("/api/v1/auth/register")
        .json(&body)
        .send()
        .expect(201);
    let by = |field: &str, name: &str, password: &str| {
        let body = json!({ field: name, "password": password });
        app.post("/api/v1/auth/login").json(&body).send().status
    };
    assert_eq!(by("username", "alice", "wrong password"), 401);
    assert_eq!(by("email", "alice@example.com", "wrong password"), 401);
    assert_eq!(by("username", "ALICE", "wrong password"), 401);
    assert_eq!(by("email", "alice@example.com", PASSWORD), 429);
    assert_eq!(by("username", "alice", PASSWORD), 429);
    // What nobody has is counted as it is typed.
    assert_eq!(by("username", "nobody", "wrong password"), 401);
    app.advance_ms(30_000);
    assert_eq!(by("username", "alice", PASSWORD), 200);
    assert_eq!(by("email", "alice@example.com", "wrong password"), 401);
}

#[test]
fn success_forgets_the_failures_of_an_account() {
    let app = app();
    app.set("login_limit_per_account", "2");
    register(&app, "alice");
    for _ in 0..4 {
        assert_eq!(login(&app, "alice", "wrong password").status, 401);
        assert_eq!(login(&app, "alice", PASSWORD).status, 200);
    }
}

#[test]
fn an_account_can_not_ask_which_addresses_are_taken() {
    let app = app();
    let bob = json!({ "username": "bob", "email": "bob@example.com", "password": PASSWORD });
    let _ = app
        .post("/api/v1/auth/register")
        .json(&bob)
        .send()
        .expect(201);
    let [alice, carol] = ["alice", "carol"].map(|name| register(&app, name));
    let change = |tokens: &serde_json::Value, email: &str| {
        let request = app.patch("/api/v1/auth/me").bearer(access(tokens));
        request.json(&json!({ "email": email })).send()
    };
    for left in (0..20).rev() {
        let answer = change(&alice, &format!("alice{left}@example.com"));
        let standing = format!("\"account\";r={left};t=900");
        assert_eq!(answer.headers.get("ratelimit"), Some(standing.as_str()));
    }
    let over = change(&alice, "bob@example.com");
    assert_eq!(over.expect(429)["type"], "/problems/too-many-attempts");
    for _ in 0..20 {
        assert_eq!(change(&carol, "bob@example.com").status, 409);
    }
    assert_eq!(change(&carol, "free@example.com").status, 429);
    app.advance_ms(15 * 60_000);
    let carol = login(&app, "carol", PASSWORD).expect(200);
    assert_eq!(change(&carol, "free@example.com").status, 200);
}

#[test]
fn one_address_can_not_try_many_accounts() {
    let app = app();
    app.set("login_limit_per_address", "3");
    for name in ["aa", "bb", "cc"] {
        assert_eq!(login(&app, name, "wrong password").status, 401);
    }
    assert_eq!(login(&app, "dd", "wrong password").status, 429);
}

#[test]
fn an_address_over_its_limit_neither_locks_accounts_nor_fills_the_database() {
    let app = app();
    register(&app, "alice");
    app.set("login_limit_per_address", "1");
    app.set("login_limit_per_account", "3");
    for n in 0..5 {
        let unknown = format!("{n}{}", "x".repeat(100_000));
        login(&app, &unknown, "wrong password");
        login(&app, "alice", "wrong password");
    }
    let rows = app.sql(
        "auth",
        "SELECT count(*), max(length(bucket)) < 110 FROM throttles",
    );
    // The account of the one attempt that it had, from there and from everywhere.
    assert_eq!(rows[0][0], nokube_guest::db::Value::Integer(2));
    assert_eq!(rows[0][1], nokube_guest::db::Value::Integer(1));
    app.set("login_limit_per_address", "1000");
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
}

#[test]
fn fifty_registrations_from_one_address_are_fine() {
    let app = app();
    for n in 0..5 {
        register(&app, &format!("user{n}"));
    }
    let left = 600 - 5;
    let rows = app.sql(
        "auth",
        "SELECT 600 - count FROM attempts WHERE bucket LIKE 'register:%'",
    );
    assert_eq!(rows[0][0], nokube_guest::db::Value::Integer(left));
}

#[test]
fn refreshing_from_one_address_is_bounded_and_spends_no_token_beyond() {
    let app = app();
    app.set("refresh_limit_per_address", "2");
    let tokens = register(&app, "alice");
    let first = refresh(&app, &tokens);
    let standing = first.headers.get("ratelimit").unwrap();
    assert_eq!(standing, "\"address\";r=1;t=900");
    let first = first.expect(200);
    let wrong = json!({ "refresh_token": "nkr_none" });
    let refused = refresh(&app, &wrong);
    assert_eq!(refused.expect(401)["type"], "/problems/refresh-refused");
    assert!(refused.headers.get("ratelimit").is_some());
    let over = refresh(&app, &first);
    assert_eq!(over.expect(429)["type"], "/problems/too-many-attempts");
    assert_eq!(over.headers.get("retry-after"), Some("900"));
    app.advance_ms(15 * 60_000);
    assert_eq!(refresh(&app, &first).status, 200);
}

#[test]
fn right_passwords_from_one_address_are_bounded_over_all_accounts() {
    let app = app();
    app.set("auth_sealing_key", super::totp::KEY);
    app.set("login_limit_per_address", "2");
    let [alice, bob] = ["alice", "bob"].map(|name| register(&app, name));
    let begin = |tokens, from: &str| {
        let request = app.post("/api/v1/auth/totp").bearer(access(tokens));
        let request = request.header("spin-client-addr", from);
        request.json(&json!({ "password": PASSWORD })).send()
    };
    let first = begin(&alice, "203.0.113.1:1");
    assert_eq!(first.status, 201);
    let standing = first.headers.get("ratelimit").unwrap();
    assert_eq!(standing, "\"address\";r=1;t=900");
    assert_eq!(begin(&bob, "203.0.113.1:2").status, 201);
    let over = begin(&alice, "203.0.113.1:3");
    assert_eq!(over.expect(429)["type"], "/problems/too-many-attempts");
    assert_eq!(over.headers.get("retry-after"), Some("900"));
    assert_eq!(begin(&alice, "203.0.113.2:1").status, 201);
}

#[test]
fn registering_and_exchanging_from_one_address_are_bounded() {
    let app = app();
    app.set("register_limit_per_address", "2");
    app.set("token_limit_per_address", "1");
    let alice = register(&app, "alice");
    register(&app, "bob");
    let body = json!({ "username": "carol", "password": PASSWORD });
    let over = app.post("/api/v1/auth/register").json(&body).send();
    assert_eq!(over.expect(429)["type"], "/problems/too-many-attempts");
    let mut token = api_token(&app, access(&alice), &["read"]);
    assert_eq!(exchange(&app, &token).status, 200);
    let over = exchange(&app, &token);
    assert_eq!(over.expect(429)["type"], "/problems/too-many-attempts");
    // What was never a token is refused before anything is counted.
    token["token"] = "nkp_none".into();
    assert_eq!(exchange(&app, &token).status, 401);
}
