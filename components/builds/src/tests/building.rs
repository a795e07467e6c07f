//! What runners do.

use super::*;

#[test]
fn a_build_goes_from_pending_to_success() {
    let scene = Scene::new();
    assert_eq!(scene.lease().status, 204);
    let id = scene.pending();
    let job = scene.lease().expect(200);
    assert_eq!(
        (&job["owner"], &job["project"], &job["attempt"]),
        (&json!("ada"), &json!("shop"), &json!(1))
    );
    assert_eq!(
        job["source"],
        json!({ "kind": "git", "url": URL, "branch": null, "commit": null })
    );
    assert!(
        job["artifact_upload_url"]
            .as_str()
            .unwrap()
            .starts_with("http://sidecar.test/blobs/")
    );
    assert_eq!(
        scene.build(&id)["status"],
        "pending",
        "a lease is not a start"
    );
    assert_eq!(scene.lease().status, 204, "one build, one lease");

    let proof = json!({ "lease_id": job["lease_id"] });
    scene.tell(&id, "start", &proof).expect(200);
    scene.tell(&id, "start", &proof).expect(200);
    let running = scene.build(&id);
    assert_eq!(
        (&running["status"], &running["attempts"]),
        (&json!("building"), &json!(1))
    );
    scene.app.advance_ms(2_500);
    scene.tell(&id, "heartbeat", &proof).expect(200);

    let lease = job["lease_id"].as_str().unwrap();
    assert_eq!(scene.succeed(&id, lease).status, 204);
    assert_eq!(scene.succeed(&id, lease).status, 204, "told again");
    let done = scene.build(&id);
    assert_eq!(done["status"], "success");
    assert_eq!(done["digest"], digest());
    assert_eq!(done["commit"], "c".repeat(40));
    assert_eq!(done["duration_seconds"], 2.5);
    scene.tell(&id, "heartbeat", &proof).expect(410);
}

#[test]
fn only_a_runner_gets_work() {
    let scene = Scene::new();
    scene.pending();
    for token in [SYSTEM, "", &scene.ada] {
        let request = scene.app.post("/api/v1/runner/lease").bearer(token);
        request
            .json(&json!({ "runner": "r", "builders": ["runner"] }))
            .send()
            .expect(401);
    }
}

#[test]
fn a_cancelled_build_is_lost_to_its_runner() {
    let scene = Scene::new();
    let id = scene.pending();
    let lease = scene.start(&id);
    let cancel = || {
        scene
            .app
            .post(&format!("/api/v1/builds/{id}/cancel"))
            .bearer(&scene.ada)
            .send()
    };
    assert_eq!(cancel().expect(202)["status"], "cancelled");
    cancel().expect(409);
    let proof = json!({ "lease_id": lease });
    scene.tell(&id, "heartbeat", &proof).expect(410);
    scene.tell(&id, "start", &proof).expect(410);
    scene.succeed(&id, &lease).expect(410);
    assert_eq!(scene.build(&id)["status"], "cancelled");
    assert_eq!(scene.lines(&id), ["Cancelled by ada."]);
}

#[test]
fn another_runners_lease_is_refused() {
    let scene = Scene::new();
    let id = scene.pending();
    scene.start(&id);
    let foreign = json!({ "lease_id": "01940000-0000-7000-8000-000000000001" });
    for call in ["start", "heartbeat"] {
        scene.tell(&id, call, &foreign).expect(410);
    }
    scene.succeed(&id, "x").expect(410);
    assert_eq!(scene.build(&id)["status"], "building");
}

#[test]
fn a_success_counts_when_the_artifact_is_stored() {
    let scene = Scene::new();
    let id = scene.pending();
    let lease = scene.start(&id);
    let missing = format!("sha256:{}", "0".repeat(64));
    let result =
        json!({ "lease_id": lease, "status": "success", "digest": missing, "commit": null });
    assert_eq!(scene.tell(&id, "result", &result).status, 204);
    assert_eq!(scene.build(&id)["status"], "pending", "it is tried again");
    let bad =
        json!({ "lease_id": lease, "status": "success", "digest": "sha256:1", "commit": null });
    scene.tell(&id, "result", &bad).expect(410);
}

#[test]
fn a_failure_of_the_build_ends_it_and_one_of_the_platform_is_tried_again() {
    let scene = Scene::new();
    let id = scene.pending();
    let fail = |lease: &str, retryable: bool| {
        let result = json!({
            "lease_id": lease, "status": "failed", "error_message": "The disk is full.", "retryable": retryable,
            "commit": "d".repeat(40),
        });
        assert_eq!(scene.tell(&id, "result", &result).status, 204);
    };
    for attempt in 1..=3 {
        let lease = scene.start(&id);
        fail(&lease, true);
        let wanted = if attempt < 3 { "pending" } else { "failed" };
        assert_eq!(scene.build(&id)["status"], wanted);
    }
    let error = scene.build(&id)["error_message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(error, "The disk is full. It was attempt 3 of 3.");

    let id = scene.pending();
    let lease = scene.start(&id);
    let result = json!({ "lease_id": lease, "status": "failed", "error_message": "No spin.toml.", "retryable": false, "commit": null });
    scene.tell(&id, "result", &result);
    let failed = scene.build(&id);
    assert_eq!(
        (&failed["status"], &failed["error_message"]),
        (&json!("failed"), &json!("No spin.toml."))
    );
}

#[test]
fn a_build_that_is_given_back_waits_again_and_has_lost_no_attempt() {
    let scene = Scene::new();
    let id = scene.pending();
    for _ in 0..5 {
        let lease = scene.start(&id);
        let result = json!({ "lease_id": lease, "status": "given_back", "commit": "d".repeat(40) });
        assert_eq!(scene.tell(&id, "result", &result).status, 204);
        let build = scene.build(&id);
        assert_eq!(
            (&build["status"], &build["attempts"], &build["started_at"]),
            (&json!("pending"), &json!(0), &Value::Null)
        );
        scene.tell(&id, "result", &result).expect(410);
    }
    let job = scene.lease().expect(200);
    assert_eq!(
        (&job["attempt"], &job["source"]["commit"]),
        (&json!(1), &json!("d".repeat(40)))
    );
}

#[test]
fn a_retry_is_a_new_build_of_the_same_commit_under_its_own_name() {
    let scene = Scene::new();
    let id = scene.pending();
    let retry = |id: &str| {
        scene
            .app
            .post(&format!("/api/v1/builds/{id}/retry"))
            .bearer(&scene.ada)
            .send()
    };
    retry(&id).expect(409);
    let lease = scene.start(&id);
    scene.succeed(&id, &lease);
    let again = retry(&id).expect(202);
    assert_eq!(
        (&again["status"], &again["retry_of"]),
        (&json!("pending"), &json!(id))
    );
    assert_ne!(
        again["image_full_name"],
        scene.build(&id)["image_full_name"]
    );
    let job = scene.lease().expect(200);
    assert_eq!(job["source"]["commit"], "c".repeat(40));
}

#[test]
fn a_project_with_many_builds_does_not_keep_others_waiting() {
    let scene = Scene::new();
    let first = scene.pending();
    scene.app.advance_ms(1_000);
    scene.pending();
    let body = json!({ "project_id": 3, "service_name": "x", "repository_url": URL });
    scene.app.advance_ms(1_000);
    let other = id_of(&scene.create(&body).expect(202));
    scene.start(&first);
    assert_eq!(scene.lease().expect(200)["build_id"], other);
}
