//! Bad input over HTTP: a clear problem, and nothing changed.

use nokube_tests::api::Api;
use nokube_tests::git_server::GitServer;
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use reqwest::Method;
use serde_json::{Value, json};

async fn platform_with_project() -> (Platform, Api, i64) {
    let platform = Platform::start();
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    (platform, api, project)
}

async fn total(api: &Api, path: &str) -> u64 {
    api.get(path).await.expect(200)["pagination"]["total"]
        .as_u64()
        .expect("a list has a total")
}

fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|fault| fault["pointer"].as_str())
        .collect()
}

#[tokio::test]
async fn what_is_not_json_of_another_type_unknown_or_too_large_is_refused_and_changes_nothing() {
    let (platform, api, project) = platform_with_project().await;

    let request = api
        .request(Method::POST, "/projects")
        .header("content-type", "application/json");
    api.send(request.body("{not json")).await.problem(400);
    let request = api
        .request(Method::POST, "/projects")
        .header("content-type", "text/xml")
        .body("<a/>");
    api.send(request).await.problem(415);
    let problem = api
        .post(
            "/projects",
            &json!({ "name": 1, "descripton": "typo", "branch": [] }),
        )
        .await
        .problem(422);
    let mut found = pointers(&problem);
    found.sort_unstable();
    assert_eq!(
        found,
        ["/branch", "/descripton", "/name"],
        "every fault at once"
    );

    let large = "x".repeat(50 << 20);
    let request = api
        .request(Method::POST, "/projects")
        .header("content-type", "application/json")
        .body(large);
    api.send(request).await.problem(413);
    let answer = api.send(api.request(Method::PUT, "/projects")).await;
    answer.problem(405);
    assert!(
        answer.headers["allow"]
            .to_str()
            .is_ok_and(|allow| allow.contains("POST"))
    );
    api.get("/nonsense").await.problem(404);
    platform.api().get("/projects").await.problem(401);

    let problem = api
        .post(
            "/builds",
            &json!({ "project_id": "one", "service_name": "Not A Label", "builder": "magic" }),
        )
        .await
        .problem(422);
    assert!(pointers(&problem).len() >= 3, "{problem}");
    let problem = api
        .post(
            "/deploy",
            &json!({
                "project_id": project, "service_name": "../etc", "image_name": "x; rm -rf /", "replicas": -1,
                "memory_limit": "1e9Gi", "env_vars": { "A=B": "x" }, "surprise": true,
            }),
        )
        .await
        .problem(422);
    let found = pointers(&problem);
    for pointer in [
        "/service_name",
        "/replicas",
        "/memory_limit",
        "/env_vars/A=B",
        "/surprise",
    ] {
        assert!(found.contains(&pointer), "{pointer} is missing: {problem}");
    }
    assert_eq!(total(&api, "/projects").await, 1);
    assert_eq!(total(&api, "/builds").await, 0);
    assert_eq!(total(&api, "/deployments").await, 0);
}

#[tokio::test]
async fn addresses_that_are_options_other_transports_or_aim_inside_are_refused() {
    let (platform, api, project) = platform_with_project().await;
    let own_port = platform
        .url()
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    let own = format!("http://127.0.0.1:{own_port}/x.git");
    let own_by_name = format!("http://localhost:{own_port}/x.git");
    let refused = [
        "--upload-pack=touch /tmp/owned",
        "-oProxyCommand=x",
        "ext::sh -c id",
        "ssh://git@example.org/x.git",
        "git@example.org:x.git",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/x.git",
        "http://[::ffff:169.254.169.254]/x.git",
        "http://0.0.0.0/x.git",
        "javascript:alert(1)",
        "",
        &own,
        &own_by_name,
    ];
    for url in refused {
        let body = json!({ "project_id": project, "service_name": "web", "repository_url": url });
        let problem = api.post("/builds", &body).await.problem(422);
        assert_eq!(pointers(&problem), ["/repository_url"], "{url}: {problem}");
    }
    for branch in ["--upload-pack=x", "a..b", "a b", ""] {
        let body = json!({
            "project_id": project, "service_name": "web", "repository_url": "https://example.org/x.git", "branch": branch,
        });
        assert_eq!(
            pointers(&api.post("/builds", &body).await.problem(422)),
            ["/branch"],
            "{branch}"
        );
    }
    for subdirectory in ["../..", "/etc", "a/../../b"] {
        let body = json!({
            "project_id": project, "service_name": "web", "repository_url": "https://example.org/x.git",
            "subdirectory": subdirectory,
        });
        assert_eq!(
            pointers(&api.post("/builds", &body).await.problem(422)),
            ["/subdirectory"],
            "{subdirectory}"
        );
    }
    assert_eq!(total(&api, "/builds").await, 0);
}

async fn failed_build(api: &Api, project: i64, url: &str) -> (Value, String) {
    let id = api.start_build(project, "web", url).await;
    let build = api.wait_for_build(&id).await;
    assert_eq!(build["status"], "failed", "{build}");
    assert!(
        build["error_message"].is_string(),
        "a failed build says why: {build}"
    );
    assert!(build["digest"].is_null(), "{build}");
    let log = api.build_log(&id).await;
    (build, log)
}

#[tokio::test]
async fn a_repository_that_does_not_exist_or_leaves_its_folder_fails_with_the_reason() {
    let (_platform, api, project) = platform_with_project().await;
    let site = Repository::of_files("site", &[("index.html", b"hi")]);
    let server = GitServer::start(site.root()).await;
    failed_build(&api, project, &server.url("missing.git")).await;

    let escape = Repository::of_files(
        "escape",
        &[
            ("spin.toml", include_bytes!("fixtures/escaping-spin.toml")),
            ("app.wasm", b"\0asm"),
        ],
    );
    let server = GitServer::start(escape.root()).await;
    let (_, log) = failed_build(&api, project, &server.url("escape.git")).await;
    assert!(
        log.contains("files[0].source") && log.contains("line 12"),
        "the log names what leads out: {log}"
    );

    let link = Repository::of_files("link", &[("index.html", b"hi")]);
    std::os::unix::fs::symlink("/etc/passwd", link.work().join("leak.html"))
        .expect("a link can be made");
    let _commit = link.commit("a link out of the repository");
    let server = GitServer::start(link.root()).await;
    let (_, log) = failed_build(&api, project, &server.url("link.git")).await;
    assert!(log.contains("leak.html"), "the log names the link: {log}");

    let foreign = Repository::of_files(
        "foreign",
        &[
            (
                "spin.toml",
                include_bytes!("fixtures/unsupported-spin.toml"),
            ),
            ("app.wasm", b"\0asm"),
        ],
    );
    let server = GitServer::start(foreign.root()).await;
    let (_, log) = failed_build(&api, project, &server.url("foreign.git")).await;
    for named in [
        "ai_models",
        "redis",
        "cron",
        "`dependencies`",
        "`static_response`",
    ] {
        assert!(
            log.contains(named),
            "every fault is named with its line: {log}"
        );
    }
}

#[tokio::test]
async fn what_is_another_users_does_not_exist() {
    let (platform, ada, project) = platform_with_project().await;
    let site = Repository::of_files("site", &[("index.html", b"hers")]);
    let build = ada.build(project, "web", &site.file_url()).await;
    let deployed = ada
        .deploy(
            &json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] }),
        )
        .await;
    let (build, deployment) = (
        build["build_id"].as_str().expect("id"),
        deployed["deployment_id"].as_str().expect("id"),
    );

    let eve = platform.api().register("eve", None).await;
    let own = eve.create_project("own").await;
    for path in [
        format!("/projects/{project}"),
        format!("/projects/{project}/activity"),
        format!("/builds/{build}"),
        format!("/builds/{build}/logs"),
        format!("/deployments/{deployment}"),
        format!("/deployments/{deployment}/revisions"),
        format!("/deployments/{deployment}/logs"),
    ] {
        eve.get(&path).await.problem(404);
    }
    let empty = json!({});
    eve.post(&format!("/builds/{build}/cancel"), &empty)
        .await
        .problem(404);
    eve.post(&format!("/builds/{build}/retry"), &empty)
        .await
        .problem(404);
    eve.post(
        &format!("/deployments/{deployment}/rollback"),
        &json!({ "revision": 1 }),
    )
    .await
    .problem(404);
    eve.post(&format!("/deployments/{deployment}/stop"), &empty)
        .await
        .problem(404);
    eve.delete(&format!("/deployments/{deployment}"))
        .await
        .problem(404);
    eve.delete(&format!("/projects/{project}"))
        .await
        .problem(404);
    eve.post("/builds", &json!({ "project_id": project, "service_name": "x", "repository_url": "https://example.org/a" }))
        .await
        .problem(404);
    for image in [
        json!({ "build_id": build }),
        json!({ "image_name": deployed["image_name"] }),
    ] {
        let mut body = json!({ "project_id": own, "service_name": "web" });
        body.as_object_mut()
            .expect("an object")
            .extend(image.as_object().expect("an object").clone());
        let answer = eve.post("/deploy", &body).await;
        assert!(
            matches!(answer.status.as_u16(), 404 | 422),
            "{}",
            answer.text
        );
    }
    for path in ["/projects", "/builds", "/deployments"] {
        let listed = eve.get(path).await.text;
        assert!(
            !listed.contains(deployment) && !listed.contains(build),
            "{listed}"
        );
    }
    ada.get(&format!("/deployments/{deployment}"))
        .await
        .expect(200);
}
