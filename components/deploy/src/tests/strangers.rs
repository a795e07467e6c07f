//! Other people's deployments look like none, on every route; viewers only look.

use nokube_guest::{Access, Method, Route};

use super::*;

/// The query and the body with which a route is about ada's project 1, beside the id in its path. A route for users
/// that has none here fails these tests.
fn case(route: &Route) -> (&'static str, Value) {
    match route.operation_id() {
        "create_deployment" | "preview_deployment" => {
            let body = json!({ "project_id": 1, "service_name": "web", "build_id": build_id(1) });
            ("", body)
        }
        "list_deployments" => ("?project_id=1", Value::Null),
        "update_deployment" => ("", json!({ "replicas": 2 })),
        "roll_back_deployment" => ("", json!({ "revision": 1 })),
        "scale_deployment" => ("", json!({ "replicas": 2 })),
        "get_deployment"
        | "delete_deployment"
        | "list_deployment_revisions"
        | "restart_deployment"
        | "stop_deployment"
        | "start_deployment"
        | "get_deployment_logs"
        | "get_deployment_manifests"
        | "get_deployment_events" => ("", Value::Null),
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
    let id = scene.running();
    let (eve, bob) = (scene.token("eve"), scene.token("bob"));
    for route in COMPONENT.routes {
        let operation = route.operation;
        if route.access != Access::User {
            assert!(
                route.access == Access::System || !route.path.contains(':'),
                "{operation} takes an id, and is neither for users nor for the platform alone"
            );
            continue;
        }
        let of_viewer = if route.method == Method::GET {
            200
        } else {
            403
        };
        for (token, status) in [(Some(&*eve), 404), (Some(&*bob), of_viewer), (None, 401)] {
            let answer = send(&scene, route, &id, token);
            assert_eq!(answer.status, status, "{operation}: {token:?}");
        }
    }
    let list = scene.get_as("eve", "/api/v1/deployments").expect(200);
    assert_eq!(list["pagination"]["total"], 0);
    let kept = scene.deployment(&id);
    assert_eq!(
        (&kept["revision"], &kept["status"]),
        (&json!(1), &json!("running"))
    );
}

#[test]
fn another_users_build_is_none_in_a_project_of_ones_own() {
    let scene = Scene::new();
    let body = json!({ "project_id": 2, "service_name": "web", "build_id": build_id(1) });
    scene.post_as("eve", "/api/v1/deploy", &body).expect(404);
    let body =
        json!({ "project_id": 2, "service_name": "web", "image_name": format!("{REPOSITORY}:t1") });
    let answer = scene.post_as("eve", "/api/v1/deploy", &body);
    assert_eq!(answer.faults(), ["/image_name"]);
}

#[test]
fn what_is_for_the_platform_alone_refuses_users() {
    let scene = Scene::new();
    for route in COMPONENT.routes {
        if route.access == Access::System {
            let path = route.path.replace(":id", "1");
            let request = scene.app.request(route.method.clone(), &path);
            let answer = request.bearer(&scene.token("root")).send();
            assert_eq!(answer.status, 401, "{}", route.operation);
        }
    }
}

#[test]
fn scoped_tokens_reach_only_what_they_are_for() {
    assert!(nokube_guest::testing::check_scopes(&COMPONENT, "deploy") > 0);
}
