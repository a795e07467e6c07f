//! Personal API tokens, and what their scopes keep them from.

use super::{
    PASSWORD, access, admin, api_token, app, exchange, make_token, number, register, scoped,
};
use nokube_guest::testing::TestApp;
use serde_json::{Value, json};

fn path(token: &Value) -> String {
    format!("/api/v1/auth/tokens/{}", token["id"].as_str().unwrap())
}

#[test]
fn a_value_is_shown_once_and_kept_as_a_hash() {
    let app = app();
    let tokens = register(&app, "alice");
    let answer = make_token(
        &app,
        access(&tokens),
        &json!({ "name": "CI", "scopes": ["builds:write", "projects:read", "builds:write"] }),
    );
    let made = answer.expect(201);
    assert_eq!(answer.headers.get("location"), Some(path(&made).as_str()));
    let value = made["token"].as_str().unwrap();
    assert!(value.starts_with("nkp_") && value.len() == 53, "{value}");
    assert_eq!(made["scopes"], json!(["projects:read", "builds:write"]));
    assert_eq!(made["expires_at"], "2027-04-15T08:00:00.000Z", "90 days");
    let list = app
        .get("/api/v1/auth/tokens")
        .bearer(access(&tokens))
        .send();
    let list = list.expect(200);
    assert_eq!(list["data"][0]["id"], made["id"]);
    assert!(!list.to_string().contains("nkp_"));
    let kept = format!("{:?}", app.sql("auth", "SELECT * FROM api_tokens, audit"));
    assert!(!kept.contains(value) && kept.contains("token.create"));
}

#[test]
fn every_fault_of_a_token_is_told() {
    let app = app();
    let tokens = register(&app, "alice");
    let faults = |body: &Value| make_token(&app, access(&tokens), body).faults();
    let empty = json!({ "name": "", "scopes": [], "expires_at": "soon", "scope": "read" });
    assert_eq!(
        faults(&empty),
        ["/name", "/scopes", "/expires_at", "/scope"]
    );
    for scopes in [
        json!("read"),
        json!([1]),
        json!(["builds"]),
        json!(["admin"]),
        json!(null),
    ] {
        assert_eq!(
            faults(&json!({ "name": "x", "scopes": scopes })),
            ["/scopes"]
        );
    }
    for at in [
        "2027-01-15T08:00:00Z",
        "2028-01-16T08:00:00.001Z",
        "2027-01-15",
    ] {
        let body = json!({ "name": "x", "scopes": ["read"], "expires_at": at });
        assert_eq!(faults(&body), ["/expires_at"], "{at}");
    }
    let year =
        json!({ "name": "x", "scopes": ["read"], "expires_at": "2028-01-16T09:00:00+01:00" });
    let _ = make_token(&app, access(&tokens), &year).expect(201);
}

#[test]
fn a_token_is_exchanged_for_a_scoped_access_token() {
    let app = app();
    let tokens = register(&app, "alice");
    let token = api_token(&app, access(&tokens), &["account:read"]);
    app.advance_ms(5_000);
    let answer = exchange(&app, &token).expect(200);
    assert_eq!(answer["expires_in"], 900);
    assert_eq!(answer["scope"], "account:read");
    assert_eq!(answer["user"], tokens["user"]);
    assert!(answer.get("refresh_token").is_none());
    let me = |path: &str| app.get(path).bearer(access(&answer)).send();
    assert_eq!(me("/api/v1/auth/me").expect(200)["username"], "alice");
    let shown = app.get(&path(&token)).bearer(access(&tokens)).send();
    assert_eq!(
        shown.expect(200)["last_used_at"],
        "2027-01-15T08:00:05.000Z"
    );
    // It says what it is whatever it is good for.
    let verified = app
        .get("/api/v1/auth/verify")
        .bearer(&scoped(&app, &tokens, &["builds:read"]))
        .send();
    assert_eq!(verified.expect(200)["username"], "alice");
}

#[test]
fn an_access_token_never_outlives_its_api_token() {
    let app = app();
    let tokens = register(&app, "alice");
    let body =
        json!({ "name": "x", "scopes": ["account:read"], "expires_at": "2027-01-15T08:01:00Z" });
    let token = make_token(&app, access(&tokens), &body).expect(201);
    assert_eq!(exchange(&app, &token).expect(200)["expires_in"], 60);
    app.advance_ms(59_500);
    assert_eq!(exchange(&app, &token).expect(200)["expires_in"], 1);
    app.advance_ms(500);
    assert_eq!(
        exchange(&app, &token).expect(401)["type"],
        "/problems/token-refused"
    );
}

#[test]
fn what_is_no_token_of_ours_is_refused_without_asking_the_database() {
    let app = app();
    let tokens = register(&app, "alice");
    let value = api_token(&app, access(&tokens), &["read"])["token"].clone();
    let mistyped = value.as_str().unwrap().replace("nkp_", "nkq_");
    for token in [
        "",
        "x",
        &mistyped,
        &format!("{}0", &value.as_str().unwrap()[..52]),
    ] {
        let answer = exchange(&app, &json!({ "token": token }));
        assert_eq!(answer.expect(401)["type"], "/problems/token-refused");
    }
    assert_eq!(
        number(
            &app,
            "SELECT count(*) FROM attempts WHERE bucket LIKE 'token:%'"
        ),
        0
    );
    let other = app
        .post("/api/v1/auth/token")
        .json(&json!({ "grant_type": "password", "token": value }))
        .send();
    assert_eq!(other.faults(), ["/grant_type"]);
}

#[test]
fn a_revoked_token_is_neither_exchanged_nor_believed_by_auth() {
    let app = app();
    let tokens = register(&app, "alice");
    let token = api_token(&app, access(&tokens), &["account:write"]);
    let read = app.get(&path(&token)).bearer(access(&tokens)).send();
    let etag = read.headers.get("etag").unwrap();
    let exchanged = exchange(&app, &token).expect(200);
    // That it was used is no other version to who revokes it.
    assert_eq!(
        app.delete(&path(&token))
            .bearer(access(&tokens))
            .header("if-match", etag)
            .send()
            .status,
        204
    );
    assert_eq!(
        app.delete(&path(&token))
            .bearer(access(&tokens))
            .send()
            .status,
        404
    );
    assert_eq!(exchange(&app, &token).status, 401);
    let me = app.get("/api/v1/auth/me").bearer(access(&exchanged)).send();
    assert_eq!(me.status, 401);
}

#[test]
fn the_number_of_tokens_is_bounded_and_ended_ones_go_in_time() {
    let app = app();
    app.set("max_api_tokens_per_user", "2");
    let tokens = register(&app, "alice");
    let body = json!({ "name": "x", "scopes": ["read"], "expires_at": "2027-01-15T08:10:00Z" });
    for _ in 0..2 {
        let _ = make_token(&app, access(&tokens), &body).expect(201);
    }
    let third = make_token(&app, access(&tokens), &body);
    assert_eq!(third.expect(409)["type"], "/problems/too-many-tokens");
    let other = register(&app, "bob");
    let _ = make_token(&app, access(&other), &body).expect(201);
    app.advance_ms(31 * 24 * 60 * 60 * 1_000);
    let again = super::login(&app, "alice", PASSWORD).expect(200);
    let _ = api_token(&app, access(&again), &["read"]);
    assert_eq!(number(&app, "SELECT count(*) FROM api_tokens"), 1);
}

#[test]
fn exchanges_from_one_address_are_bounded() {
    let app = app();
    app.set("token_limit_per_address", "2");
    let tokens = register(&app, "alice");
    let token = api_token(&app, access(&tokens), &["read"]);
    for _ in 0..2 {
        let _ = exchange(&app, &token).expect(200);
    }
    assert_eq!(exchange(&app, &token).status, 429);
}

#[test]
fn scoped_tokens_reach_only_what_they_are_for() {
    assert_eq!(
        nokube_guest::testing::check_scopes(&crate::COMPONENT, "account"),
        crate::COMPONENT
            .routes
            .iter()
            .filter(|route| route.path.starts_with("/api/v1/auth/"))
            .count()
            - 6,
        "all but the public ones"
    );
}

#[test]
fn a_token_can_not_make_one_that_may_do_more_or_lives_longer() {
    let app = app();
    let tokens = register(&app, "alice");
    let body = json!({
        "name": "parent", "scopes": ["account:write", "builds:read"], "expires_at": "2027-02-01T00:00:00Z"
    });
    let parent = make_token(&app, access(&tokens), &body).expect(201);
    let held = exchange(&app, &parent).expect(200);
    for scopes in [
        &["builds:write"][..],
        &["write"],
        &["read"],
        &["builds:read", "deploy:read"],
        &["admin"],
    ] {
        let refused = make_token(
            &app,
            access(&held),
            &json!({ "name": "x", "scopes": scopes }),
        );
        assert_eq!(
            refused.expect(403)["type"],
            "/problems/scope-missing",
            "{scopes:?}"
        );
    }
    let later =
        json!({ "name": "x", "scopes": ["builds:read"], "expires_at": "2027-02-01T00:00:01Z" });
    assert_eq!(
        make_token(&app, access(&held), &later).faults(),
        ["/expires_at"]
    );
    let child = api_token(&app, access(&held), &["builds:read"]);
    assert_eq!(child["expires_at"], "2027-02-01T00:00:00.000Z");
    // And it ends with it.
    assert_eq!(
        app.delete(&path(&parent))
            .bearer(access(&tokens))
            .send()
            .status,
        204
    );
    assert_eq!(exchange(&app, &child).status, 401);
}

#[test]
fn an_administrators_token_administers_only_with_the_scope_admin() {
    let app = app();
    let root = admin(&app);
    let users = |token: &str| app.get("/api/v1/auth/users").bearer(token).send();
    for scopes in [&["read", "write", "account:write"][..], &["account:read"]] {
        let token = scoped(&app, &root, scopes);
        assert_eq!(users(&token).expect(403)["type"], "/problems/scope-missing");
        let audit = app
            .get("/api/v1/auth/audit?actor=system")
            .bearer(&token)
            .send();
        assert_eq!(audit.expect(403)["type"], "/problems/forbidden");
    }
    let _ = users(&scoped(&app, &root, &["admin"])).expect(200);
}

#[test]
fn a_token_does_not_keep_the_role_its_user_lost() {
    let app = app();
    let root = admin(&app);
    let token = api_token(&app, access(&root), &["admin"]);
    let users = |app: &TestApp, token: &Value| {
        let exchanged = exchange(app, token).expect(200);
        let path = "/api/v1/auth/users";
        app.get(path).bearer(access(&exchanged)).send().status
    };
    assert_eq!(users(&app, &token), 200);
    app.sql("auth", "UPDATE users SET role = 'user'");
    assert_eq!(users(&app, &token), 403);
}

#[test]
fn an_api_token_has_no_session_to_sign_out_of() {
    let app = app();
    let tokens = register(&app, "alice");
    let held = scoped(&app, &tokens, &["account:write"]);
    let out = |query: &str| {
        let path = format!("/api/v1/auth/logout{query}");
        app.post(&path).bearer(&held).send().status
    };
    assert_eq!(out(""), 403);
    assert_eq!(super::refresh(&app, &tokens).status, 200);
    assert_eq!(out("?all=true"), 204);
    assert_eq!(super::login(&app, "alice", PASSWORD).status, 200);
}
