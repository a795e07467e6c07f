//! Other people's builds look like none, on every route; viewers only look.

use nokube_guest::{Access, Method, Route};

use super::*;

/// The query and the body with which a route is about ada's project 1, beside the id in its path. A route for users
/// that has none here fails these tests.
fn case(route: &Route) -> (&'static str, Value) {
    match route.operation_id() {
        "create_build" => {
            let body = json!({ "project_id": 1, "service_name": "web", "repository_url": URL });
            ("", body)
        }
        "create_build_upload" => ("?project_id=1&service_name=web", Value::Null),
        "list_builds" => ("?project_id=1", Value::Null),
        "get_build" | "get_build_logs" | "cancel_build" | "retry_build" => ("", Value::Null),
        other => panic!("{other} has no case: say how it names what is owned"),
    }
}

pub(super) fn send(scene: &Scene, route: &Route, id: &str, token: Option<&str>) -> TestAnswer {
    let (query, body) = case(route);
    let path = format!("{}{query}", route.path.replace(":id", id));
    let mut request = scene.app.request(route.method.clone(), &path);
    if !body.is_null() {
        request = request.json(&body);
    }
    if let Some(token) = token {
        request = request.bearer(token);
    }
    request.send()
}

#[test]
fn every_route_to_what_is_another_users_is_404_and_viewers_only_look() {
    let scene = Scene::new();
    let id = scene.pending();
    for route in COMPONENT.routes {
        let operation = route.operation;
        if route.access != Access::User {
            assert!(
                matches!(route.access, Access::System | Access::Runner)
                    || !route.path.contains(':'),
                "{operation} takes an id, and is neither for users nor for the platform alone"
            );
            continue;
        }
        let of_viewer = if route.method == Method::GET {
            200
        } else {
            403
        };
        for (token, status) in [
            (Some(&*scene.eve), 404),
            (Some(&*scene.bob), of_viewer),
            (None, 401),
        ] {
            let answer = send(&scene, route, &id, token);
            assert_eq!(answer.status, status, "{operation}: {token:?}");
        }
    }
    let request = scene.app.get("/api/v1/builds").bearer(&scene.eve);
    assert_eq!(request.send().expect(200)["pagination"]["total"], 0);
    assert_eq!(scene.build(&id)["status"], "pending");
    let all = scene.get("/api/v1/builds").expect(200);
    assert_eq!(all["pagination"]["total"], 1);
}

#[test]
fn what_is_for_runners_and_the_platform_refuses_users() {
    let scene = Scene::new();
    let id = scene.pending();
    let root = scene.app.token(9, "root", "admin");
    for route in COMPONENT.routes {
        if matches!(route.access, Access::System | Access::Runner) {
            let path = route.path.replace(":id", &id);
            let request = scene.app.request(route.method.clone(), &path);
            let answer = request.bearer(&root).json(&json!({})).send();
            assert_eq!(answer.status, 401, "{}", route.operation);
        }
    }
    assert_eq!(scene.build(&id)["status"], "pending");
}

#[test]
fn scoped_tokens_reach_only_what_they_are_for() {
    assert!(nokube_guest::testing::check_scopes(&COMPONENT, "builds") > 0);
}
