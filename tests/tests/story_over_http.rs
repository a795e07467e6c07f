//! The main job over HTTP, from an empty data folder: a Git repository becomes a running address.
//!
//! Every example application is built from a bare repository over smart HTTP by its own build
//! command, deployed and asked; and once more through the `nokube` command.

mod by_command;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nokube_tests::api::Api;
use nokube_tests::git_server::GitServer;
use nokube_tests::platform::{Platform, repository_root};
use nokube_tests::repository::Repository;
use serde_json::{Value, json};

fn example(name: &str) -> std::path::PathBuf {
    repository_root().join("examples").join(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datapress_is_built_from_git_and_its_two_services_answer() {
    let platform = Platform::start();
    let api = platform.register_ada().await;
    let project = api.create_project("DataPress").await;
    let sources = [("api", "datapress/api"), ("front", "datapress/front")];
    let repositories: Vec<Repository> = sources
        .iter()
        .map(|(name, path)| Repository::of_folder(name, &example(path)))
        .collect();

    // The API first: its address is the front's configuration.
    let server = GitServer::start(repositories[0].root()).await;
    let id = api
        .start_build(project, "api", &server.url("api.git"))
        .await;
    let (statuses, lines_while_building) = watch_build(&api, &id).await;
    assert_eq!(
        statuses.last().map(String::as_str),
        Some("success"),
        "{}",
        api.build_log(&id).await
    );
    assert!(
        statuses.iter().any(|status| status == "building"),
        "{statuses:?}"
    );
    assert!(lines_while_building, "log lines arrive while it builds");
    let build = api.wait_for_build(&id).await;
    assert!(
        build["digest"]
            .as_str()
            .is_some_and(|digest| digest.starts_with("sha256:")),
        "{build}"
    );
    assert_eq!(build["commit"].as_str().map(str::len), Some(40), "{build}");

    // The hand-over of the seed: the image's name, not the build's id.
    let request = json!({
        "project_id": project, "project_name": "ignored", "username": "ignored",
        "service_name": "api", "image_name": build["image_full_name"],
    });
    let deployed = api.deploy(&request).await;
    let api_url = deployed["access_url"]
        .as_str()
        .expect("an exposed service has an address")
        .to_owned();
    assert!(
        api_url.starts_with("http://api.datapress.ada.localhost:"),
        "{api_url}"
    );
    let answer = api
        .visit(&api_url, "/")
        .await
        .expect("the service answers")
        .expect(200);
    assert_eq!(answer["service"], "api");
    assert!(
        answer["ts"].as_str().is_some_and(|ts| ts.ends_with('Z')),
        "{answer}"
    );
    let health = api
        .visit(&api_url, "/health")
        .await
        .expect("the service answers")
        .expect(200);
    assert_eq!(health, json!({ "status": "ok" }));

    let server = GitServer::start(repositories[1].root()).await;
    let build = api.build(project, "front", &server.url("front.git")).await;
    let request = json!({
        "project_id": project, "service_name": "front", "build_id": build["build_id"],
        "env_vars": { "API_URL": api_url, "VERSION": "v1.0 <test>" },
    });
    let front_url = api.deploy(&request).await["access_url"]
        .as_str()
        .expect("an address")
        .to_owned();
    let page = api
        .visit(&front_url, "/")
        .await
        .expect("the front answers")
        .text;
    assert!(page.contains("DataPress"), "{page}");
    assert!(
        page.contains("v1.0 &lt;test&gt;"),
        "the version is configuration, escaped: {page}"
    );
    front_reaches_api(&api, &front_url, &api_url).await;
    by_command::datapress(&platform, &repositories[0]).await;
}

/// Does what the page does in a browser: takes the API's address from the page and calls it from there, another
/// origin, which the answer has to allow.
async fn front_reaches_api(api: &Api, front_url: &str, api_url: &str) {
    let page = api.visit(front_url, "/").await.expect("the front answers");
    let configured = page
        .text
        .split_once("data-api-url=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(address, _)| address)
        .expect("the page has the API's address");
    assert_eq!(configured, api_url, "it is configuration");
    let script = api.visit(front_url, "/page.js").await.expect("a script");
    assert!(script.text.contains("button.dataset.apiUrl"), "{script:?}");
    let policy = page.headers["content-security-policy"].to_str();
    let policy = policy.unwrap_or_default();
    assert!(
        policy.contains("connect-src http: https:"),
        "the page may call it: {policy}"
    );
    let called = api
        .visitor(configured, "/", reqwest::Method::GET)
        .header("origin", front_url.trim_end_matches('/'))
        .header("accept", "application/json");
    let answer = api.try_send(called).await.expect("the API answers");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert!(answer.expect(200)["ts"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wasi_function_and_one_with_sqlite_and_key_value_are_built_and_answer() {
    let platform = Platform::start();
    let api = platform
        .api()
        .register("grace", Some(platform.setup_code()))
        .await;
    let project = api.create_project("functions").await;

    let hello = Repository::of_folder("hello", &example("hello-wasi"));
    let server = GitServer::start(hello.root()).await;
    let build = api.build(project, "hello", &server.url("hello.git")).await;
    let deployed =
        api.deploy(&json!({ "project_id": project, "service_name": "hello", "build_id": build["build_id"] })).await;
    let url = deployed["access_url"].as_str().expect("an address");
    assert_eq!(api.visit(url, "/").await.expect("it answers").status, 200);

    let notes = Repository::of_folder("notes", &example("notes"));
    let server = GitServer::start(notes.root()).await;
    let build = api.build(project, "notes", &server.url("notes.git")).await;
    let request =
        json!({ "project_id": project, "service_name": "notes", "build_id": build["build_id"] });
    let deployed = api.deploy(&request).await;
    let url = deployed["access_url"]
        .as_str()
        .expect("an address")
        .to_owned();
    let created = api
        .visit_with(&url, "/notes", reqwest::Method::POST, r#"{"text":"kept"}"#)
        .await;
    assert_eq!(created.expect("it answers").status, 201);
    // A new revision keeps the application's own databases.
    api.deploy(&request).await;
    let listed = api.visit(&url, "/notes").await.expect("it answers").text;
    assert!(listed.contains("kept"), "{listed}");
    by_command::functions(&platform, &hello, &notes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_replaces_the_last_without_a_failed_request_and_a_rollback_restores_all_of_it() {
    let platform = Platform::start();
    let api = platform
        .api()
        .register("linus", Some(platform.setup_code()))
        .await;
    let project = api.create_project("site").await;
    let site = Repository::of_folder("site", &example("static-site"));
    site.write("index.html", b"<h1>one</h1>");
    let first_commit = site.commit("one");
    let server = GitServer::start(site.root()).await;
    let first = api.build(project, "web", &server.url("site.git")).await;
    assert_eq!(first["commit"], first_commit.as_str());

    let request = json!({
        "project_id": project, "service_name": "web", "build_id": first["build_id"],
        "env_vars": { "COLOUR": "blue" }, "secrets": { "API_KEY": "first" }, "description": "one",
    });
    let deployed = api.deploy(&request).await;
    assert_eq!(deployed["revision"], 1);
    let id = deployed["deployment_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let url = deployed["access_url"]
        .as_str()
        .expect("an address")
        .to_owned();
    assert_eq!(
        api.visit(&url, "/").await.expect("it answers").text,
        "<h1>one</h1>"
    );

    let load = Load::start(&api, &url, 4);
    site.write("index.html", b"<h1>two</h1>");
    let second_commit = site.commit("two");
    let second = api.build(project, "web", &server.url("site.git")).await;
    assert_eq!(second["commit"], second_commit.as_str());
    let request = json!({
        "project_id": project, "service_name": "web", "build_id": second["build_id"],
        "env_vars": { "COLOUR": "red" }, "secrets": { "API_KEY": "second" }, "description": "two",
    });
    let deployed = api.deploy(&request).await;
    assert_eq!(deployed["revision"], 2);
    assert_eq!(
        deployed["deployment_id"],
        id.as_str(),
        "the same service is the same deployment"
    );
    assert_eq!(
        api.visit(&url, "/").await.expect("it answers").text,
        "<h1>two</h1>"
    );

    let rolled_back = api
        .post(
            &format!("/deployments/{id}/rollback"),
            &json!({ "revision": 1 }),
        )
        .await
        .expect(202);
    let back = api
        .wait_until_running(&id, rolled_back["revision"].as_u64().expect("a revision"))
        .await;
    assert_eq!(
        api.visit(&url, "/").await.expect("it answers").text,
        "<h1>one</h1>"
    );
    assert_eq!(back["digest"], first["digest"]);
    assert_eq!(back["spec"]["env_vars"]["COLOUR"], "blue");
    assert_eq!(back["spec"]["description"], "one");
    let (answered, failed) = load.stop().await;
    assert!(answered > 0, "the clients were served");
    assert!(
        failed.is_empty(),
        "{} of {answered} requests failed: {:?}",
        failed.len(),
        failed.first()
    );

    let shown = api.get(&format!("/deployments/{id}")).await.text;
    assert!(
        !shown.contains("first") && !shown.contains("second"),
        "secrets are never shown: {shown}"
    );
}

/// Follows a build to its end; gives the statuses it went through and whether lines arrived meanwhile.
async fn watch_build(api: &Api, id: &str) -> (Vec<String>, bool) {
    let mut statuses: Vec<String> = Vec::new();
    let mut lines_while_building = false;
    // Often enough to see every status, seldom enough to leave the machine to the build.
    let mut look = tokio::time::interval(std::time::Duration::from_millis(100));
    loop {
        look.tick().await;
        let build = api.get(&format!("/builds/{id}")).await.expect(200);
        let log = api.get(&format!("/builds/{id}/logs")).await.expect(200);
        let status = build["status"].as_str().unwrap_or_default().to_owned();
        let lines = log["lines"]
            .as_array()
            .is_some_and(|lines| !lines.is_empty());
        lines_while_building |= status == "building" && lines && log["complete"] == false;
        let ended = matches!(status.as_str(), "success" | "failed" | "cancelled");
        if statuses.last() != Some(&status) {
            statuses.push(status);
        }
        if ended {
            return (statuses, lines_while_building);
        }
    }
}

/// Clients that never pause.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(api: &Api, url: &str, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let clients = (0..clients)
            .map(|_| {
                let (api, url) = (api.clone(), url.to_owned());
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                tokio::spawn(async move {
                    let mut failed = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        match api.visit(&url, "/").await {
                            Ok(answer) if answer.status == 200 => {
                                answered.fetch_add(1, Ordering::Relaxed);
                            }
                            Ok(answer) => failed.push(format!("{} {}", answer.status, answer.text)),
                            Err(error) => failed.push(format!("{error:?}")),
                        }
                    }
                    failed
                })
            })
            .collect();
        Self {
            stop,
            answered,
            clients,
        }
    }

    async fn stop(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        for client in self.clients {
            failed.extend(client.await.expect("a client does not panic"));
        }
        (self.answered.load(Ordering::Relaxed), failed)
    }
}

/// Kept so that a change of the answer's shape is noticed here too.
#[tokio::test]
async fn the_platform_says_how_it_is() {
    let platform = Platform::start();
    let response = reqwest::get(format!("{}/health", platform.url()))
        .await
        .expect("it answers");
    assert_eq!(response.status(), 200);
    let health: Value =
        serde_json::from_str(&response.text().await.expect("a body")).expect("JSON");
    assert_eq!(health["status"], "ok", "{health}");
    let health = platform.api().get("/auth/health").await.expect(200);
    assert_eq!(health["service"], "auth");
}
