//! Taking one's data along, and leaving.

use std::rc::Rc;

use super::{
    PASSWORD, access, admin, api_token, app, exchange, login, number, refresh, register, scoped,
};
use nokube_guest::host::OutboundAnswer;
use nokube_guest::testing::{DatabaseFault, TestAnswer, TestApp};
use serde_json::{Value, json};

/// `projects` says that the user owns so many.
fn owning(app: &TestApp, owned: u64) {
    app.answer_calls(move |_| {
        Ok(OutboundAnswer {
            status: 200,
            headers: Vec::new(),
            body: json!({ "owned_projects": owned }).to_string().into_bytes(),
        })
    });
}

/// `projects` keeps two events of the user's, and gives one at a time.
fn keeping(app: &TestApp) {
    let event = |title: &str| {
        json!({
            "id": "01985000-0000-7000-8000-000000000001", "title": title, "description": null,
            "start_date": "2027-06-20", "end_date": "2027-06-21", "all_day": true,
            "status": "draft", "created_at": "2027-01-15T08:00:00.000Z",
            "updated_at": "2027-01-15T08:00:00.000Z",
        })
    };
    let first = json!({
        "memberships": [{
            "project_id": 1, "project": "Shop", "role": "viewer",
            "added_at": "2027-01-15T08:00:00.000Z",
        }],
        "calendar_feed": null, "events": [event("First")], "next": "place",
        "activity": [{
            "id": 1, "time": "2027-01-15T08:00:00.000Z", "actor": "alice", "action": "event.create",
            "target": "event:1", "project_id": null, "detail": {}, "request_id": "r",
            "address": "192.0.2.1",
        }],
        "activity_cursor": "older",
    });
    let second = json!({
        "memberships": [], "calendar_feed": null, "events": [event("Second")], "next": null,
        "activity": [], "activity_cursor": null,
    });
    app.answer_calls(move |request| {
        let body = match request
            .url
            .strip_prefix("http://projects.spin.internal/internal/owners/")
        {
            Some("1") => &first,
            Some("1?after=place") => &second,
            _ => panic!("{}", request.url),
        };
        Ok(OutboundAnswer {
            status: 200,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        })
    });
}

#[test]
fn an_export_is_for_tokens_that_may_read_all_of_it() {
    let app = app();
    let alice = register(&app, "alice");
    keeping(&app);
    let export = |scopes: &[&str]| {
        let token = scoped(&app, &alice, scopes);
        let request = app.get("/api/v1/auth/me/export").bearer(&token);
        request.send().status
    };
    assert_eq!(export(&["account:read"]), 403);
    assert_eq!(export(&["account:read", "projects:read"]), 403);
    assert_eq!(export(&["account:read", "read"]), 200);
}

#[test]
fn exports_of_an_account_are_bounded() {
    let app = app();
    app.answer_calls(|_| {
        let nothing = json!({
            "memberships": [], "calendar_feed": null, "events": [], "next": null,
            "activity": [], "activity_cursor": null,
        });
        Ok(OutboundAnswer {
            status: 200,
            headers: Vec::new(),
            body: nothing.to_string().into_bytes(),
        })
    });
    let [alice, bob] = ["alice", "bob"].map(|name| register(&app, name));
    let export = |tokens: &Value| {
        let request = app.get("/api/v1/auth/me/export").bearer(access(tokens));
        request.send()
    };
    for left in (0..10).rev() {
        let answer = export(&alice);
        assert_eq!(answer.status, 200);
        let standing = format!("\"account\";r={left};t=900");
        assert_eq!(answer.headers.get("ratelimit"), Some(standing.as_str()));
    }
    let over = export(&alice);
    assert_eq!(over.expect(429)["type"], "/problems/too-many-attempts");
    assert_eq!(over.headers.get("retry-after"), Some("900"));
    assert_eq!(export(&bob).status, 200);
    app.advance_ms(15 * 60_000);
    let alice = login(&app, "alice", PASSWORD).expect(200);
    assert_eq!(export(&alice).status, 200);
}

#[test]
fn an_export_without_what_projects_keeps_is_none() {
    let app = app();
    let alice = register(&app, "alice");
    let request = app.get("/api/v1/auth/me/export").bearer(access(&alice));
    assert_eq!(request.send().status, 503);
}

fn leave(app: &TestApp, tokens: &Value, password: &str) -> TestAnswer {
    app.delete("/api/v1/auth/me")
        .bearer(access(tokens))
        .json(&json!({ "current_password": password }))
        .send()
}

#[test]
fn an_account_is_gone_with_all_that_lets_it_in() {
    let app = app();
    admin(&app);
    let alice = register(&app, "alice");
    let token = api_token(&app, access(&alice), &["read"]);
    app.set("auth_sealing_key", &"A".repeat(43));
    let begun = app
        .post("/api/v1/auth/totp")
        .bearer(access(&alice))
        .json(&json!({ "password": PASSWORD }))
        .send();
    assert_eq!(begun.status, 201);
    assert_eq!(login(&app, "alice", "wrong password").status, 401);
    assert_eq!(leave(&app, &alice, "wrong password").status, 401);
    assert_eq!(number(&app, "SELECT count(*) FROM throttles"), 2);
    owning(&app, 0);
    assert_eq!(leave(&app, &alice, PASSWORD).status, 204);
    assert_eq!(number(&app, "SELECT count(*) FROM throttles"), 0);
    assert_eq!(
        app.host.sent.borrow()[0].url,
        "http://projects.spin.internal/internal/owners/2"
    );
    assert_eq!(login(&app, "alice", PASSWORD).status, 401);
    assert_eq!(refresh(&app, &alice).status, 401);
    assert_eq!(exchange(&app, &token).status, 401);
    assert_eq!(leave(&app, &alice, PASSWORD).status, 401);
    for table in ["sessions", "refresh_tokens", "known_addresses"] {
        let left = number(&app, &format!("SELECT count(*) FROM {table}"));
        assert_eq!(left, 1, "{table}: the administrator's");
    }
    for table in ["api_tokens", "totp"] {
        let left = number(&app, &format!("SELECT count(*) FROM {table}"));
        assert_eq!(left, 0, "{table}");
    }
    let trail = format!(
        "{:?}",
        app.sql("auth", "SELECT * FROM audit WHERE actor_id = 2")
    );
    assert!(
        trail.contains("user.register") && trail.contains("user.delete"),
        "{trail}"
    );
    assert!(
        !trail.contains("alice") && !trail.contains("192.0.2.1"),
        "{trail}"
    );
    // The name is free; the number is not.
    assert_eq!(register(&app, "alice")["user"]["id"], 3);
}

#[test]
fn an_administrators_open_invitations_go_along_and_no_address_stays_in_those_that_were_used() {
    let app = app();
    let root = admin(&app);
    let invite = |tokens: &Value, body: Value| {
        let request = app.post("/api/v1/auth/invitations").bearer(access(tokens));
        request.json(&body).send().expect(201)
    };
    let of_alice = invite(&root, json!({ "email": "alice@example.com" }));
    let body = json!({
        "username": "alice", "password": PASSWORD, "invitation_code": of_alice["code"]
    });
    let _ = app
        .post("/api/v1/auth/register")
        .json(&body)
        .send()
        .expect(201);
    app.sql("auth", "UPDATE users SET role = 'admin' WHERE id = 2");
    let alice = login(&app, "alice", PASSWORD).expect(200);
    let open = invite(&alice, json!({}));
    owning(&app, 0);
    assert_eq!(leave(&app, &alice, PASSWORD).status, 204);
    let path = |made: &Value| format!("/api/v1/auth/invitations/{}", made["id"].as_str().unwrap());
    let read = |made: &Value| app.get(&path(made)).bearer(access(&root)).send();
    assert_eq!(read(&open).status, 404);
    let used = read(&of_alice).expect(200);
    assert_eq!(
        (&used["status"], &used["email"]),
        (&json!("used"), &json!(null))
    );
}

#[test]
fn an_account_that_owns_projects_stays() {
    let app = app();
    admin(&app);
    let alice = register(&app, "alice");
    owning(&app, 2);
    let refused = leave(&app, &alice, PASSWORD).expect(409);
    assert_eq!(refused["type"], "/problems/owns-projects");
    assert!(refused["detail"].as_str().unwrap().contains('2'));
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
}

#[test]
fn nothing_is_deleted_when_projects_does_not_answer() {
    let app = app();
    admin(&app);
    let alice = register(&app, "alice");
    assert_eq!(leave(&app, &alice, PASSWORD).status, 503);
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
}

#[test]
fn a_wrong_password_and_a_token_that_is_not_for_it_delete_nothing() {
    let app = app();
    admin(&app);
    let alice = register(&app, "alice");
    owning(&app, 0);
    assert_eq!(leave(&app, &alice, "wrong password").status, 401);
    let held = scoped(&app, &alice, &["write", "account:read"]);
    let answer = leave(&app, &json!({ "access_token": held }), PASSWORD);
    assert_eq!(answer.expect(403)["type"], "/problems/scope-missing");
    assert!(app.host.sent.borrow().is_empty());
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
}

#[test]
fn the_last_administrator_can_not_leave_and_the_first_can_once_there_is_another() {
    let app = app();
    let root = admin(&app);
    register(&app, "alice");
    owning(&app, 0);
    let refused = leave(&app, &root, PASSWORD).expect(409);
    assert_eq!(refused["type"], "/problems/last-administrator");
    assert!(app.host.sent.borrow().is_empty(), "projects forgot nothing");
    app.sql("auth", "UPDATE users SET role = 'admin' WHERE id = 2");
    assert_eq!(leave(&app, &root, PASSWORD).status, 204);
    // The code that made it administrator stays spent.
    let again = app
        .post("/api/v1/auth/register")
        .json(
            &json!({ "username": "mallory", "password": PASSWORD, "setup_code": "the-setup-code" }),
        )
        .send();
    assert_eq!(again.status, 403);
}

#[test]
fn of_two_administrators_who_leave_at_once_the_second_is_the_last() {
    let app = Rc::new(app());
    let root = admin(&app);
    register(&app, "alice");
    app.sql("auth", "UPDATE users SET role = 'admin' WHERE id = 2");
    let alice = login(&app, "alice", PASSWORD).expect(200);
    let inner = Rc::clone(&app);
    app.answer_calls(move |request| {
        assert!(request.url.ends_with("/1"), "projects forgets root alone");
        let refused = leave(&inner, &alice, PASSWORD).expect(409);
        assert_eq!(refused["type"], "/problems/last-administrator");
        Ok(OutboundAnswer {
            status: 200,
            headers: Vec::new(),
            body: br#"{"owned_projects":0}"#.to_vec(),
        })
    });
    assert_eq!(leave(&app, &root, PASSWORD).status, 204);
    assert_eq!(app.host.sent.borrow().len(), 1);
    assert_eq!(number(&app, "SELECT id FROM users"), 2);
}

#[test]
fn an_account_is_disabled_while_it_is_deleted_and_enabled_when_that_fails() {
    let app = Rc::new(app());
    let root = admin(&app);
    let alice = register(&app, "alice");
    let promote = |app: &TestApp, role: &str| {
        app.patch("/api/v1/auth/users/2")
            .bearer(access(&root))
            .json(&json!({ "role": role }))
            .send()
            .expect(200)
    };
    let before = promote(&app, "admin");
    promote(&app, "user");
    let inner = Rc::clone(&app);
    let root_leaves = root.clone();
    app.answer_calls(move |request| {
        assert!(request.url.ends_with("/2"), "{}", request.url);
        let disabled = "SELECT disabled_at_ms IS NOT NULL FROM users WHERE id = 2";
        assert_eq!(number(&inner, disabled), 1);
        // Promoted meanwhile, it is none that could stay in root's place.
        inner.sql("auth", "UPDATE users SET role = 'admin' WHERE id = 2");
        assert_eq!(leave(&inner, &root_leaves, PASSWORD).status, 409);
        Ok(OutboundAnswer {
            status: 200,
            headers: Vec::new(),
            body: br#"{"owned_projects":3}"#.to_vec(),
        })
    });
    let refused = leave(&app, &alice, PASSWORD).expect(409);
    assert_eq!(refused["type"], "/problems/owns-projects");
    let account = app.get("/api/v1/auth/users/2").bearer(access(&root)).send();
    assert_eq!(account.expect(200), before);
    let me = app.get("/api/v1/auth/me").bearer(access(&alice)).send();
    assert_eq!(me.expect(200)["role"], "admin", "its session goes on");
    // Nor does it stay disabled when its own part fails.
    owning(&app, 0);
    let fault = DatabaseFault::Statement("DELETE FROM users WHERE id = ?1");
    app.host.database_fault.set(Some(fault));
    let failed = leave(&app, &alice, PASSWORD).status;
    app.host.database_fault.set(None);
    assert!(failed >= 500, "{failed}");
    assert_eq!(leave(&app, &alice, PASSWORD).status, 204);
}

#[test]
fn an_export_has_everything_but_secrets() {
    let app = app();
    let alice = register(&app, "alice");
    register(&app, "bob");
    let token = api_token(&app, access(&alice), &["builds:write"]);
    keeping(&app);
    let answer = app
        .get("/api/v1/auth/me/export")
        .bearer(access(&alice))
        .send();
    let disposition = answer
        .headers
        .get("content-disposition")
        .unwrap_or_default();
    assert!(disposition.starts_with("attachment"), "{disposition}");
    let export = answer.expect(200);
    assert_eq!(export["account"]["username"], "alice");
    assert_eq!(export["sessions"][0]["current"], true);
    assert_eq!(export["tokens"][0]["id"], token["id"]);
    assert_eq!(export["second_factor"]["enabled"], false);
    assert_eq!(export["known_addresses"][0]["address"], "192.0.2.1");
    let actions: Vec<_> = export["audit"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["action"])
        .collect();
    assert_eq!(actions, ["token.create", "user.register"]);
    assert_eq!(export["audit_cursor"], json!(null));
    // In two pieces.
    let titles: Vec<_> = export["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["title"])
        .collect();
    assert_eq!(titles, ["First", "Second"]);
    assert_eq!(export["events_complete"], true);
    assert_eq!(export["memberships"][0]["project"], "Shop");
    assert_eq!(export["activity"][0]["address"], "192.0.2.1");
    assert_eq!(export["activity_cursor"], "older");
    let text = export.to_string();
    for secret in ["nkp_", "nkr_", "argon2", "bob"] {
        assert!(!text.contains(secret), "{secret}");
    }
}
