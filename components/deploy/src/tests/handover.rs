//! Telling the target, whatever happens in between.

use super::*;

#[test]
fn what_the_target_could_not_be_told_is_told_by_the_tick() {
    let scene = Scene::new();
    scene.sidecar.borrow_mut().down = true;
    let id = scene.running();
    let shown = scene.deployment(&id);
    assert_eq!(shown["status"], "pending");
    assert!(
        shown["error_message"]
            .as_str()
            .unwrap()
            .contains("does not answer"),
        "{shown}"
    );
    for _ in 0..5 {
        scene.tick();
    }
    assert_eq!(scene.deployment(&id)["status"], "pending");
    scene.sidecar.borrow_mut().down = false;
    scene.app.advance_ms(15_000);
    scene.tick();
    let shown = scene.deployment(&id);
    assert_eq!(
        (&shown["status"], &shown["error_message"]),
        (&json!("running"), &Value::Null)
    );
}

#[test]
fn progress_and_failure_of_the_target_are_seen() {
    let scene = Scene::new();
    scene.sidecar.borrow_mut().phase = Some("pending");
    let id = scene.running();
    assert_eq!(scene.deployment(&id)["status"], "deploying");
    scene.sidecar.borrow_mut().phase = Some("failed");
    scene.tick();
    let list = scene.get("/api/v1/deployments?status=failed").expect(200);
    assert_eq!(list["pagination"]["total"], 1);
    // It may recover by itself; what has settled is looked at every five seconds.
    scene.sidecar.borrow_mut().phase = None;
    for _ in 0..5 {
        scene.tick();
    }
    assert_eq!(
        scene.get("/api/v1/deployments?status=running").expect(200)["pagination"]["total"],
        1
    );
}

#[test]
fn a_target_that_lost_its_state_is_told_everything_again() {
    let scene = Scene::new();
    let id = scene.running();
    scene.sidecar.borrow_mut().apps.clear();
    for _ in 0..7 {
        scene.tick();
    }
    assert_eq!(scene.told(&id)["generation"], 1);
    assert_eq!(scene.deployment(&id)["status"], "running");
}

#[test]
fn a_target_that_is_ahead_is_overtaken() {
    let scene = Scene::new();
    let id = scene.running();
    // As if this database were a copy of an older day.
    scene.sidecar.borrow_mut().apps.get_mut(&id).unwrap()["generation"] = json!(7);
    scene
        .deploy(&json!({ "build_id": build_id(2) }))
        .expect(202);
    for _ in 0..3 {
        scene.tick();
    }
    assert_eq!(
        (&scene.told(&id)["generation"], &scene.told(&id)["digest"]),
        (&json!(8), &json!(digest(2)))
    );
    assert_eq!(scene.deployment(&id)["status"], "running");
    scene.sidecar.borrow_mut().apps.get_mut(&id).unwrap()["generation"] = json!(20);
    for _ in 0..8 {
        scene.tick();
    }
    assert_eq!(scene.told(&id)["generation"], 21);
}

#[test]
fn what_the_target_refuses_fails_with_its_reason() {
    let scene = Scene::new();
    scene.sidecar.borrow_mut().refuses = Some(json!({
        "title": "x", "errors": [{ "pointer": "/spec/storage_size", "detail": "is not possible here" }],
    }));
    let id = scene.running();
    let shown = scene.deployment(&id);
    assert_eq!(shown["status"], "failed");
    assert!(
        shown["error_message"]
            .as_str()
            .unwrap()
            .ends_with("/storage_size is not possible here"),
        "{shown}"
    );
    let before = scene.app.host.sent.borrow().len();
    scene.sidecar.borrow_mut().refuses = None;
    scene.action(&id, "restart", &json!({})).expect(202);
    assert!(scene.app.host.sent.borrow().len() > before);
    assert_eq!(scene.deployment(&id)["status"], "running");
}

#[test]
fn only_the_platform_itself_ticks() {
    let scene = Scene::new();
    for token in ["", "test-runner-token", &scene.token("ada")] {
        scene
            .app
            .post("/internal/tick")
            .bearer(token)
            .send()
            .expect(401);
        scene
            .app
            .delete("/internal/projects/1")
            .bearer(token)
            .send()
            .expect(401);
    }
}

#[test]
fn many_deployments_are_refreshed_page_by_page() {
    let scene = Scene::new();
    scene.app.set("max_deployments_per_project", "2000");
    for n in 0..1_001 {
        let answer = scene.deploy(&json!({ "service_name": format!("s{n}") }));
        assert_eq!(answer.status, 202);
    }
    scene.sidecar.borrow_mut().phase = Some("failed");
    for _ in 0..5 {
        scene.tick();
    }
    let list = scene.get("/api/v1/deployments?status=failed").expect(200);
    assert_eq!(list["pagination"]["total"], 1_001);
}
