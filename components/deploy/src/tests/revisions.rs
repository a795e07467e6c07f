//! Revisions: the list, configuration alone, going back.

use super::*;

#[test]
fn a_rollback_brings_image_configuration_and_secrets_back_as_the_next_revision() {
    let scene = Scene::new();
    let first =
        json!({ "env_vars": { "COLOUR": "blue" }, "secrets": { "KEY": "first" }, "replicas": 2 });
    let id = id_of(&scene.deploy(&first).expect(202));
    let sealed = scene.told(&id)["sealed_secrets"].clone();
    let second = json!({
        "build_id": build_id(2), "env_vars": { "COLOUR": "red" }, "secrets": { "KEY": "second", "NEW": "x" },
        "replicas": 3,
    });
    scene.deploy(&second).expect(202);
    assert_ne!(scene.told(&id)["sealed_secrets"], sealed);

    let back = scene
        .action(&id, "rollback", &json!({ "revision": 1 }))
        .expect(202);
    assert_eq!(
        (&back["revision"], &back["digest"]),
        (&json!(3), &json!(digest(1)))
    );
    assert_eq!(back["spec"]["env_vars"]["COLOUR"], "blue");
    let told = scene.told(&id);
    assert_eq!(
        (&told["revision"], &told["digest"]),
        (&json!(3), &json!(digest(1)))
    );
    assert_eq!(told["sealed_secrets"], sealed);
    assert_eq!(told["spec"]["replicas"], 2);
    assert_eq!(
        scene
            .action(&id, "rollback", &json!({ "revision": 9 }))
            .faults(),
        ["/revision"]
    );
    assert_eq!(
        scene.action(&id, "rollback", &json!({})).faults(),
        ["/revision"]
    );

    let list = scene
        .get(&format!("/api/v1/deployments/{id}/revisions"))
        .expect(200);
    let kinds: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (&r["revision"], &r["kind"], &r["current"]))
        .collect();
    assert_eq!(
        kinds,
        [
            (&json!(3), &json!("rollback"), &json!(true)),
            (&json!(2), &json!("deploy"), &json!(false)),
            (&json!(1), &json!("deploy"), &json!(false)),
        ]
    );
    assert_eq!(list["data"][0]["rolled_back_to"], 1);
    let changes = list["data"][1]["changes"].as_array().unwrap();
    let change = |field: &str| {
        changes
            .iter()
            .find(|c| c["field"] == field)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(
        (&change("digest")["from"], &change("digest")["to"]),
        (&json!(digest(1)), &json!(digest(2)))
    );
    assert_eq!(
        change("env_vars.COLOUR"),
        json!({ "field": "env_vars.COLOUR", "from": "blue", "to": "red" })
    );
    assert_eq!(
        change("secrets.NEW"),
        json!({ "field": "secrets.NEW", "from": null, "to": "***" })
    );
    assert_eq!(change("secrets.KEY")["to"], "***");
}

#[test]
fn configuration_alone_is_the_next_revision_of_the_same_image() {
    let scene = Scene::new();
    let id = scene.running();
    let changed = scene
        .patch(&id, &json!({ "env_vars": { "A": "1" } }))
        .expect(202);
    assert_eq!(
        (&changed["revision"], &changed["digest"]),
        (&json!(2), &json!(digest(1)))
    );
    assert_eq!(scene.told(&id)["spec"]["env_vars"]["A"], "1");
    let same = scene
        .patch(&id, &json!({ "env_vars": { "A": "1" } }))
        .expect(202);
    assert_eq!(same["revision"], 2, "nothing changed, no revision");
    let faults = scene
        .patch(
            &id,
            &json!({ "image_name": "x", "environment": "y", "replicas": 0 }),
        )
        .faults();
    assert_eq!(faults, ["/environment", "/image_name", "/replicas"]);
}

#[test]
fn a_stale_change_is_refused_and_progress_of_the_target_makes_none_stale() {
    let scene = Scene::new();
    scene.sidecar.borrow_mut().phase = Some("deploying");
    let answer = scene.deploy(&json!({}));
    let id = id_of(&answer.expect(202));
    let tag = answer.headers.get("etag").unwrap().to_owned();
    scene.sidecar.borrow_mut().phase = None;
    assert_eq!(scene.deployment(&id)["status"], "running");
    let patch = |tag: &str, replicas: u32| {
        let request = scene
            .app
            .patch(&format!("/api/v1/deployments/{id}"))
            .bearer(&scene.token("ada"));
        request
            .header("if-match", tag)
            .json(&json!({ "replicas": replicas }))
            .send()
    };
    patch(&tag, 2).expect(202);
    patch(&tag, 3).expect(412);
    patch("*", 3).expect(202);
    patch("\"x\"", 4).expect(412);
    let path = format!("/api/v1/deployments/{id}");
    let now = scene.get(&path);
    let tag = now.headers.get("etag").unwrap().to_owned();
    let again = scene
        .app
        .get(&path)
        .bearer(&scene.token("ada"))
        .header("if-none-match", &tag)
        .send();
    assert_eq!(again.status, 304);
}

#[test]
fn a_release_after_a_rollback_is_a_revision_of_its_own() {
    let scene = Scene::new();
    let id = scene.running();
    scene
        .deploy(&json!({ "build_id": build_id(2) }))
        .expect(202);
    scene
        .action(&id, "rollback", &json!({ "revision": 1 }))
        .expect(202);
    assert_eq!(
        scene
            .deploy(&json!({ "build_id": build_id(2) }))
            .expect(202)["revision"],
        4
    );
    let missing = "/api/v1/deployments/01940000-0000-7000-8000-0000000000ff/revisions";
    scene.get(missing).expect(404);
}

#[test]
fn a_rollback_brings_a_custom_domain_back_for_administrators_alone() {
    let scene = Scene::new();
    scene.app.sql(
        "platform",
        "INSERT INTO project_members (project_id, user_id, username, role, added_at_ms) \
         VALUES (1, 9, 'root', 'developer', 0)",
    );
    let id = scene.running();
    let path = format!("/api/v1/deployments/{id}");
    let as_root = |body: &Value| {
        let request = scene.app.patch(&path).bearer(&scene.token("root"));
        request.json(body).send()
    };
    as_root(&json!({ "custom_domain": "www.example.com" })).expect(202);
    // What is there already is no news.
    scene
        .action(&id, "rollback", &json!({ "revision": 2 }))
        .expect(202);
    as_root(&json!({ "custom_domain": null })).expect(202);
    let refused = scene.action(&id, "rollback", &json!({ "revision": 2 }));
    assert_eq!(refused.faults(), ["/revision"]);
    scene
        .action(&id, "rollback", &json!({ "revision": 1 }))
        .expect(202);
    let path = format!("/api/v1/deployments/{id}/rollback");
    let back = scene.post_as("root", &path, &json!({ "revision": 2 }));
    assert_eq!(back.expect(202)["spec"]["custom_domain"], "www.example.com");
}

#[test]
fn what_stricter_rules_no_longer_allow_is_a_fault_that_the_next_change_can_mend() {
    let scene = Scene::new();
    let id = id_of(&scene.deploy(&json!({ "description": "kept" })).expect(202));
    // As an older version may have stored it.
    scene.app.sql(
        "platform",
        "UPDATE deployment_revisions SET spec = replace(spec, '\"custom_path\":null', '\"custom_path\":\"no-path\"')",
    );
    assert_eq!(scene.deployment(&id)["spec"]["custom_path"], "no-path");
    let refused = scene.patch(&id, &json!({ "replicas": 2 }));
    assert_eq!(refused.faults(), ["/custom_path"]);
    let mended = scene
        .patch(&id, &json!({ "custom_path": "/path" }))
        .expect(202);
    assert_eq!(
        (
            &mended["spec"]["custom_path"],
            &mended["spec"]["description"]
        ),
        (&json!("/path"), &json!("kept"))
    );
}
