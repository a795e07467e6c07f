//! Reading what was done.

use super::{PASSWORD, access, admin, app, login, register};
use nokube_domain::Timestamp;
use nokube_guest::TimeCursor;
use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::Value;

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
