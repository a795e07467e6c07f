//! Container images of any registry, where the platform allows them.

use super::*;

const IMAGE: &str = "docker.io/library/nginx";

fn allowing() -> Scene {
    let scene = Scene::new();
    scene.app.set("container_images", "allowed");
    scene.app.set("registry", "registry.localhost/nokube");
    scene
}

impl Scene {
    fn deploy_image(&self, image: &str) -> TestAnswer {
        let body = json!({ "project_id": 1, "service_name": "web", "image_name": image });
        self.post("/api/v1/deploy", &body)
    }
}

#[test]
fn a_container_image_is_deployed_by_its_whole_name_where_that_is_allowed() {
    let scene = allowing();
    let shown = scene.deploy_image("nginx:1.27").expect(202);
    assert_eq!(
        (&shown["image_name"], &shown["artifact"]),
        (&json!(format!("{IMAGE}:1.27")), &json!("container"))
    );
    assert_eq!(
        (&shown["digest"], &shown["build_id"]),
        (&Value::Null, &Value::Null)
    );
    let told = scene.told(&id_of(&shown));
    assert_eq!(
        (&told["artifact"], &told["image_name"], &told["digest"]),
        (
            &json!("container"),
            &json!(format!("{IMAGE}:1.27")),
            &json!("")
        )
    );
    // What a tag means may change: that is told, and not refused.
    let warned = shown["warnings"][0].as_str().unwrap();
    assert!(warned.contains("sha256:"), "{warned}");
    let latest = scene.deploy_image("nginx").expect(202);
    assert_eq!(latest["image_name"], format!("{IMAGE}:latest"));
    let fixed = scene
        .deploy_image(&format!("nginx@{}", digest(9)))
        .expect(202);
    assert_eq!(
        (&fixed["image_name"], &fixed["digest"], &fixed["warnings"]),
        (&json!(IMAGE), &json!(digest(9)), &json!([]))
    );
}

#[test]
fn without_leave_only_builds_are_deployed() {
    let scene = Scene::new();
    let refused = scene.deploy_image("nginx:1.27");
    assert_eq!(refused.faults(), ["/image_name"]);
    let text = refused.expect(422).to_string();
    assert!(text.contains("Kubernetes"), "{text}");
    scene.app.set("container_images", "none");
    assert_eq!(scene.deploy_image("nginx:1.27").faults(), ["/image_name"]);
    scene.app.set("container_images", "perhaps");
    let body = json!({ "project_id": 1, "service_name": "web", "image_name": "nginx" });
    let request = scene.app.post("/api/v1/deploy").bearer(&scene.token("ada"));
    assert_eq!(request.json(&body).send().status, 500);
}

#[test]
fn an_image_of_the_platforms_own_is_its_build_or_nothing() {
    let scene = allowing();
    let ours = scene.deploy_image(&format!("{REPOSITORY}:t1")).expect(202);
    assert_eq!(
        (&ours["artifact"], &ours["build_id"], &ours["digest"]),
        (&json!("spin"), &json!(build_id(1)), &json!(digest(1)))
    );
    scene.deploy_image(&format!("{REPOSITORY}:t3")).expect(409);
    // A name that another platform's address claims, from a time when the registry was called otherwise.
    scene.app.sql(
        "platform",
        "INSERT INTO image_names (repository, project_id, service_name) \
         VALUES ('old.example/nokube/eve-own-web', 2, 'web')",
    );
    for others in [
        "registry.localhost/nokube/eve-own-web:t4".to_owned(),
        "Registry.LOCALHOST:443/nokube/eve-own-web:t4".to_owned(),
        format!("registry.localhost/nokube/eve-own-web@{}", digest(4)),
        "registry.localhost/nokube/nobody-has-it:1".to_owned(),
        "old.example/nokube/eve-own-web:t4".to_owned(),
        "OLD.example:443/nokube/eve-own-web:t4".to_owned(),
    ] {
        let refused = scene.deploy_image(&others);
        assert_eq!(refused.faults(), ["/image_name"], "{others}");
        let text = refused.expect(422).to_string();
        assert!(text.contains("a build that you may see"), "{text}");
    }
}

#[test]
fn what_is_no_image_is_refused_and_nothing_is_stored() {
    let scene = allowing();
    for bad in [
        "x; rm -rf /",
        "$(id)",
        "a;b",
        "../x",
        "ghcr.io/../x",
        "https://ghcr.io/x",
        "nginx:",
        "nginx@sha256:short",
        "",
    ] {
        assert_eq!(scene.deploy_image(bad).faults(), ["/image_name"], "{bad}");
    }
    let listed = scene.get("/api/v1/deployments").expect(200);
    assert_eq!(listed["pagination"]["total"], 0);
}

#[test]
fn a_rollback_goes_from_a_container_to_a_build_and_back() {
    let scene = allowing();
    let id = scene.running();
    let container = scene.deploy_image("nginx:1.27").expect(202);
    assert_eq!(
        (&container["revision"], id_of(&container)),
        (&json!(2), id.clone())
    );
    let configured = scene.patch(&id, &json!({ "replicas": 2 })).expect(202);
    assert_eq!(configured["artifact"], "container");
    let back = scene
        .action(&id, "rollback", &json!({ "revision": 1 }))
        .expect(202);
    assert_eq!(
        (&back["artifact"], &back["digest"], &back["warnings"]),
        (&json!("spin"), &json!(digest(1)), &json!([]))
    );
    let again = scene
        .action(&id, "rollback", &json!({ "revision": 2 }))
        .expect(202);
    assert_eq!(again["artifact"], "container");
    let told = scene.told(&id);
    assert_eq!(
        (&told["artifact"], &told["digest"]),
        (&json!("container"), &json!(""))
    );
    let list = scene
        .get(&format!("/api/v1/deployments/{id}/revisions"))
        .expect(200);
    let second = &list["data"][3];
    assert_eq!(
        (&second["revision"], &second["digest"], &second["artifact"]),
        (&json!(2), &Value::Null, &json!("container"))
    );
    let changes = second["changes"].to_string();
    assert!(
        changes.contains(r#""field":"artifact","from":"spin","to":"container""#),
        "{changes}"
    );
    // Its bytes are its registry's to keep.
    let fixed = format!("nginx@{}", digest(9));
    scene.deploy_image(&fixed).expect(202);
    let kept = scene.app.get("/internal/artifacts").bearer(SYSTEM).send();
    assert!(!kept.expect(200).to_string().contains(&digest(9)));
}
