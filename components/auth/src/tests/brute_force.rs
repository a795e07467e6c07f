//! Trying passwords: what it costs who tries, and that it keeps nobody else out.

use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::json;

use super::{PASSWORD, app, register};

/// Signs in from an address.
fn login_from(app: &TestApp, address: &str, username: &str, password: &str) -> TestAnswer {
    app.post("/api/v1/auth/login")
        .header("spin-client-addr", address)
        .json(&json!({ "username": username, "password": password }))
        .send()
}

fn wrong_from(app: &TestApp, address: &str) -> u16 {
    login_from(app, address, "alice", "wrong password").status
}

#[test]
fn each_failure_after_the_free_ones_doubles_the_delay() {
    let app = app();
    app.set("login_limit_per_account", "2");
    register(&app, "alice");
    for _ in 0..2 {
        assert_eq!(wrong_from(&app, "203.0.113.1:1"), 401);
    }
    for delay_seconds in [30_i64, 60, 120, 240, 480, 900, 900] {
        let refused = login_from(&app, "203.0.113.1:1", "alice", PASSWORD);
        assert_eq!(refused.status, 429);
        let expected = delay_seconds.to_string();
        assert_eq!(refused.headers.get("retry-after"), Some(expected.as_str()));
        app.advance_ms(delay_seconds * 1_000);
        assert_eq!(wrong_from(&app, "203.0.113.1:1"), 401);
    }
}

#[test]
fn a_stranger_keeps_nobody_out_of_where_they_are_known() {
    let app = app();
    app.set("login_limit_everywhere", "5");
    // Registering signs in from 192.0.2.1.
    register(&app, "alice");
    for n in 0..5 {
        assert_eq!(wrong_from(&app, &format!("203.0.113.{n}:1")), 401);
    }
    assert_eq!(wrong_from(&app, "203.0.113.9:1"), 429);
    assert_eq!(
        login_from(&app, "192.0.2.1:9", "alice", PASSWORD).status,
        200
    );
    // Who moves waits, but never more than a minute.
    for _ in 0..20 {
        app.advance_ms(60_000);
        assert_eq!(wrong_from(&app, "203.0.113.9:1"), 401);
        app.advance_ms(15 * 60_000);
    }
    app.advance_ms(60_000);
    assert_eq!(
        login_from(&app, "198.51.100.7:1", "alice", PASSWORD).status,
        200
    );
}

#[test]
fn signing_in_does_not_free_those_who_try_elsewhere() {
    let app = app();
    app.set("login_limit_everywhere", "3");
    register(&app, "alice");
    for n in 0..2 {
        assert_eq!(wrong_from(&app, &format!("203.0.113.{n}:1")), 401);
    }
    // From an unknown address: given back, but no more than that.
    assert_eq!(
        login_from(&app, "198.51.100.7:1", "alice", PASSWORD).status,
        200
    );
    assert_eq!(wrong_from(&app, "203.0.113.3:1"), 401);
    assert_eq!(wrong_from(&app, "203.0.113.4:1"), 429);
}

#[test]
fn a_network_of_ipv6_counts_as_one_address() {
    let app = app();
    app.set("login_limit_per_account", "2");
    register(&app, "alice");
    for host in ["1", "2"] {
        assert_eq!(wrong_from(&app, &format!("[2001:db8:1:2::{host}]:1")), 401);
    }
    assert_eq!(wrong_from(&app, "[2001:db8:1:2:ffff::3]:1"), 429);
    assert_eq!(wrong_from(&app, "[2001:db8:1:3::1]:1"), 401);
}

#[test]
fn what_a_client_says_of_its_address_is_not_believed() {
    let app = app();
    app.set("login_limit_per_account", "2");
    register(&app, "alice");
    let status = |n: i32| {
        app.post("/api/v1/auth/login")
            .header("x-forwarded-for", &format!("198.51.100.{n}"))
            .header("x-nokube-client-address", &format!("198.51.100.{n}"))
            .header("forwarded", &format!("for=198.51.100.{n}"))
            .header("spin-client-addr", "203.0.113.1:1")
            .json(&json!({ "username": "alice", "password": "wrong password" }))
            .send()
            .status
    };
    assert_eq!([status(1), status(2), status(3)], [401, 401, 429]);
}

#[test]
fn behind_a_trusted_proxy_and_a_chained_call_the_client_counts() {
    let app = app();
    app.set("login_limit_per_account", "1");
    app.set("trusted_proxies", "10.0.0.0/8");
    register(&app, "alice");
    let body = json!({ "username": "alice", "password": "wrong password" });
    let by_proxy = |client: &str| {
        app.post("/api/v1/auth/login")
            .header("x-forwarded-for", client)
            .header("spin-client-addr", "10.0.0.1:1")
            .json(&body)
            .send()
            .status
    };
    assert_eq!(by_proxy("203.0.113.1"), 401);
    assert_eq!(by_proxy("203.0.113.1"), 429);
    assert_eq!(by_proxy("203.0.113.2"), 401);
    let by_platform = |client: &str| {
        app.post("/api/v1/auth/login")
            .bearer("test-system-token")
            .header("x-nokube-client-address", client)
            .json(&body)
            .send()
            .status
    };
    assert_eq!(by_platform("203.0.113.1"), 429);
    assert_eq!(by_platform("203.0.113.3"), 401);
}

#[test]
fn only_the_newest_addresses_of_a_user_are_remembered() {
    let app = app();
    register(&app, "alice");
    for n in 0..30 {
        app.advance_ms(1_000);
        let address = format!("198.51.100.{n}:1");
        assert_eq!(login_from(&app, &address, "alice", PASSWORD).status, 200);
    }
    let rows = app.sql("auth", "SELECT count(*) FROM known_addresses");
    assert_eq!(rows[0][0], nokube_guest::db::Value::Integer(20));
}
