//! Other people's projects look like none, on every route that takes an id.

use super::{alice, app, create_named};
use crate::COMPONENT;
use nokube_guest::{Access, Method};
use serde_json::json;

#[test]
fn every_route_of_a_foreign_project_is_404() {
    let app = app();
    create_named(&app, &alice(&app), "Shop");
    let bob = app.token(2, "bob", "user");
    for route in COMPONENT
        .routes
        .iter()
        .filter(|route| route.access == Access::User && route.path.contains(':'))
    {
        let body = match route.operation_id() {
            "get_project" | "update_project" | "delete_project" | "list_project_activity" => {
                json!({ "name": "Mine now" })
            }
            "list_members" | "get_member" | "put_member" | "delete_member" => {
                json!({ "role": "owner" })
            }
            other => panic!("{other} has no case: say how it names what is owned"),
        };
        let path = route.path.replace(":id", "1").replace(":username", "bob");
        let request = app.request(route.method.clone(), &path).bearer(&bob);
        let answer = request.json(&body).send();
        assert_eq!(answer.status, 404, "{}", route.operation);
    }
    let kept = app
        .get("/api/v1/projects/1")
        .bearer(&alice(&app))
        .send()
        .expect(200);
    assert_eq!(kept["name"], "Shop");
    let list = app.get("/api/v1/projects").bearer(&bob).send().expect(200);
    assert_eq!(list["pagination"]["total"], 0);
}

#[test]
fn administrators_read_and_do_not_change() {
    let app = app();
    create_named(&app, &alice(&app), "Shop");
    let admin = app.token(9, "root", "admin");
    let read = app
        .get("/api/v1/projects/1")
        .bearer(&admin)
        .send()
        .expect(200);
    assert_eq!(read["role"], "viewer");
    assert_eq!(
        app.delete("/api/v1/projects/1")
            .bearer(&admin)
            .send()
            .status,
        403
    );
}

#[test]
fn nothing_but_health_is_public() {
    let app = app();
    for route in COMPONENT.routes {
        let answer = app
            .request(route.method.clone(), &route.path.replace(":id", "1"))
            .send();
        let expected = if route.access == Access::Public {
            200
        } else {
            401
        };
        assert_eq!(answer.status, expected, "{}", route.operation);
    }
}

#[test]
fn an_id_that_can_not_be_one_is_404() {
    let app = app();
    for id in ["0", "-1", "01", "x", "1%20", "99999999999999999999"] {
        let path = format!("/api/v1/projects/{id}");
        let answer = app.request(Method::GET, &path).bearer(&alice(&app)).send();
        assert_eq!(answer.status, 404, "{id}");
    }
}

#[test]
fn scoped_tokens_reach_only_what_they_are_for() {
    assert!(nokube_guest::testing::check_scopes(&COMPONENT, "projects") > 0);
}
