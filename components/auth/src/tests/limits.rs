//! How often credentials may be tried.

use super::{PASSWORD, app, login, register};

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
