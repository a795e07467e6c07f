//! A second factor that everybody needs.

use nokube_guest::Access;
use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

use super::totp::{KEY, confirm, secret_of};
use super::{PASSWORD, access, admin, api_token, app, exchange, login, refresh, register};
use crate::COMPONENT;

/// What a session is good for until there is one.
const ACCOUNT: &str = "account:read account:write";

fn demanding() -> TestApp {
    let app = app();
    app.set("auth_sealing_key", KEY);
    app.set("second_factor", "required");
    app
}

/// Sets one up.
fn enrol(app: &TestApp, tokens: &Value) {
    let begun = app
        .post("/api/v1/auth/totp")
        .bearer(access(tokens))
        .json(&json!({ "password": PASSWORD }))
        .send();
    let secret = secret_of(&begun.expect(201));
    assert_eq!(confirm(app, tokens, &secret).status, 200);
}

fn kind(answer: &TestAnswer) -> Value {
    answer.json()["type"].clone()
}

#[test]
fn without_it_every_session_is_good_for_the_account_alone() {
    let app = demanding();
    let root = admin(&app);
    let signed_in = login(&app, "root", PASSWORD).expect(200);
    let refreshed = refresh(&app, &signed_in).expect(200);
    for tokens in [&root, &signed_in, &refreshed] {
        assert_eq!(tokens["scope"], ACCOUNT);
    }
    let token = access(&root);
    for route in COMPONENT.routes {
        // What ends the session, or the account, comes to be refused for another reason.
        if !matches!(route.access, Access::User | Access::Admin) || route.operation_id() == "logout"
        {
            continue;
        }
        let path = route.path.replace(":id", "1");
        let answer = app
            .request(route.method.clone(), &path)
            .bearer(token)
            .send();
        let missing = String::from_utf8_lossy(&answer.body).contains("/problems/scope-missing");
        assert_eq!(
            missing,
            route.access == Access::Admin,
            "{}",
            route.operation
        );
    }
}

#[test]
fn with_it_the_next_token_is_whole_and_without_it_again_the_next_is_not() {
    let app = demanding();
    let root = admin(&app);
    let users = |tokens: &Value| {
        let request = app.get("/api/v1/auth/users").bearer(access(tokens));
        request.send().status
    };
    assert_eq!(users(&root), 403);
    enrol(&app, &root);
    let whole = refresh(&app, &root).expect(200);
    assert_eq!(whole["scope"], Value::Null);
    assert_eq!(users(&whole), 200);
    app.sql("auth", "DELETE FROM totp");
    let again = refresh(&app, &whole).expect(200);
    assert_eq!(again["scope"], ACCOUNT);
    app.set("second_factor", "optional");
    assert_eq!(refresh(&app, &again).expect(200)["scope"], Value::Null);
}

#[test]
fn no_api_token_goes_around_it() {
    let app = demanding();
    app.set("second_factor", "optional");
    let alice = register(&app, "alice");
    let token = api_token(&app, access(&alice), &["write"]);
    assert_eq!(exchange(&app, &token).status, 200);
    app.set("second_factor", "required");
    let refused = exchange(&app, &token);
    assert_eq!(refused.status, 403);
    assert_eq!(kind(&refused), "/problems/no-second-factor");
    let another = super::make_token(
        &app,
        access(&alice),
        &json!({ "name": "ci", "scopes": ["account:read"] }),
    );
    assert_eq!(kind(&another), "/problems/no-second-factor");
    enrol(&app, &alice);
    assert_eq!(exchange(&app, &token).expect(200)["scope"], "write");
}

#[test]
fn what_the_variable_says_and_nobody_understands_lets_nobody_in() {
    let app = demanding();
    register(&app, "alice");
    app.set("second_factor", "yes");
    assert_eq!(login(&app, "alice", PASSWORD).status, 500);
}
