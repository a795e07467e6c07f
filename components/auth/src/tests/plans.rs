//! How the database looks things up, on the real schema with a thousand users and ten thousand sessions.
//!
//! The requests below run once, the host notes every statement they gave, and SQLite says how it goes about each of
//! them: by an index, but for what is named here with its bound.

use nokube_guest::host::OutboundAnswer;
use nokube_guest::testing::TestApp;
use serde_json::{Value, json};

use super::{PASSWORD, access, admin, api_token, app, exchange, login, refresh, register};

/// Tables that are read whole, since they stay small.
const SMALL: [&str; 3] = [
    // As many as hash at once, and sixteen who wait.
    "hash_turns",
    // Names that are being registered, each for eight seconds at most.
    "registrations",
    // One row.
    "setup",
];

/// What an administrator's list of everybody reads: the table in its own order as far as the page goes, and an index
/// as long as there are accounts, to count them.
const WHOLE_LIST: &str = "SCAN users";

/// A thousand users, ten thousand sessions and entries of theirs.
fn crowd() -> TestApp {
    let app = app();
    app.set("login_limit_per_address", "1000");
    admin(&app);
    register(&app, "alice");
    let numbers = |n: u32| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) INSERT INTO "
        )
    };
    for (n, rows) in [
        (
            998,
            "users (username, email, password_hash, role, disabled_at_ms, created_at_ms, updated_at_ms) \
             SELECT 'u' || i, 'u' || i || '@example.com', 'x', 'user', \
             CASE WHEN i % 50 = 0 THEN 1 END, 0, 0 FROM n",
        ),
        (
            10_000,
            "sessions (id, user_id, created_at_ms, last_used_at_ms, expires_at_ms) \
             SELECT 's' || i, 1 + i % 1000, 0, i, 1900000000000 FROM n",
        ),
        (
            10_000,
            "refresh_tokens (token_hash, session_id, created_at_ms) SELECT 't' || i, 's' || i, 0 FROM n",
        ),
        (
            10_000,
            "throttles (bucket, failures, open_at_ms, forget_at_ms) \
             SELECT 'login:pair:' || i, 1, 0, 1900000000000 FROM n",
        ),
        (
            10_000,
            "attempts (bucket, window_start_ms, count) SELECT 'b' || i, 1800000000000, 1 FROM n",
        ),
        (
            10_000,
            "known_addresses (user_id, address, last_used_at_ms) \
             SELECT 1 + i % 1000, 'a' || i, 1800000000000 FROM n",
        ),
        (
            10_000,
            "api_tokens (id, user_id, token_hash, name, scopes, created_at_ms, expires_at_ms) \
             SELECT 'k' || i, 1 + i % 1000, 'h' || i, 'ci', 'read', 0, 1900000000000 FROM n",
        ),
        (
            10_000,
            "invitations (id, code_hash, created_by, created_at_ms, expires_at_ms, used_by) \
             SELECT 'i' || i, 'c' || i, 1 + i % 1000, 0, 1900000000000, 1 + i % 1000 FROM n",
        ),
        (
            10_000,
            "audit (at_ms, actor_id, actor_name, action, target, detail, request_id) \
             SELECT i, 1 + i % 1000, 'x', 'session.create', 't', '{}', 'r' FROM n",
        ),
    ] {
        app.sql("auth", &format!("{}{rows}", numbers(n)));
    }
    app.answer_calls(|request| {
        let body = match request.method.as_str() {
            "DELETE" => json!({ "owned_projects": 0 }),
            _ => json!({
                "memberships": [], "calendar_feed": null, "events": [], "next": null,
                "activity": [], "activity_cursor": null,
            }),
        };
        Ok(OutboundAnswer {
            status: 200,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        })
    });
    app
}

/// What was asked of the database, but for which migrations ran.
fn statements(app: &TestApp, ask: impl FnOnce()) -> Vec<String> {
    app.host.statements.borrow_mut().clear();
    ask();
    let all = app.host.statements.borrow();
    let looked_up = all.iter().filter(|statement| {
        ["SELECT", "UPDATE", "DELETE"]
            .iter()
            .any(|verb| statement.starts_with(verb))
    });
    looked_up
        .filter(|statement| !statement.contains("schema_migrations"))
        .filter(|statement| !statement.contains("sqlite_master"))
        .cloned()
        .collect()
}

/// The steps that read a whole table or index.
fn scans(app: &TestApp, statement: &str) -> Vec<String> {
    let steps = app.query_plan("auth", statement);
    let scans = steps.into_iter().filter(|step| {
        // A constant is no table: `SELECT changes()`.
        step.starts_with("SCAN") && step != "SCAN CONSTANT ROW"
    });
    scans
        .filter(|step| !SMALL.iter().any(|table| *step == format!("SCAN {table}")))
        .collect()
}

#[test]
fn whatever_an_account_does_is_looked_up_by_an_index() {
    let app = crowd();
    let get = |tokens: &Value, path: &str| {
        let request = app.get(&format!("/api/v1/auth/{path}"));
        request.bearer(access(tokens)).send().expect(200)
    };
    let seen = statements(&app, || {
        register(&app, "carol");
        assert_eq!(login(&app, "nobody", "wrong password").status, 401);
        assert_eq!(login(&app, "alice", "wrong password").status, 401);
        let signed_in = login(&app, "alice", PASSWORD).expect(200);
        let alice = refresh(&app, &signed_in).expect(200);
        let token = api_token(&app, access(&alice), &["read"]);
        let _ = exchange(&app, &token).expect(200);
        for path in [
            "verify",
            "me",
            "me/export",
            "tokens",
            "audit?action=session.create",
            "totp",
        ] {
            get(&alice, path);
        }
        let sessions = get(&alice, "sessions");
        let mut others = sessions["data"].as_array().unwrap().iter();
        let other = others.find(|session| session["current"] == false).unwrap();
        let session = format!("/api/v1/auth/sessions/{}", other["id"].as_str().unwrap());
        let ended = app.delete(&session).bearer(access(&alice)).send();
        assert_eq!(ended.status, 204);
        // A refresh token that was used, and the session that ends for it.
        assert_eq!(refresh(&app, &signed_in).status, 401);
        let again = login(&app, "alice", PASSWORD).expect(200);
        let body = json!({ "current_password": PASSWORD, "new_password": "another horse battery" });
        let changed = app.post("/api/v1/auth/password").bearer(access(&again));
        assert_eq!(changed.json(&body).send().status, 204);
        let out = app.post("/api/v1/auth/logout?all=true");
        assert_eq!(out.bearer(access(&again)).send().status, 204);
        let again = login(&app, "alice", "another horse battery").expect(200);
        let body = json!({ "current_password": "another horse battery" });
        let left = app.delete("/api/v1/auth/me").bearer(access(&again));
        assert_eq!(left.json(&body).send().status, 204);
    });
    assert!(seen.len() > 80, "{}", seen.len());
    for statement in seen {
        assert_eq!(scans(&app, &statement), Vec::<String>::new(), "{statement}");
    }
}

#[test]
fn administrators_find_users_by_an_index_in_its_order() {
    let app = crowd();
    let root = login(&app, "root", PASSWORD).expect(200);
    for (query, found) in [
        ("", 1_000),
        ("page=40&limit=20", 1_000),
        ("q=u12", 11),
        ("q=u12&role=user", 11),
        ("q=u100&disabled=true", 1),
        ("role=admin", 1),
        ("role=user&disabled=false", 980),
        ("disabled=true", 19),
        ("disabled=false", 981),
    ] {
        let seen = statements(&app, || {
            let request = app.get(&format!("/api/v1/auth/users?{query}"));
            let page = request.bearer(access(&root)).send().expect(200);
            assert_eq!(page["pagination"]["total"], found, "{query}");
        });
        let about_users = seen.iter().filter(|text| text.contains(" FROM users "));
        assert!(about_users.count() >= 2, "a page and its total: {seen:#?}");
        let is_whole = !query.contains('=') || query.starts_with("page");
        for statement in &seen {
            for step in scans(&app, statement) {
                let is_named = step.starts_with(WHOLE_LIST);
                assert!(is_whole && is_named, "{query}: {step}: {statement}");
            }
            let steps = app.query_plan("auth", statement).join("\n");
            assert!(!steps.contains("TEMP B-TREE FOR ORDER"), "{query}: {steps}");
        }
    }
}
