//! Each route for each role, and what is left to somebody who was a member.

use nokube_guest::{Access, Method};

use super::strangers::send;
use super::*;

/// Bob's role in project 1 from now on; nothing: none.
fn make_bob(app: &TestApp, role: Option<&str>) {
    app.set_member(1, 2, "bob", role);
}

#[test]
fn every_route_answers_every_role_as_it_should() {
    for route in COMPONENT
        .routes
        .iter()
        .filter(|route| route.access == Access::User)
    {
        let operation = route.operation_id();
        let reads = route.method == Method::GET;
        let shows_only = reads || operation == "preview_deployment";
        let done = if shows_only { 200 } else { 202 };
        for (name, role, expected) in [
            ("bob", Some("viewer"), if reads { 200 } else { 403 }),
            ("bob", Some("developer"), done),
            ("bob", Some("owner"), done),
            // Bob's token is as old as it was when bob was a member.
            ("bob", None, 404),
            // Administrators read everything and change nothing.
            ("root", None, if reads { 200 } else { 403 }),
        ] {
            let scene = Scene::new();
            let token = scene.token(name);
            let id = scene.running();
            // Revision 2, so that there is one to go back to.
            scene
                .deploy(&json!({ "env_vars": { "A": "1" } }))
                .expect(202);
            if operation == "start_deployment" {
                scene.action(&id, "stop", &Value::Null).expect(202);
            }
            make_bob(&scene.app, role);
            let answer = send(&scene, route, &id, Some(&token));
            let text = String::from_utf8_lossy(&answer.body);
            assert_eq!(
                answer.status, expected,
                "{operation}: {name} {role:?}: {text}"
            );
        }
    }
}

#[test]
fn a_build_may_be_deployed_where_one_may_deploy_if_one_sees_it() {
    let scene = Scene::new();
    // Eve sees ada's build 1, and is a developer in her own project 2 alone.
    scene.app.set_member(1, 3, "eve", Some("viewer"));
    let body = |project: i64| json!({ "project_id": project, "service_name": "web", "build_id": build_id(1) });
    scene.post_as("eve", "/api/v1/deploy", &body(1)).expect(403);
    scene.post_as("eve", "/api/v1/deploy", &body(2)).expect(202);
    scene.app.set_member(1, 3, "eve", None);
    scene.post_as("eve", "/api/v1/deploy", &body(2)).expect(404);
}

#[test]
fn a_followed_log_ends_when_its_reader_is_removed() {
    // It lives as long as the answers of the sidecar, which are made up below.
    let scene: &'static Scene = Box::leak(Box::new(Scene::new()));
    let id = scene.running();
    let asked = Rc::new(RefCell::new(0));
    let asking = Rc::clone(&asked);
    scene.app.answer_calls(move |_| {
        *asking.borrow_mut() += 1;
        // Once before the stream begins, then twice.
        if *asking.borrow() == 3 {
            make_bob(&scene.app, None);
        }
        let line = json!({ "n": 1, "time": "2027-01-15T08:00:00.000Z", "stream": "stdout", "text": "secret" });
        let page = json!({ "lines": [line], "cursor": "c", "complete": false });
        Ok(OutboundAnswer {
            status: 200,
            headers: Vec::new(),
            body: page.to_string().into_bytes(),
        })
    });
    let request = scene.app.get(&format!("/api/v1/deployments/{id}/logs"));
    let followed = request
        .bearer(&scene.token("bob"))
        .header("accept", "text/event-stream")
        .send();
    let text = String::from_utf8_lossy(&followed.body);
    assert_eq!(text.matches("secret").count(), 2, "{text}");
    assert_eq!(*asked.borrow(), 3);
}
