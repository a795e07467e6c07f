//! `nokube admin`: what it asks of this component on the machine itself.

use nokube_guest::testing::TestApp;
use serde_json::json;

use super::number;

#[test]
fn resetting_a_password_tells_of_api_tokens_and_revokes_them_when_told_to() {
    let app = TestApp::new(&crate::MACHINE);
    let reset = |body| {
        let request = app.post("/machine/reset-password").json(&body);
        request.bearer("test-system-token").send()
    };
    let body = json!({ "account": "alice", "password": "gravel monkey lamp" });
    assert_eq!(reset(body.clone()).status, 404);
    for rows in [
        "users (username, password_hash, role, created_at_ms, updated_at_ms) \
         VALUES ('alice', 'x', 'user', 0, 0), ('bob', 'x', 'user', 0, 0)",
        // Alice's, one that has ended, and bob's.
        "api_tokens (id, user_id, token_hash, name, scopes, created_at_ms, expires_at_ms) VALUES \
         ('a', 1, 'a', 'ci', 'read', 0, 1900000000000), ('b', 1, 'b', 'ci', 'read', 0, 1), \
         ('c', 2, 'c', 'ci', 'read', 0, 1900000000000)",
    ] {
        app.sql("auth", &format!("INSERT INTO {rows}"));
    }
    let kept = reset(body.clone()).expect(200);
    assert_eq!(
        (&kept["tokens_left"], &kept["tokens_revoked"]),
        (&json!(1), &json!(0))
    );
    let mut body = body;
    body["revoke_tokens"] = true.into();
    let revoked = reset(body).expect(200);
    assert_eq!(
        (&revoked["tokens_left"], &revoked["tokens_revoked"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(number(&app, "SELECT count(*) FROM api_tokens"), 1, "bob's");
}
