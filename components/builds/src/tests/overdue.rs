//! Every build ends, whoever vanishes.

use super::*;

const SECOND_MS: i64 = 1_000;

#[test]
fn a_lease_that_was_never_acknowledged_costs_no_attempt() {
    let scene = Scene::new();
    let id = scene.pending();
    let lost = scene.lease().expect(200);
    scene.app.advance_ms(9 * SECOND_MS);
    assert_eq!(scene.lease().status, 204);
    scene.app.advance_ms(2 * SECOND_MS);
    let again = scene.lease().expect(200);
    assert_eq!(
        (&again["build_id"], &again["attempt"]),
        (&json!(id), &json!(1))
    );
    assert_ne!(again["lease_id"], lost["lease_id"]);
    scene
        .tell(&id, "start", &json!({ "lease_id": lost["lease_id"] }))
        .expect(410);
}

/// Asks for work as a runner with this id.
fn lease_as(scene: &Scene, runner_id: &str, starts: bool) -> TestAnswer {
    let body = json!({
        "runner": "r1", "builders": ["runner"], "runner_id": runner_id, "starts": starts,
    });
    let request = scene.app.post("/api/v1/runner/lease");
    request.bearer(RUNNER).json(&body).send()
}

#[test]
fn a_runner_that_starts_anew_gets_at_once_what_it_held() {
    const ONE: &str = "01940000-0000-7000-8000-000000000001";
    const OTHER: &str = "01940000-0000-7000-8000-000000000002";
    let scene = Scene::new();
    let id = scene.pending();
    let lost = lease_as(&scene, ONE, true).expect(200);
    // Neither another one nor the same in the middle of its life.
    assert_eq!(lease_as(&scene, OTHER, true).status, 204);
    assert_eq!(lease_as(&scene, ONE, false).status, 204);

    let again = lease_as(&scene, ONE, true).expect(200);
    let attempt = (&again["build_id"], &again["attempt"]);
    assert_eq!(attempt, (&json!(id), &json!(1)), "it costs no attempt");
    let proof = |job: &Value| json!({ "lease_id": job["lease_id"] });
    scene.tell(&id, "start", &proof(&lost)).expect(410);
    scene.tell(&id, "start", &proof(&again)).expect(200);

    let second = lease_as(&scene, ONE, true).expect(200);
    assert_eq!(second["attempt"], 2, "a start that was acknowledged counts");
    scene.tell(&id, "heartbeat", &proof(&again)).expect(410);
    assert!(scene.lines(&id)[0].contains("attempt 2 of 3"));
    lease_as(&scene, "%", true).expect(422);
}

#[test]
fn a_build_whose_runner_vanishes_is_queued_again_and_given_up_after_three_attempts() {
    let scene = Scene::new();
    let id = scene.pending();
    for attempt in 1..=3 {
        scene.start(&id);
        scene.app.advance_ms(19 * SECOND_MS);
        scene.tick();
        assert_eq!(scene.build(&id)["status"], "building");
        scene.app.advance_ms(2 * SECOND_MS);
        scene.tick();
        let wanted = if attempt < 3 { "pending" } else { "failed" };
        assert_eq!(scene.build(&id)["status"], wanted, "attempt {attempt}");
    }
    assert!(
        scene.build(&id)["error_message"]
            .as_str()
            .unwrap()
            .contains("stopped answering")
    );
    assert_eq!(scene.lines(&id).len(), 3);
}

#[test]
fn lines_of_a_second_attempt_follow_those_of_the_first() {
    let scene = Scene::new();
    let id = scene.pending();
    let line = |lease: &str, text: &str| {
        let line = json!({ "time": "2027-01-15T08:00:01Z", "stream": "stderr", "text": text });
        let body = json!({ "lease_id": lease, "first": 1, "lines": [line] });
        assert_eq!(scene.tell(&id, "logs", &body).status, 204);
    };
    let lease = scene.start(&id);
    line(&lease, "first");
    scene.app.advance_ms(21 * SECOND_MS);
    scene.tick();
    let lease = scene.start(&id);
    line(&lease, "second");
    let lines = scene.lines(&id);
    assert_eq!((lines[0].as_str(), lines[2].as_str()), ("first", "second"));
    assert!(lines[1].contains("attempt 2 of 3"), "{}", lines[1]);
}

#[test]
fn a_build_that_takes_too_long_fails_although_its_runner_lives() {
    let scene = Scene::new();
    let id = scene.pending();
    let lease = scene.start(&id);
    for _ in 0..(17 * 6) {
        scene.app.advance_ms(10 * SECOND_MS);
        let _ = scene.tell(&id, "heartbeat", &json!({ "lease_id": lease }));
        scene.tick();
    }
    let build = scene.build(&id);
    assert_eq!(build["status"], "failed");
    assert!(
        build["error_message"]
            .as_str()
            .unwrap()
            .contains("15 minutes"),
        "{build}"
    );
}

#[test]
fn a_source_that_never_comes_and_a_build_that_nobody_takes_fail() {
    let scene = Scene::new();
    let path = "/api/v1/builds/upload?project_id=1&service_name=web";
    let awaiting = id_of(&scene.app.post(path).bearer(&scene.ada).send().expect(307));
    let waiting = scene.pending();
    scene.app.advance_ms(14 * 60 * SECOND_MS);
    scene.tick();
    assert_eq!(scene.build(&awaiting)["status"], "pending");
    scene.app.advance_ms(60 * SECOND_MS);
    scene.tick();
    assert_eq!(scene.build(&awaiting)["status"], "failed");
    assert_eq!(scene.build(&waiting)["status"], "pending");
    scene.app.advance_ms(6 * 60 * 60 * SECOND_MS);
    scene.tick();
    assert_eq!(scene.build(&waiting)["status"], "failed");
}
