//! Signing in, going on, signing out.

use super::{PASSWORD, access, app, login, refresh, register};
use serde_json::json;

#[test]
fn wrong_and_unknown_get_the_same_words() {
    let app = app();
    register(&app, "alice");
    assert_eq!(
        login(&app, "alice", PASSWORD).expect(200)["user"]["username"],
        "alice"
    );
    let mut wrong = login(&app, "alice", "wrong password").expect(401);
    let mut unknown = login(&app, "nobody", "wrong password").expect(401);
    for problem in [&mut wrong, &mut unknown] {
        problem["request_id"] = json!(null);
    }
    assert_eq!(wrong, unknown);
}

#[test]
fn an_address_signs_in_too() {
    let app = app();
    let account = json!({ "email": "alice@example.com", "password": PASSWORD });
    let _ = app
        .post("/api/v1/auth/register")
        .json(&account)
        .send()
        .expect(201);
    let _ = app
        .post("/api/v1/auth/login")
        .json(&account)
        .send()
        .expect(200);
}

#[test]
fn a_disabled_account_does_not_sign_in() {
    let app = app();
    let tokens = register(&app, "alice");
    app.sql("auth", "UPDATE users SET disabled_at_ms = 1");
    assert_eq!(login(&app, "alice", PASSWORD).status, 401);
    assert_eq!(refresh(&app, &tokens).status, 401);
    assert_eq!(
        app.get("/api/v1/auth/me")
            .bearer(access(&tokens))
            .send()
            .status,
        401
    );
}

#[test]
fn a_refresh_token_works_once_and_reuse_ends_the_session() {
    let app = app();
    let first = register(&app, "alice");
    let second = refresh(&app, &first).expect(200);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(
        refresh(&app, &first).expect(401)["type"],
        "/problems/refresh-refused"
    );
    // The thief's use ended the whole family.
    assert_eq!(refresh(&app, &second).status, 401);
    assert_eq!(
        app.get("/api/v1/auth/verify")
            .bearer(access(&second))
            .send()
            .status,
        401
    );
}

#[test]
fn other_sessions_survive_a_stolen_one() {
    let app = app();
    let stolen = register(&app, "alice");
    let other = login(&app, "alice", PASSWORD).expect(200);
    let _ = refresh(&app, &stolen).expect(200);
    assert_eq!(refresh(&app, &stolen).status, 401);
    let _ = refresh(&app, &other).expect(200);
}

#[test]
fn an_idle_session_ends() {
    let app = app();
    let tokens = register(&app, "alice");
    app.advance_ms(30 * 24 * 60 * 60 * 1_000);
    assert_eq!(refresh(&app, &tokens).status, 401);
}

#[test]
fn signing_out_ends_one_session_or_all() {
    let app = app();
    let tokens: Vec<_> = (0..3)
        .map(|n| {
            if n == 0 {
                register(&app, "alice")
            } else {
                login(&app, "alice", PASSWORD).expect(200)
            }
        })
        .collect();
    let out = |query: &str, n: usize| {
        let path = format!("/api/v1/auth/logout{query}");
        app.post(&path).bearer(access(&tokens[n])).send().status
    };
    assert_eq!(out("", 0), 204);
    assert_eq!(refresh(&app, &tokens[0]).status, 401);
    let next = refresh(&app, &tokens[1]).expect(200);
    assert_eq!(out("?all=true", 2), 204);
    assert_eq!(refresh(&app, &next).status, 401);
    assert_eq!(refresh(&app, &tokens[2]).status, 401);
}

#[test]
fn verify_says_who_and_until_when() {
    let app = app();
    let tokens = register(&app, "alice");
    let answer = app
        .get("/api/auth/verify")
        .bearer(access(&tokens))
        .send()
        .expect(200);
    assert_eq!(answer["valid"], true);
    assert_eq!(answer["sub"], "1");
    assert_eq!(answer["expires_at"], "2027-01-15T08:15:00.000Z");
    app.advance_ms(16 * 60 * 1_000);
    let late = app.get("/api/auth/verify").bearer(access(&tokens)).send();
    assert_eq!(late.status, 401);
    assert!(
        late.headers
            .get("www-authenticate")
            .unwrap()
            .contains("invalid_token")
    );
}

#[test]
fn the_published_key_is_the_one_that_signs() {
    let app = app();
    let tokens = register(&app, "alice");
    let keys = app
        .get("/api/v1/auth/.well-known/jwks.json")
        .send()
        .expect(200);
    let header = access(&tokens).split('.').next().unwrap();
    let header = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header);
    let header: serde_json::Value = serde_json::from_slice(&header.unwrap()).unwrap();
    assert_eq!(header["alg"], "EdDSA");
    assert_eq!(header["kid"], keys["keys"][0]["kid"]);
    assert_eq!(keys["keys"][0]["kty"], "OKP");
}

#[test]
fn what_is_done_is_written_down() {
    let app = app();
    let tokens = register(&app, "alice");
    let _ = login(&app, "alice", PASSWORD).expect(200);
    assert_eq!(
        app.post("/api/v1/auth/logout")
            .bearer(access(&tokens))
            .send()
            .status,
        204
    );
    let actions = app.sql(
        "auth",
        "SELECT group_concat(action) FROM (SELECT action FROM audit ORDER BY id)",
    );
    assert_eq!(
        actions[0][0],
        nokube_guest::db::Value::Text("user.register,session.create,session.end".into())
    );
}

#[test]
fn only_a_session_that_ends_is_an_entry_of_the_trail() {
    let app = app();
    let tokens = register(&app, "alice");
    let out = |query: &str| {
        let path = format!("/api/v1/auth/logout{query}");
        app.post(&path).bearer(access(&tokens)).send().status
    };
    let ends = || {
        let rows = app.sql("auth", "SELECT 1 FROM audit WHERE action = 'session.end'");
        rows.len()
    };
    assert_eq!((out(""), ends()), (204, 1));
    assert_eq!((out(""), out("?all=true"), ends()), (204, 204, 1));
    app.sql("auth", "DELETE FROM users");
    assert_eq!((out(""), out("?all=true"), ends()), (204, 204, 1));
}

#[test]
fn a_sign_in_names_one_account() {
    let app = app();
    register(&app, "alice");
    let both = json!({ "username": "alice", "email": "bob@example.com", "password": PASSWORD });
    let answer = app.post("/api/v1/auth/login").json(&both).send();
    assert_eq!(answer.faults(), ["/username"]);
    let null = json!({ "username": "alice", "email": null, "password": PASSWORD });
    let answer = app.post("/api/v1/auth/login").json(&null).send();
    assert_eq!(answer.status, 200);
}

#[test]
fn no_credential_is_kept_in_the_clear() {
    let app = app();
    let tokens = register(&app, "alice");
    for table in ["users", "sessions", "refresh_tokens", "audit"] {
        let rows = format!("{:?}", app.sql("auth", &format!("SELECT * FROM {table}")));
        assert!(!rows.contains(PASSWORD), "{table}");
        assert!(
            !rows.contains(tokens["refresh_token"].as_str().unwrap()),
            "{table}"
        );
    }
}
