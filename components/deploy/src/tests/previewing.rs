//! `POST /deploy/preview`, and what the target says of a deployment.

use super::*;

fn request(more: &Value) -> Value {
    let mut body = json!({ "project_id": 1, "service_name": "web", "build_id": build_id(1) });
    let fields = body.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    body
}

impl Scene {
    fn preview(&self, more: &Value) -> TestAnswer {
        self.post("/api/v1/deploy/preview", &request(more))
    }
}

#[test]
fn a_preview_shows_what_a_release_would_tell_the_target_and_stores_nothing() {
    let scene = Scene::new();
    let wanted = json!({ "replicas": 2, "secrets": { "API_KEY": "s3cret-value" }, "env_vars": { "A": "1" } });
    let answer = scene.preview(&wanted);
    let shown = answer.expect(200);
    assert_eq!(
        shown,
        json!({ "manifests": { "SpinApp/web": "kind: \"SpinApp\"\n" } })
    );
    let asked = scene.sidecar.borrow().previewed[0].clone();
    let id = id_of(&scene.deploy(&wanted).expect(202));
    let mut told = scene.told(&id);
    // Of a first release the id is random, and a secret is sealed anew each time.
    for one in [&asked, &told] {
        assert!(one["sealed_secrets"]["API_KEY"].is_string());
        assert!(!one.to_string().contains("s3cret-value"));
    }
    for name in ["deployment_id", "sealed_secrets"] {
        told[name] = asked[name].clone();
    }
    assert_eq!(asked, told);

    // The next one builds on what is there.
    scene
        .preview(&json!({ "env_vars": { "B": "2" } }))
        .expect(200);
    let asked = scene.sidecar.borrow().previewed[1].clone();
    assert_eq!(asked["deployment_id"], id);
    assert_eq!(
        (&asked["revision"], &asked["generation"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(asked["spec"]["env_vars"], json!({ "A": "1", "B": "2" }));
    assert!(
        asked["sealed_secrets"]["API_KEY"].is_string(),
        "those that stay are shown, too"
    );
    let kept = scene.deployment(&id);
    assert_eq!(
        (&kept["revision"], &kept["spec"]["env_vars"]),
        (&json!(1), &json!({ "A": "1" }))
    );
    assert_eq!(
        scene.app.sql("platform", "SELECT action FROM audit").len(),
        1
    );
}

#[test]
fn a_preview_is_refused_for_what_a_release_is_refused_for() {
    let scene = Scene::new();
    scene.app.set("max_deployments_per_project", "1");
    let both = |more: &Value| {
        let (preview, release) = (scene.preview(more), scene.deploy(more));
        let words = |answer: &TestAnswer| {
            let problem = answer.json();
            json!([
                answer.status,
                problem["type"],
                problem["detail"],
                problem["errors"]
            ])
        };
        assert_eq!(words(&preview), words(&release), "{more}");
        preview
    };
    let faults = both(&json!({
        "replicas": -1, "memory_limit": "1e9Gi", "env_vars": { "A=B": "x" }, "surprise": true,
        "custom_domain": "nokube.example.org", "secrets": { "SPIN_X": "s3cret" },
    }));
    assert_eq!(faults.faults().len(), 6);
    both(&json!({ "build_id": build_id(3) })).expect(409);
    both(&json!({ "build_id": build_id(4) })).expect(404);
    scene.running();
    let many = both(&json!({ "service_name": "api" })).expect(409);
    assert_eq!(many["type"], "/problems/too-many-deployments");
    scene.app.set("max_deployments_per_project", "5");
    scene
        .deploy(&json!({ "environment": "staging" }))
        .expect(202);
    let host = both(&json!({ "service_name": "web-staging" })).expect(409);
    assert_eq!(host["type"], "/problems/host-taken");
}

#[test]
fn what_the_target_finds_wrong_is_told_at_the_fields_of_the_request() {
    let scene = Scene::new();
    scene.sidecar.borrow_mut().refuses = Some(json!({ "title": "x", "errors": [
        { "pointer": "/spec/storage_size", "detail": "is not possible here" },
        { "pointer": "/sealed_secrets/API_KEY", "detail": "is too long" },
        { "pointer": "/image_name", "detail": "is none" },
        { "pointer": "/service", "detail": "is too long" },
        { "pointer": "/namespace", "detail": "is another's" },
    ]}));
    let refused = scene.preview(&json!({}));
    assert_eq!(
        refused.faults(),
        [
            "/storage_size",
            "/secrets/API_KEY",
            "/image_name",
            "/service_name",
            "/environment",
        ]
    );
    scene.sidecar.borrow_mut().refuses = None;
    scene.sidecar.borrow_mut().down = true;
    scene.preview(&json!({})).expect(503);
}

#[test]
fn what_the_target_has_and_saw_is_told_to_members() {
    let scene = Scene::new();
    let id = scene.running();
    let manifests = format!("/api/v1/deployments/{id}/manifests");
    let events = format!("/api/v1/deployments/{id}/events");
    for name in ["ada", "bob", "root"] {
        let shown = scene.get_as(name, &manifests).expect(200);
        assert!(shown["manifests"]["SpinApp/web"].is_string(), "{shown}");
        let shown = scene.get_as(name, &events).expect(200);
        assert_eq!(shown["events"][0]["reason"], "FailedScheduling");
    }
    scene.get_as("eve", &manifests).expect(404);
    scene.get_as("eve", &events).expect(404);
    // Not told yet, or forgotten: there is nothing to show, which is no fault.
    scene.sidecar.borrow_mut().apps.clear();
    assert_eq!(
        scene.get(&manifests).expect(200),
        json!({ "manifests": {} })
    );
    assert_eq!(scene.get(&events).expect(200), json!({ "events": [] }));
    scene.sidecar.borrow_mut().down = true;
    scene.get(&manifests).expect(503);
    scene.get(&events).expect(503);
}
