//! Reading what was done.

use super::{PASSWORD, access, admin, api_token, app, exchange, login, number, register};
use nokube_domain::Timestamp;
use nokube_guest::TimeCursor;
use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

fn read(app: &TestApp, tokens: &Value, query: &str) -> TestAnswer {
    let path = format!("/api/v1/auth/audit?{query}");
    app.get(&path).bearer(access(tokens)).send()
}

fn actions(page: &Value) -> String {
    let entries = page["data"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            format!(
                "{}:{}",
                entry["actor"].as_str().unwrap(),
                entry["action"].as_str().unwrap()
            )
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn users_read_their_own_entries_and_administrators_all() {
    let app = app();
    let root = admin(&app);
    let alice = register(&app, "alice");
    let _ = login(&app, "alice", PASSWORD).expect(200);
    let own = read(&app, &alice, "").expect(200);
    assert_eq!(actions(&own), "alice:session.create alice:user.register");
    assert_eq!(own["data"][0]["address"], "192.0.2.1");
    assert_eq!(read(&app, &alice, "actor=alice").expect(200), own);
    assert_eq!(read(&app, &alice, "actor=root").status, 403);
    assert_eq!(read(&app, &alice, "actor=system").status, 403);
    assert_eq!(
        actions(&read(&app, &root, "").expect(200)),
        "alice:session.create alice:user.register root:user.register"
    );
    // An administrator no longer: auth looks at the present role.
    app.sql("auth", "UPDATE users SET role = 'user'");
    assert_eq!(
        actions(&read(&app, &root, "").expect(200)),
        "root:user.register"
    );
}

#[test]
fn how_somebody_signed_in_is_told() {
    let app = app();
    app.set("auth_sealing_key", super::totp::KEY);
    let root = admin(&app);
    let alice = register(&app, "alice");
    let _ = login(&app, "alice", PASSWORD).expect(200);
    let codes = super::totp::enabled(&app, &alice);
    let with = |code: &Value| {
        let body = json!({ "username": "alice", "password": PASSWORD, "recovery_code": code });
        let request = app.post("/api/v1/auth/login").json(&body);
        request.send().status
    };
    assert_eq!([with(&codes[0]), with(&codes[0])], [200, 401]);
    let page = read(&app, &root, "action=session.create").expect(200);
    assert_eq!(page["data"][0]["detail"]["second_factor"], "recovery_code");
    assert_eq!(page["data"][1]["detail"]["second_factor"], Value::Null);
    // Whoever was refused knows the password: no matter how few.
    let page = read(&app, &root, "action=totp.refuse").expect(200);
    assert_eq!(page["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["data"][0]["target"], "user:2");
    assert_eq!(page["data"][0]["address"], "192.0.2.1");
}

#[test]
fn guessing_is_told_once_however_long_it_goes_on() {
    let app = app();
    app.set("login_limit_per_account", "3");
    let root = admin(&app);
    let alice = register(&app, "alice");
    let told = || {
        let page = read(&app, &root, "action=throttle.close").expect(200);
        let entries = page["data"].as_array().unwrap().iter();
        let words = |entry: &Value| {
            let counts = entry["detail"]["counts"].as_str().unwrap();
            format!("{} {counts}", entry["target"].as_str().unwrap())
        };
        entries.map(words).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        assert_eq!(login(&app, "alice", "wrong password").status, 401);
    }
    assert_eq!(told(), [""; 0]);
    for delay_seconds in [30, 60, 120] {
        assert_eq!(login(&app, "alice", "wrong password").status, 401);
        assert_eq!(login(&app, "alice", "wrong password").status, 429);
        app.advance_ms(delay_seconds * 1_000);
    }
    let of_alice = "user:2 sign-ins from an address";
    assert_eq!(told(), [of_alice]);
    // Names that nobody has take the same steps.
    for _ in 0..3 {
        assert_eq!(login(&app, "nobody", "wrong password").status, 401);
    }
    let body = json!({ "current_password": "wrong password", "new_password": "another horse" });
    for _ in 0..5 {
        let request = app.post("/api/v1/auth/password").bearer(access(&alice));
        assert_eq!(request.json(&body).send().status, 401);
    }
    let of_nobody = "user:0 sign-ins from an address";
    assert_eq!(told(), ["user:2 password", of_nobody, of_alice]);
}

#[test]
fn an_api_token_is_told_once_a_day() {
    let app = app();
    let alice = register(&app, "alice");
    let token = api_token(&app, access(&alice), &["read"]);
    let told = "SELECT count(*) FROM audit WHERE action = 'token.exchange' AND actor_id = 1";
    for _ in 0..3 {
        assert_eq!(exchange(&app, &token).status, 200);
    }
    assert_eq!(number(&app, told), 1);
    app.advance_ms(24 * 60 * 60 * 1_000);
    assert_eq!(exchange(&app, &token).status, 200);
    assert_eq!(number(&app, told), 2);
}

#[test]
fn entries_are_filtered_and_paged() {
    let app = app();
    let root = admin(&app);
    register(&app, "alice");
    for _ in 0..3 {
        app.advance_ms(60_000);
        let _ = login(&app, "alice", PASSWORD).expect(200);
    }
    let find = |query: &str| actions(&read(&app, &root, query).expect(200));
    assert_eq!(
        find("action=user.register"),
        "alice:user.register root:user.register"
    );
    assert_eq!(
        find("action=user.register&actor=user:1"),
        "root:user.register"
    );
    assert_eq!(find("actor=nobody"), "");
    assert_eq!(
        find("from=2027-01-15T08:01:00Z&to=2027-01-15T08:03:00Z"),
        "alice:session.create alice:session.create"
    );
    let mut seen = 0;
    let mut query = "limit=2".to_owned();
    for _ in 0..3 {
        let page = read(&app, &root, &query).expect(200);
        seen += page["data"].as_array().unwrap().len();
        match page["cursor"].as_str() {
            Some(cursor) => query = format!("limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, 5, "three sign-ins and two registrations, each once");
    for (query, pointer) in [
        ("cursor=AAAAAAAAA-c", "/cursor"),
        ("action=DROP", "/action"),
        ("actor=A%20b", "/actor"),
        ("from=yesterday", "/from"),
    ] {
        assert_eq!(read(&app, &root, query).faults(), [pointer], "{query}");
    }
}

#[test]
fn every_combination_of_filters_reads_an_index_in_order() {
    let app = app();
    let root = admin(&app);
    app.query_plans("auth");
    let cursor = TimeCursor {
        at: Timestamp::from_millis(5),
        id: 1,
    };
    let (from, to) = ("&from=2026-01-01T00:00:00Z", "&to=2026-01-02T00:00:00Z");
    let mut seen = 0;
    for actor in ["", "&actor=user:1", "&actor=system"] {
        for action in ["", "&action=session.create"] {
            for from in ["", from] {
                for to in ["", to] {
                    for after in [String::new(), format!("&cursor={cursor}")] {
                        let query = format!("limit=20{actor}{action}{from}{to}{after}");
                        read(&app, &root, &query).expect(200);
                        let plans = app.query_plans("auth");
                        let of_audit = plans.iter().filter(|(sql, _)| sql.contains("FROM audit"));
                        for (sql, plan) in of_audit {
                            let plan = plan.join("; ");
                            assert!(plan.contains("USING INDEX audit_by_"), "{sql}: {plan}");
                            assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
                            seen += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(seen, 3 * 2 * 2 * 2 * 2);
}
