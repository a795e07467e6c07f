//! Asking for builds.

use super::*;

#[test]
fn a_build_is_accepted_with_its_name_from_the_start() {
    let scene = Scene::new();
    let body =
        json!({ "project_id": 1, "service_name": "web", "repository_url": URL, "branch": "main" });
    let answer = scene.create(&body);
    let build = answer.expect(202);
    let id = id_of(&build);
    assert_eq!(build["status"], "pending");
    assert_eq!(build["builder"], "runner");
    assert_eq!(build["created_by"], "ada");
    let tag = id.rsplit('-').next().unwrap();
    assert_eq!(
        build["image_full_name"],
        format!("registry.localhost/nokube/ada-shop-web:{tag}")
    );
    assert_eq!(
        answer.headers.get("location"),
        Some(format!("/api/v1/builds/{id}").as_str())
    );
    assert_eq!(scene.build(&id), build);
    let audit = scene
        .app
        .sql("platform", "SELECT action, actor_name FROM audit");
    assert_eq!(audit.len(), 1, "{audit:?}");
}

#[test]
fn every_fault_is_told_at_once_and_nothing_is_stored() {
    let scene = Scene::new();
    let body = json!({
        "project_id": "one", "service_name": "Not A Label", "repository_url": "ext::sh -c id", "branch": "--x",
        "commit": "abc", "subdirectory": "../..", "builder": "kubernetes", "has_dockerfile": true,
        "dockerfile_content": "FROM x", "image_name": "A/B", "image_tag": "-", "build_args": { "1A": "x" },
        "repositry_url": "typo",
    });
    let mut faults = scene.create(&body).faults();
    faults.sort();
    let mut wanted = [
        "/project_id",
        "/service_name",
        "/repository_url",
        "/branch",
        "/commit",
        "/subdirectory",
        "/builder",
        "/has_dockerfile",
        "/dockerfile_content",
        "/image_name",
        "/image_tag",
        "/build_args/1A",
        "/repositry_url",
    ];
    wanted.sort_unstable();
    assert_eq!(faults, wanted);
    let list = scene.get("/api/v1/builds").expect(200);
    assert_eq!(list["pagination"]["total"], 0);
}

#[test]
fn a_form_that_says_there_is_no_dockerfile_asks_for_nothing() {
    let scene = Scene::new();
    let body = json!({
        "project_id": 1, "service_name": "web", "repository_url": URL, "has_dockerfile": false,
        "dockerfile_path": "Dockerfile", "dockerfile_content": "",
    });
    scene.create(&body).expect(202);
}

#[test]
fn the_projects_repository_and_branch_are_the_default() {
    let scene = Scene::new();
    let body = json!({ "project_id": 1, "service_name": "web" });
    assert_eq!(scene.create(&body).faults(), ["/repository_url"]);
    let sql =
        format!("UPDATE projects SET repository_url = '{URL}', branch = 'trunk' WHERE id = 1");
    scene.app.sql("platform", &sql);
    let build = scene.create(&body).expect(202);
    assert_eq!(
        (&build["repository_url"], &build["branch"]),
        (&json!(URL), &json!("trunk"))
    );
    let other = json!({ "project_id": 1, "service_name": "web", "repository_url": "https://example.org/x" });
    assert!(scene.create(&other).expect(202)["branch"].is_null());
    // The operator has tightened the rules since the project was made.
    scene.app.sql(
        "platform",
        "UPDATE projects SET repository_url = 'file:///srv/x' WHERE id = 1",
    );
    assert_eq!(scene.create(&body).faults(), ["/repository_url"]);
}

#[test]
fn a_list_is_filtered() {
    let scene = Scene::new();
    scene.pending();
    let body = json!({ "project_id": 3, "service_name": "x", "repository_url": URL });
    scene.create(&body).expect(202);
    let total = |query: &str| {
        let list = scene.get(&format!("/api/v1/builds?{query}")).expect(200);
        list["pagination"]["total"].as_u64().unwrap()
    };
    assert_eq!(total(""), 2);
    assert_eq!(total("project_id=1"), 1);
    assert_eq!(total("service_name=x"), 1);
    assert_eq!(total("status=success"), 0);
    assert_eq!(
        scene.get("/api/v1/builds?status=done").faults(),
        ["/status"]
    );
}

#[test]
fn a_request_told_twice_with_a_key_makes_one_build() {
    let scene = Scene::new();
    let body = json!({ "project_id": 1, "service_name": "web", "repository_url": URL });
    let post = || {
        let request = scene.app.post("/api/v1/builds").bearer(&scene.ada);
        request
            .header("idempotency-key", "k1")
            .json(&body)
            .send()
            .expect(202)
    };
    assert_eq!(post(), post());
    assert_eq!(
        scene.get("/api/v1/builds").expect(200)["pagination"]["total"],
        1
    );
}

#[test]
fn an_upload_told_twice_with_a_key_is_one_build_with_an_address_of_its_own_each_time() {
    let scene = Scene::new();
    let post = |service: &str| {
        let path = format!("/api/v1/builds/upload?project_id=1&service_name={service}");
        let request = scene.app.post(&path).bearer(&scene.ada);
        request.header("idempotency-key", "k1").send()
    };
    let address = |answer: &TestAnswer| answer.headers.get("location").unwrap().to_owned();
    let (first, second) = (post("web"), post("web"));
    assert_eq!(first.expect(307), second.expect(307));
    assert_eq!(second.headers.get("idempotency-replayed"), Some("true"));
    assert_ne!(address(&first), address(&second));
    assert!(address(&second).starts_with("http://sidecar.test/blobs/"));
    assert_eq!(
        post("other").expect(422)["type"],
        "/problems/idempotency-key-reused"
    );
    let kept = scene
        .app
        .sql("platform", "SELECT headers, body FROM idempotency_keys");
    assert!(!format!("{kept:?}").contains("/blobs/"), "{kept:?}");
    assert_eq!(
        scene.get("/api/v1/builds").expect(200)["pagination"]["total"],
        1
    );
}

#[test]
fn too_many_waiting_builds_are_refused_until_one_ends() {
    let scene = Scene::new();
    let ids: Vec<String> = (0..10).map(|_| scene.pending()).collect();
    let body = json!({ "project_id": 1, "service_name": "web", "repository_url": URL });
    let refused = scene.create(&body);
    refused.expect(429);
    assert!(refused.headers.get("retry-after").is_some());
    scene
        .app
        .post(&format!("/api/v1/builds/{}/cancel", ids[0]))
        .bearer(&scene.ada)
        .send()
        .expect(202);
    scene.create(&body).expect(202);
}

#[test]
fn an_upload_is_sent_on_to_a_one_time_address_and_queued_when_it_has_arrived() {
    let scene = Scene::new();
    let path = "/api/v1/builds/upload?project_id=1&service_name=web&subdirectory=app";
    let answer = scene.app.post(path).bearer(&scene.ada).send();
    let build = answer.expect(307);
    let id = id_of(&build);
    assert!(
        answer
            .headers
            .get("location")
            .unwrap()
            .starts_with("http://sidecar.test/blobs/")
    );
    assert_eq!(scene.lease().status, 204, "no source, no work");

    let told = |digest: &str| {
        let request = scene
            .app
            .post(&format!("/internal/builds/{id}/source"))
            .bearer(SYSTEM);
        request
            .json(&json!({ "digest": digest, "size_bytes": 7 }))
            .send()
    };
    let other = format!("sha256:{}", "0".repeat(64));
    assert_eq!(id_of(&told(&digest()).expect(202)), id);
    told(&digest()).expect(202);
    assert_eq!(
        told(&other).expect(422)["type"],
        "/problems/idempotency-key-reused"
    );
    told("sha256:x").expect(422);
    let job = scene.lease().expect(200);
    assert_eq!(job["source"]["kind"], "archive");
    assert_eq!(job["source"]["digest"], digest());
    assert_eq!(job["subdirectory"], "app");
    assert_eq!(
        scene
            .app
            .post("/api/v1/builds/upload?project_id=x&subdirectory=..")
            .bearer(&scene.ada)
            .send()
            .faults(),
        ["/project_id", "/service_name", "/subdirectory"]
    );
}
