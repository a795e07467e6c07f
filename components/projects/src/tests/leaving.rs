//! Forgetting a user whose account is about to be deleted.

use super::{alice, app, create, create_named};
use nokube_guest::testing::TestApp;

fn forget(app: &TestApp, id: i64) -> serde_json::Value {
    app.delete(&format!("/internal/owners/{id}"))
        .bearer("test-system-token")
        .send()
        .expect(200)
}

#[test]
fn nobody_is_forgotten_who_owns_projects() {
    let app = app();
    create_named(&app, &alice(&app), "Shop");
    create_named(&app, &alice(&app), "Blog");
    assert_eq!(forget(&app, 1)["owned_projects"], 2);
    let audit = format!("{:?}", app.sql("platform", "SELECT * FROM audit"));
    assert!(audit.contains("alice") && !audit.contains("user.forget"));
}

#[test]
fn a_forgotten_user_is_a_number_in_the_audit_trail_and_a_member_of_nothing() {
    let app = app();
    create_named(&app, &app.token(2, "bob", "user"), "Shop");
    let _ = app
        .post("/api/v1/projects")
        .bearer(&alice(&app))
        .header("idempotency-key", "one")
        .json(&serde_json::json!({ "name": "Gone" }))
        .send()
        .expect(201);
    app.set_member(1, 1, "alice", Some("viewer"));
    for owner in [1, 2] {
        for statement in [
            "INSERT INTO events VALUES (@, @, 'id', 'Sale', 'sale', NULL, 1, 0, 0, 0, 'draft', 0, 0, 0)",
            "INSERT INTO event_words VALUES (@, 'sale', @)",
            "INSERT INTO event_owners VALUES (@, 1)",
            "INSERT INTO event_feeds VALUES (@, 'user', 'hash @', 0, NULL, 0, 0)",
        ] {
            app.sql("platform", &statement.replace('@', &owner.to_string()));
        }
    }
    let left = app
        .delete("/api/v1/projects/1/members/alice")
        .bearer(&alice(&app))
        .send();
    assert_eq!(left.status, 204);
    let deleted = app.delete("/api/v1/projects/2").bearer(&alice(&app)).send();
    assert_eq!(deleted.status, 204);
    assert_eq!(forget(&app, 1)["owned_projects"], 0);
    assert_eq!(forget(&app, 1)["owned_projects"], 0, "once more is no harm");
    for table in ["project_members", "idempotency_keys"] {
        let rows = app.sql(
            "platform",
            &format!("SELECT * FROM {table} WHERE user_id = 1"),
        );
        assert!(rows.is_empty(), "{table}: {rows:?}");
    }
    for table in ["events", "event_words", "event_owners", "event_feeds"] {
        let left = format!(
            "{:?}",
            app.sql("platform", &format!("SELECT owner_id FROM {table}"))
        );
        assert_eq!(left, "[[Integer(2)]]", "{table}: bob's");
    }
    let of_alice = format!(
        "{:?}",
        app.sql("platform", "SELECT * FROM audit WHERE actor_id = 1")
    );
    assert!(
        of_alice.contains("project.delete") && of_alice.contains("member.leave"),
        "{of_alice}"
    );
    assert!(
        !of_alice.contains("alice") && !of_alice.contains("192.0.2.1"),
        "{of_alice}"
    );
    let of_bob = format!(
        "{:?}",
        app.sql("platform", "SELECT * FROM audit WHERE actor_id = 2")
    );
    assert!(of_bob.contains("bob") && of_bob.contains("192.0.2.1"));
}

#[test]
fn the_token_of_a_forgotten_user_makes_nothing() {
    let app = app();
    let (user, body) = (alice(&app), serde_json::json!({ "name": "Shop" }));
    assert_eq!(forget(&app, 1)["owned_projects"], 0);
    let refused = create(&app, &user, &body);
    assert_eq!(refused.expect(401)["type"], "/problems/unauthenticated");
    let keyed = || {
        let request = app.post("/api/v1/projects").bearer(&user);
        request.header("idempotency-key", "one").json(&body).send()
    };
    assert_eq!(keyed().status, 401);
    for table in ["projects", "idempotency_keys"] {
        let rows = app.sql("platform", &format!("SELECT * FROM {table}"));
        assert!(rows.is_empty(), "{table}: {rows:?}");
    }
    create_named(&app, &app.token(2, "bob", "user"), "Shop");
    // Should the account have stayed all the same.
    app.advance_ms(60 * 60 * 1_000);
    create_named(&app, &alice(&app), "Shop");
    forget(&app, 3);
    let remembered = app.sql("platform", "SELECT user_id FROM forgotten_users");
    assert_eq!(remembered, [[nokube_guest::db::Value::Integer(3)]]);
}

#[test]
fn what_forgetting_takes_away_can_be_taken_along_before() {
    let app = app();
    create_named(&app, &app.token(2, "bob", "user"), "Shop");
    create_named(&app, &alice(&app), "Own");
    app.sql(
        "platform",
        "INSERT INTO project_members (project_id, user_id, username, role, added_at_ms) \
         VALUES (1, 1, 'alice', 'viewer', 0)",
    );
    // Two hundred and three of alice's, a whole day each, and one of bob's.
    app.sql(
        "platform",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 204) \
         INSERT INTO events (owner_id, id, title, title_key, is_whole_days, start_ms, end_ms, \
         until_ms, status, sequence, created_at_ms, updated_at_ms) \
         SELECT 1 + (i = 204), printf('01985000-0000-7000-8000-%012d', i), 'Event ' || i, '', 1, \
         1800000000000 / 86400000 * 86400000, 1800000000000 / 86400000 * 86400000, 0, 'draft', 0, \
         i, i FROM n",
    );
    app.sql(
        "platform",
        "INSERT INTO event_feeds VALUES (1, 'alice', 'a secret hash', 0, NULL, 0, 0)",
    );
    let piece = |query: &str| {
        let request = app.get(&format!("/internal/owners/1{query}"));
        request.bearer("test-system-token").send().expect(200)
    };
    let first = piece("");
    let roles: Vec<_> = first["memberships"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| format!("{} {}", member["project"], member["role"]).replace('"', ""))
        .collect();
    assert_eq!(roles, ["Shop viewer", "Own owner"]);
    assert_eq!(
        first["calendar_feed"]["created_at"],
        "1970-01-01T00:00:00.000Z"
    );
    assert_eq!(first["events"].as_array().unwrap().len(), 200);
    let event = &first["events"][0];
    assert_eq!(
        (&event["title"], &event["start_date"], &event["all_day"]),
        (&"Event 1".into(), &"2027-01-15".into(), &true.into())
    );
    let did = &first["activity"][0];
    assert_eq!(
        (&did["action"], &did["address"]),
        (&"project.create".into(), &"192.0.2.1".into())
    );
    let second = piece(&format!("?after={}", first["next"].as_str().unwrap()));
    assert_eq!(second["events"].as_array().unwrap().len(), 3);
    assert_eq!(second["next"], serde_json::Value::Null);
    assert!(second["memberships"].as_array().unwrap().is_empty());
    for (text, is_there) in [("secret", false), ("bob", false), ("Event 203", true)] {
        let all = format!("{first}{second}");
        assert_eq!(all.contains(text), is_there, "{text}");
    }
    let refused = app.get("/internal/owners/1").bearer(&alice(&app)).send();
    assert_eq!(refused.status, 401);
}
