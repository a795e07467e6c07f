//! Scale, stop, start, restart.

use super::*;

#[test]
fn stop_start_and_restart_are_generations_without_revisions() {
    let scene = Scene::new();
    let id = scene.running();
    let empty = json!({});
    let generation = || scene.told(&id)["generation"].as_u64().unwrap();
    assert_eq!(generation(), 1);
    scene.action(&id, "stop", &empty).expect(202);
    assert_eq!(
        (scene.told(&id)["desired"].clone(), generation()),
        (json!("stopped"), 2)
    );
    assert_eq!(scene.deployment(&id)["status"], "stopped");
    scene.action(&id, "stop", &empty).expect(202);
    assert_eq!(generation(), 2, "stopped already");
    scene.action(&id, "restart", &empty).expect(409);
    scene.action(&id, "start", &empty).expect(202);
    scene.action(&id, "restart", &empty).expect(202);
    assert_eq!(generation(), 4);
    let shown = scene.deployment(&id);
    assert_eq!(
        (&shown["status"], &shown["revision"]),
        (&json!("running"), &json!(1))
    );
}

#[test]
fn what_is_stopped_stays_stopped_when_configured_and_runs_when_deployed() {
    let scene = Scene::new();
    let id = scene.running();
    scene.action(&id, "stop", &json!({})).expect(202);
    scene.patch(&id, &json!({ "description": "x" })).expect(202);
    assert_eq!(scene.told(&id)["desired"], "stopped");
    scene.deploy(&json!({})).expect(202);
    assert_eq!(scene.told(&id)["desired"], "running");
}

#[test]
fn scaling_lasts_until_something_else_is_said() {
    let scene = Scene::new();
    let id = scene.running();
    let scaled = scene
        .action(&id, "scale", &json!({ "replicas": 3 }))
        .expect(202);
    assert_eq!(
        (&scaled["revision"], &scaled["spec"]["replicas"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(scene.told(&id)["spec"]["replicas"], 3);
    assert_eq!(scene.deployment(&id)["replicas_total"], 3);
    let next = scene.deploy(&json!({})).expect(202);
    assert_eq!(
        (&next["revision"], &next["spec"]["replicas"]),
        (&json!(2), &json!(3))
    );
    for bad in [
        json!({ "replicas": 0 }),
        json!({ "replicas": "2" }),
        json!({}),
    ] {
        assert_eq!(scene.action(&id, "scale", &bad).faults(), ["/replicas"]);
    }
    scene
        .patch(&id, &json!({ "enable_autoscaling": true }))
        .expect(202);
    scene
        .action(&id, "scale", &json!({ "replicas": 2 }))
        .expect(409);
}
