//! `POST /deploy`.

use nokube_keys::SealingKey;

use super::*;

#[test]
fn a_release_is_recorded_handed_over_and_runs() {
    let scene = Scene::new();
    let answer = scene.deploy(&json!({ "project_name": "ignored", "username": "ignored" }));
    let accepted = answer.expect(202);
    let id = id_of(&accepted);
    assert_eq!(
        answer.headers.get("location"),
        Some(format!("/api/v1/deployments/{id}").as_str())
    );
    assert_eq!(
        (&accepted["status"], &accepted["revision"]),
        (&json!("pending"), &json!(1))
    );
    assert_eq!(accepted["environment"], "production");
    assert_eq!(accepted["image_name"], format!("{REPOSITORY}:t1"));
    assert_eq!(
        (
            &accepted["spec"]["replicas"],
            &accepted["spec"]["memory_limit"]
        ),
        (&json!(1), &json!("128Mi"))
    );
    let told = scene.told(&id);
    assert_eq!(
        (&told["owner"], &told["project"], &told["service"]),
        (&json!("ada"), &json!("shop"), &json!("web"))
    );
    assert_eq!(
        (&told["digest"], &told["desired"]),
        (&json!(digest(1)), &json!("running"))
    );
    let running = scene.deployment(&id);
    assert_eq!(running["status"], "running");
    assert_eq!(running["access_url"], "http://web.shop.ada.localhost:3000/");
    assert_eq!(running["manifests_generated"], json!(["Application"]));
    assert_eq!(
        scene.app.sql("platform", "SELECT action FROM audit").len(),
        1
    );
}

#[test]
fn an_image_is_named_by_build_or_by_its_name() {
    let scene = Scene::new();
    let by_name = |name: &str| {
        let body = json!({ "project_id": 1, "service_name": "web", "image_name": name });
        scene.post("/api/v1/deploy", &body)
    };
    for (name, n) in [
        (format!("{REPOSITORY}:t1"), 1),
        (format!("{REPOSITORY}:latest"), 2),
        (REPOSITORY.to_owned(), 2),
        (format!("{REPOSITORY}@{}", digest(1)), 1),
    ] {
        let deployed = by_name(&name).expect(202);
        assert_eq!(
            (&deployed["digest"], &deployed["build_id"]),
            (&json!(digest(n)), &json!(build_id(n))),
            "{name}"
        );
    }
    for name in [
        "docker.io/library/nginx:1",
        "registry.localhost/nokube/eve-own-web:t4",
        "x; rm -rf /",
    ] {
        assert_eq!(by_name(name).faults(), ["/image_name"], "{name}");
    }
    by_name(&format!("{REPOSITORY}:t3")).expect(409);
    let by_build = |id: &str| scene.deploy(&json!({ "build_id": id }));
    by_build(&build_id(3)).expect(409);
    by_build(&build_id(4)).expect(404);
    assert_eq!(by_build("x").faults(), ["/build_id"]);
    let both = |name: &str| scene.deploy(&json!({ "image_name": name }));
    for agreeing in [
        format!("{REPOSITORY}:t1"),
        format!("{REPOSITORY}@{}", digest(1)),
        REPOSITORY.to_owned(),
    ] {
        let deployed = both(&agreeing).expect(202);
        assert_eq!(deployed["digest"], digest(1), "{agreeing}");
    }
    for another in [
        "other/image:t1".to_owned(),
        format!("{REPOSITORY}:t2"),
        format!("{REPOSITORY}@{}", digest(2)),
    ] {
        let faults = both(&another).faults();
        assert_eq!(faults, ["/build_id", "/image_name"], "{another}");
    }
    let neither = json!({ "project_id": 1, "service_name": "web" });
    assert_eq!(
        scene.post("/api/v1/deploy", &neither).faults(),
        ["/image_name"]
    );
}

#[test]
fn every_fault_is_told_at_once_and_nothing_is_stored() {
    let scene = Scene::new();
    let body = json!({
        "project_id": 1, "service_name": "../etc", "image_name": "x; rm -rf /", "environment": "A", "replicas": -1,
        "memory_limit": "1e9Gi", "container_port": "80", "env_vars": { "A=B": "x", "PORT": 80 },
        "secrets": { "SPIN_X": "s3cret" }, "surprise": true,
    });
    let mut faults = scene.post("/api/v1/deploy", &body).faults();
    faults.sort();
    assert_eq!(
        faults,
        [
            "/container_port",
            "/env_vars/A=B",
            "/env_vars/PORT",
            "/environment",
            "/image_name",
            "/memory_limit",
            "/replicas",
            "/secrets/SPIN_X",
            "/service_name",
            "/surprise",
        ]
    );
    assert_eq!(
        scene.get("/api/v1/deployments").expect(200)["pagination"]["total"],
        0
    );
}

#[test]
fn what_is_left_out_stays_as_it_was_and_null_unsets_it() {
    let scene = Scene::new();
    scene.deploy(&json!({
        "replicas": 2, "description": "one", "env_vars": { "A": "1", "B": "2" },
        "secrets": { "KEY": "first", "OTHER": "x" },
    }));
    let second = scene
        .deploy(&json!({ "replicas": null, "env_vars": { "A": null, "C": "3" }, "secrets": { "OTHER": null } }))
        .expect(202);
    assert_eq!(
        (&second["revision"], &second["spec"]["replicas"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(second["spec"]["description"], "one");
    assert_eq!(second["spec"]["env_vars"], json!({ "B": "2", "C": "3" }));
    assert_eq!(second["secret_names"], json!(["KEY"]));
    let third = scene.deploy(&json!({ "secrets": null })).expect(202);
    assert_eq!(third["secret_names"], json!([]));
}

#[test]
fn secrets_go_to_the_target_sealed_and_to_nobody_else() {
    let scene = Scene::new();
    let answer = scene.deploy(&json!({ "secrets": { "API_KEY": "s3cret-value" } }));
    let id = id_of(&answer.expect(202));
    let told = scene.told(&id);
    let sealed = told["sealed_secrets"]["API_KEY"].as_str().unwrap();
    let key = SealingKey::from_base64(SEALING_KEY).unwrap();
    let opened = key
        .open(sealed, &format!("{id}/API_KEY"))
        .map(|secret| secret.expose().to_owned());
    assert_eq!(opened, Ok("s3cret-value".to_owned()));
    let everything = format!(
        "{:?} {:?} {} {} {:?} {:?}",
        answer,
        told,
        scene.deployment(&id),
        scene
            .get(&format!("/api/v1/deployments/{id}/revisions"))
            .json(),
        scene
            .app
            .sql("platform", "SELECT spec, secrets FROM deployment_revisions"),
        scene.app.sql("platform", "SELECT detail FROM audit"),
    );
    assert!(!everything.contains("s3cret-value"));
    let variable = scene.deploy(&json!({ "env_vars": { "api_key": "x" } }));
    assert_eq!(variable.faults(), ["/secrets/API_KEY"]);
}

#[test]
fn two_names_that_would_answer_on_one_host_are_refused() {
    let scene = Scene::new();
    scene
        .deploy(&json!({ "environment": "staging" }))
        .expect(202);
    let clash = scene.deploy(&json!({ "service_name": "web-staging" }));
    assert_eq!(clash.expect(409)["type"], "/problems/host-taken");
    scene
        .deploy(&json!({ "service_name": "web-staging2" }))
        .expect(202);
    let long = json!({ "service_name": "s".repeat(40), "environment": "e".repeat(30) });
    assert_eq!(scene.deploy(&long).faults(), ["/environment"]);
}

#[test]
fn a_custom_domain_is_for_administrators_and_unique_and_never_the_platforms() {
    let scene = Scene::new();
    let domain = json!({ "custom_domain": "www.example.com" });
    assert_eq!(scene.deploy(&domain).faults(), ["/custom_domain"]);
    let sql = "INSERT INTO project_members (project_id, user_id, username, role, added_at_ms) \
               VALUES (1, 9, 'root', 'developer', 0)";
    scene.app.sql("platform", sql);
    let as_root = |service: &str, domain: &str| {
        let body = json!({
            "project_id": 1, "service_name": service, "build_id": build_id(1), "custom_domain": domain,
        });
        scene.post_as("root", "/api/v1/deploy", &body)
    };
    for own in ["nokube.example.org", "x.apps.example.org", "example.org"] {
        assert_eq!(as_root("web", own).faults(), ["/custom_domain"], "{own}");
    }
    as_root("web", "www.example.com").expect(202);
    assert_eq!(
        as_root("other", "www.example.com").expect(409)["type"],
        "/problems/domain-taken"
    );
    // What an administrator set stays when others deploy.
    assert_eq!(
        scene.deploy(&json!({})).expect(202)["spec"]["custom_domain"],
        "www.example.com"
    );
}

#[test]
fn a_request_told_twice_with_a_key_makes_one_revision() {
    let scene = Scene::new();
    let body = json!({ "project_id": 1, "service_name": "web", "build_id": build_id(1) });
    let post = || {
        let request = scene.app.post("/api/v1/deploy").bearer(&scene.token("ada"));
        request
            .header("idempotency-key", "k1")
            .json(&body)
            .send()
            .expect(202)
    };
    assert_eq!(post(), post());
    assert_eq!(
        scene
            .app
            .sql("platform", "SELECT 1 FROM deployment_revisions")
            .len(),
        1
    );
}

#[test]
fn all_secrets_of_a_deployment_together_are_bounded() {
    let scene = Scene::new();
    let secrets = |from: u32, to: u32| -> Value {
        let one = |n: u32| (format!("KEY_{n:02}"), json!("x".repeat(30_000)));
        json!({ "secrets": (from..to).map(one).collect::<serde_json::Map<_, _>>() })
    };
    let id = id_of(&scene.deploy(&secrets(0, 15)).expect(202));
    // Those that stay count as well.
    assert_eq!(scene.deploy(&secrets(15, 18)).faults(), ["/secrets"]);
    let refused = scene.patch(&id, &secrets(15, 18));
    assert_eq!(refused.faults(), ["/secrets"]);
    scene.patch(&id, &secrets(0, 15)).expect(202);
}
