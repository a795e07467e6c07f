//! Each route for each role: what a member may do, and what administrators, strangers and those who were members may.

use nokube_guest::host::OutboundAnswer;
use nokube_guest::testing::TestApp;
use nokube_guest::{Access, Route};
use serde_json::{Value, json};

use super::{alice, app, create_named};
use crate::COMPONENT;

/// The least role in project 1 that a route takes (nothing when it is not about a project), its body, and what it
/// answers then. A route for users that has none here fails these tests.
fn case(route: &Route) -> (Option<&'static str>, Value, u16) {
    let none = Value::Null;
    match route.operation_id() {
        "create_project" => (None, json!({ "name": "Own" }), 201),
        "list_projects" | "list_audit" => (None, none, 200),
        "get_project" | "list_members" | "get_member" | "list_project_activity" => {
            (Some("viewer"), none, 200)
        }
        "update_project" => (Some("owner"), json!({ "name": "Changed" }), 200),
        "put_member" => (Some("owner"), json!({ "role": "developer" }), 200),
        "delete_member" | "delete_project" => (Some("owner"), none, 204),
        other => panic!("{other} has no case: say who may call it"),
    }
}

/// Project 1 of alice's, with members of every role, and dave, about whom the routes are.
fn scene() -> TestApp {
    let app = app();
    app.answer_calls(|_| {
        let body = json!({ "users": [{ "id": 8, "username": "dave" }] }).to_string();
        Ok(OutboundAnswer {
            status: 200,
            headers: vec![],
            body: body.into_bytes(),
        })
    });
    create_named(&app, &alice(&app), "Shop");
    for (id, role) in [
        (4, "viewer"),
        (5, "developer"),
        (6, "owner"),
        (7, "viewer"),
        (8, "viewer"),
    ] {
        app.set_member(1, id, name(id), Some(role));
    }
    app
}

fn name(id: i64) -> &'static str {
    match id {
        4 => "viewer",
        5 => "developer",
        6 => "owner",
        7 => "removed",
        8 => "dave",
        9 => "root",
        _ => "stranger",
    }
}

#[test]
fn every_route_answers_every_role_as_it_should() {
    let rank = |role: &str| {
        ["viewer", "developer", "owner"]
            .iter()
            .position(|known| *known == role)
    };
    let mut seen = 0;
    for route in COMPONENT
        .routes
        .iter()
        .filter(|route| route.access == Access::User)
    {
        let (needed, body, allowed) = case(route);
        for id in [4, 5, 6, 7, 9, 10] {
            let app = scene();
            let token = app.token(id, name(id), if id == 9 { "admin" } else { "user" });
            // Its token was issued while it was a member.
            app.sql("platform", "DELETE FROM project_members WHERE user_id = 7");
            let expected = match (needed, name(id)) {
                (None, _) => allowed,
                (Some(_), "removed" | "stranger") => 404,
                // Administrators read everything and change nothing.
                (Some("viewer"), _) => allowed,
                (Some(needed), role) if rank(role) >= rank(needed) => allowed,
                (Some(_), _) => 403,
            };
            let path = route.path.replace(":id", "1").replace(":username", "dave");
            let mut request = app.request(route.method.clone(), &path).bearer(&token);
            if !body.is_null() {
                request = request.json(&body);
            }
            let answer = request.send();
            let text = String::from_utf8_lossy(&answer.body);
            assert_eq!(
                answer.status,
                expected,
                "{} for {}: {text}",
                route.operation,
                name(id)
            );
            seen += 1;
        }
    }
    assert!(seen >= 6 * 11, "{seen}");
}
