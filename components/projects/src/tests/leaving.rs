//! Forgetting a user whose account is about to be deleted.

use super::{alice, app, create_named};
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
    for table in ["events", "event_words", "event_feeds"] {
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
