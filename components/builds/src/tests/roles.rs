//! Each route for each role, and what is left to somebody who was a member.

use nokube_guest::{Access, Method};

use super::strangers::send;
use super::*;

/// Bob's role in project 1 from now on; nothing: none.
fn make_bob(scene: &Scene, role: Option<&str>) {
    scene.app.set_member(1, 2, "bob", role);
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
        let done = match operation {
            "create_build_upload" => 307,
            _ if reads => 200,
            _ => 202,
        };
        for (role, expected) in [
            (Some("viewer"), if reads { 200 } else { 403 }),
            (Some("developer"), done),
            (Some("owner"), done),
            // Bob's token is as old as it was when bob was a member.
            (None, 404),
        ] {
            let scene = Scene::new();
            let id = scene.pending();
            if operation == "retry_build" {
                let path = format!("/api/v1/builds/{id}/cancel");
                scene.app.post(&path).bearer(&scene.ada).send().expect(202);
            }
            make_bob(&scene, role);
            let answer = send(&scene, route, &id, Some(&scene.bob));
            let text = String::from_utf8_lossy(&answer.body);
            assert_eq!(answer.status, expected, "{operation}: {role:?}: {text}");
        }
        // Administrators read everything and change nothing.
        let scene = Scene::new();
        let id = scene.pending();
        let root = scene.app.token(9, "root", "admin");
        let answer = send(&scene, route, &id, Some(&root));
        assert_eq!(answer.status, if reads { 200 } else { 403 }, "{operation}");
    }
}

#[test]
fn lists_hold_the_projects_of_ones_own_and_for_administrators_all() {
    let scene = Scene::new();
    scene.pending();
    let total = |token: &str, path: &str| {
        let list = scene.app.get(path).bearer(token).send().expect(200);
        list["pagination"]["total"].as_u64()
    };
    let root = scene.app.token(9, "root", "admin");
    assert_eq!(total(&scene.bob, "/api/v1/builds"), Some(1));
    assert_eq!(total(&scene.eve, "/api/v1/builds?all=true"), Some(0));
    assert_eq!(total(&root, "/api/v1/builds"), Some(0));
    assert_eq!(total(&root, "/api/v1/builds?all=true"), Some(1));
    assert_eq!(
        total(&root, "/api/v1/builds?project_id=1&status=success"),
        Some(0)
    );
    make_bob(&scene, None);
    assert_eq!(total(&scene.bob, "/api/v1/builds"), Some(0));
}

#[test]
fn the_address_of_an_upload_is_worth_nothing_after_its_user_was_removed() {
    let scene = Scene::new();
    make_bob(&scene, Some("developer"));
    let upload = || {
        scene
            .app
            .post("/api/v1/builds/upload?project_id=1&service_name=web")
            .bearer(&scene.bob)
            .header("idempotency-key", "k")
            .send()
    };
    let id = id_of(&upload().expect(307));
    let arrives = || {
        let path = format!("/internal/builds/{id}/source");
        let asked = scene.app.get(&path).bearer(SYSTEM).send().status;
        let told = scene.app.post(&path).bearer(SYSTEM);
        let told = told
            .json(&json!({ "digest": digest(), "size_bytes": 7 }))
            .send();
        (asked, told.status)
    };
    for (role, status) in [(Some("viewer"), 403), (None, 404)] {
        make_bob(&scene, role);
        assert_eq!(arrives(), (status, status), "{role:?}");
    }
    // The kept answer to a repeated request gives an address, and that is all.
    upload().expect(307);
    assert_eq!(arrives(), (404, 404));
    assert_eq!(scene.lease().status, 204, "nothing is built");
    make_bob(&scene, Some("developer"));
    assert_eq!(arrives(), (200, 202));
    assert_eq!(scene.lease().expect(200)["build_id"], id);
}
