//! Other people's sessions, tokens and accounts look like none, on every route that takes an id.

use super::{access, admin, api_token, app, number, register};
use crate::COMPONENT;
use nokube_guest::{Access, Method};
use serde_json::json;

#[test]
fn every_route_to_what_is_another_users_is_404() {
    let app = app();
    let root = admin(&app);
    let invitation = app
        .post("/api/v1/auth/invitations")
        .bearer(access(&root))
        .json(&json!({}))
        .send()
        .expect(201)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let alice = register(&app, "alice");
    let token = api_token(&app, access(&alice), &["read"]);
    let bob = register(&app, "bob");
    let sessions = app
        .get("/api/v1/auth/sessions")
        .bearer(access(&alice))
        .send()
        .expect(200);
    let session = sessions["data"][0]["id"].as_str().unwrap().to_owned();
    for route in COMPONENT.routes {
        if !route.path.contains(':') {
            continue;
        }
        let (id, expected) = match route.operation_id() {
            "get_session" | "end_session" => (session.as_str(), 404),
            "get_api_token" | "revoke_api_token" => (token["id"].as_str().unwrap(), 404),
            // Nobody's but an administrator's: whether there is such a user stays unsaid.
            "get_user" | "update_user" => ("2", 403),
            "get_invitation" | "delete_invitation" => (invitation.as_str(), 403),
            other => panic!("{other} has no case: say how it names what is owned"),
        };
        assert_eq!(route.access == Access::Admin, expected == 403);
        let path = route.path.replace(":id", id);
        let request = app.request(route.method.clone(), &path);
        let answer = request
            .bearer(access(&bob))
            .json(&json!({ "disabled": true }))
            .send();
        assert_eq!(answer.status, expected, "{}", route.operation);
    }
    for kept in [
        "SELECT count(*) FROM sessions WHERE user_id = 2 AND revoked_at_ms IS NULL",
        "SELECT count(*) FROM api_tokens WHERE user_id = 2",
        "SELECT count(*) FROM invitations",
        "SELECT count(*) FROM users WHERE id = 2 AND disabled_at_ms IS NULL",
    ] {
        assert_eq!(number(&app, kept), 1, "{kept}");
    }
}

#[test]
fn lists_show_the_callers_own() {
    let app = app();
    let alice = register(&app, "alice");
    let _ = api_token(&app, access(&alice), &["read"]);
    let bob = register(&app, "bob");
    for (path, mine) in [("/api/v1/auth/sessions", 1), ("/api/v1/auth/tokens", 0)] {
        let list = app.get(path).bearer(access(&bob)).send().expect(200);
        assert_eq!(list["pagination"]["total"], mine, "{path}");
    }
}

#[test]
fn an_id_that_can_not_be_one_is_404() {
    let app = app();
    let root = admin(&app);
    for path in [
        "sessions/1",
        "tokens/x",
        "users/0",
        "users/x",
        "sessions/01900000-0000-4000-8000-000000000000",
    ] {
        let path = format!("/api/v1/auth/{path}");
        let answer = app.request(Method::GET, &path).bearer(access(&root)).send();
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[test]
fn what_is_the_platforms_is_for_administrators_only() {
    let app = app();
    let user = register(&app, "alice");
    for route in COMPONENT.routes {
        if route.access == Access::Admin {
            let answer = app
                .request(route.method.clone(), route.path)
                .bearer(access(&user))
                .send();
            assert_eq!(answer.status, 403, "{}", route.operation);
        }
    }
}
