//! Turns at hashing. What other instances do is written into the database behind the component's back.

use super::{PASSWORD, login, register};
use nokube_guest::db::Value;
use nokube_guest::testing::TestApp;

/// One turn at a time, so that a test can take them all.
fn app() -> TestApp {
    let app = super::app();
    app.set("hashes_at_once", "1");
    app
}

#[test]
fn who_finds_the_queue_full_is_told_to_come_back() {
    let app = app();
    register(&app, "alice");
    for _ in 0..16 {
        app.sql(
            "auth",
            "INSERT INTO hash_turns (running, until_ms) VALUES (0, 1800000900000)",
        );
    }
    let refused = login(&app, "alice", PASSWORD);
    assert_eq!(refused.expect(429)["type"], "/problems/too-many-sign-ins");
    assert_eq!(refused.headers.get("retry-after"), Some("2"));
}

#[test]
fn a_turn_that_does_not_come_is_given_up() {
    let app = app();
    register(&app, "alice");
    app.sql(
        "auth",
        "INSERT INTO hash_turns (running, until_ms) VALUES (1, 1800000900000)",
    );
    assert_eq!(login(&app, "alice", PASSWORD).status, 429);
    let left = app.sql("auth", "SELECT count(*) FROM hash_turns");
    assert_eq!(left[0][0], Value::Integer(1), "it left the queue");
}

#[test]
fn a_turn_whose_instance_died_ends_and_the_next_begins() {
    let app = app();
    register(&app, "alice");
    // 1.5 seconds from now: less than one waits for, and more than a lease lasts unrenewed.
    app.sql(
        "auth",
        "INSERT INTO hash_turns (running, until_ms) VALUES (1, 1800000001500)",
    );
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
    let left = app.sql("auth", "SELECT count(*) FROM hash_turns");
    assert_eq!(left[0][0], Value::Integer(0));
}

#[test]
fn a_turn_is_as_long_as_hashes_are_dear_whether_it_came_at_once_or_not() {
    let app = app();
    register(&app, "alice");
    app.sql("auth", "CREATE TABLE turns (until_ms INTEGER)");
    for (when, of) in [("INSERT", "i"), ("UPDATE", "u")] {
        app.sql(
            "auth",
            &format!(
                "CREATE TRIGGER {of} AFTER {when} ON hash_turns WHEN new.running = 1 BEGIN \
                 INSERT INTO turns VALUES (new.until_ms); END"
            ),
        );
    }
    // Twice the memory, twice the passes and one more.
    app.set("password_memory_kib", "38912");
    for (passes, waits_until, turns_end) in [
        ("4", None, 1_800_000_004_000),
        ("5", None, 1_800_000_005_000),
        ("5", Some("1800000000500"), 1_800_000_005_500),
    ] {
        app.set("password_passes", passes);
        if let Some(until) = waits_until {
            let other = "INSERT INTO hash_turns (running, until_ms) VALUES (1,";
            app.sql("auth", &format!("{other} {until})"));
        }
        app.sql("auth", "DELETE FROM turns");
        let _ = login(&app, "alice", "not the password");
        let turns = app.sql("auth", "SELECT max(until_ms) FROM turns");
        assert_eq!(turns[0][0], Value::Integer(turns_end), "{passes}");
    }
}

#[test]
fn who_was_sent_away_from_a_full_queue_did_not_guess_wrong() {
    let app = app();
    app.set("login_limit_per_account", "2");
    register(&app, "alice");
    app.sql(
        "auth",
        "INSERT INTO hash_turns (running, until_ms) VALUES (1, 1800000060000)",
    );
    for _ in 0..5 {
        let refused = login(&app, "alice", PASSWORD);
        assert_eq!(refused.expect(429)["type"], "/problems/too-many-sign-ins");
    }
}

#[test]
fn a_password_that_changes_while_a_sign_in_checks_the_old_one_begins_no_session() {
    let app = app();
    register(&app, "alice");
    let sessions = || app.sql("auth", "SELECT count(*) FROM sessions");
    let before = sessions();
    // The turn ends when the password was found right, before there is a session.
    app.sql(
        "auth",
        "CREATE TRIGGER change AFTER DELETE ON hash_turns BEGIN \
         UPDATE users SET password_hash = password_hash || 'x'; END",
    );
    let refused = login(&app, "alice", PASSWORD);
    assert_eq!(refused.expect(429)["type"], "/problems/too-many-sign-ins");
    assert_eq!(sessions(), before);
}

#[test]
fn a_name_in_the_course_of_registration_is_taken_until_that_ends() {
    let app = app();
    register(&app, "first");
    app.sql(
        "auth",
        "INSERT INTO registrations (claim, until_ms) VALUES ('username:alice', 1800000010000)",
    );
    let body = serde_json::json!({ "username": "alice", "password": PASSWORD });
    let again = || app.post("/api/v1/auth/register").json(&body).send().status;
    assert_eq!(again(), 409);
    app.advance_ms(10_000);
    assert_eq!(again(), 201);
    assert_eq!(again(), 409);
    let left = app.sql("auth", "SELECT count(*) FROM registrations");
    assert_eq!(left[0][0], Value::Integer(0));
}
