//! Deployments go, and nothing of them stays.

use super::*;

fn delete(scene: &Scene, id: &str) -> TestAnswer {
    let request = scene.app.delete(&format!("/api/v1/deployments/{id}"));
    request.bearer(&scene.token("ada")).send()
}

fn status(scene: &Scene, id: &str) -> u16 {
    scene.get(&format!("/api/v1/deployments/{id}")).status
}

#[test]
fn a_deployment_is_gone_once_the_target_has_confirmed() {
    let scene = Scene::new();
    let id = scene.running();
    scene.sidecar.borrow_mut().slow_removals = 3;
    assert_eq!(delete(&scene, &id).expect(202)["status"], "deleting");
    assert_eq!(delete(&scene, &id).expect(202)["status"], "deleting");
    scene.action(&id, "start", &json!({})).expect(409);
    scene.deploy(&json!({})).expect(409);
    for _ in 0..4 {
        scene.tick();
    }
    assert_eq!(status(&scene, &id), 404);
    assert_eq!(
        scene
            .app
            .sql("platform", "SELECT 1 FROM deployment_revisions")
            .len(),
        0
    );
    let again = scene.deploy(&json!({})).expect(202);
    assert_eq!(again["revision"], 1);
    assert_ne!(id_of(&again), id);
}

#[test]
fn what_the_target_never_acknowledged_is_not_forgotten_while_it_may_still_arrive() {
    let scene = Scene::new();
    scene.sidecar.borrow_mut().down = true;
    let id = scene.running();
    scene.sidecar.borrow_mut().down = false;
    delete(&scene, &id).expect(202);
    scene.tick();
    assert_eq!(status(&scene, &id), 200);
    scene.app.advance_ms(12_000);
    scene.tick();
    assert_eq!(status(&scene, &id), 404);
}

#[test]
fn a_projects_deployments_are_taken_down_before_it_goes() {
    let scene = Scene::new();
    let id = scene.running();
    scene.sidecar.borrow_mut().slow_removals = 5;
    let take_down = |query: &str| {
        let request = scene.app.delete(&format!("/internal/projects/1{query}"));
        request.bearer(SYSTEM).send()
    };
    assert_eq!(take_down("").status, 204);
    assert_eq!(status(&scene, &id), 404);
    assert_eq!(take_down("").status, 204, "nothing to do");

    let id = scene.running();
    scene.sidecar.borrow_mut().down = true;
    assert_eq!(
        take_down("").expect(409)["type"],
        "/problems/deployments-remain"
    );
    assert_eq!(status(&scene, &id), 200);
    assert_eq!(take_down("?force=true").status, 204);
    assert_eq!(status(&scene, &id), 404);
    assert!(scene.sidecar.borrow().apps.contains_key(&id));
    scene.sidecar.borrow_mut().down = false;
    scene.tick();
    scene.tick();
    assert!(
        !scene.sidecar.borrow().apps.contains_key(&id),
        "the target was told after all"
    );
    assert_eq!(
        scene
            .app
            .sql("platform", "SELECT 1 FROM deployment_leftovers")
            .len(),
        0
    );
}
