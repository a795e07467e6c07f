//! A component of WASI 0.3 whose manifest lets requests share an instance, from its source to what its visitors and its
//! author see.

use std::time::Duration;

use nokube_tests::api::{Answer, Api};
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use nokube_tests::{archive, guests};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const SHARING: &str = include_str!("fixtures/sharing-spin.toml");

/// What the log of a deployment says takes a moment to be readable.
const SOON: Duration = Duration::from_secs(20);

/// A deployment whose requests wait for each other (`tests/guests/worlds`, `wasi03_together`).
struct Application {
    api: Api,
    id: String,
    url: String,
}

impl Application {
    /// What the deployed revision of `project` makes of a build.
    async fn deploy(api: &Api, project: i64, build_id: &str) -> Self {
        let request = json!({
            "project_id": project, "service_name": "together", "build_id": build_id,
            // What asks for `/` would be counted among the requests.
            "health_check_enabled": false,
        });
        let deployed = api.deploy(&request).await;
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        Self {
            api: api.clone(),
            id: text(&deployed["deployment_id"]),
            url: text(&deployed["access_url"]),
        }
    }

    fn ask(&self, path: &str) -> JoinHandle<Answer> {
        let request = self.api.visitor(&self.url, path, Method::GET);
        let api = self.api.clone();
        tokio::spawn(async move { api.send(request).await })
    }

    async fn log(&self) -> Vec<Value> {
        let path = format!("/deployments/{}/logs?limit=1000", self.id);
        let page = self.api.get(&path).await.expect(200);
        page["lines"].as_array().expect("lines").clone()
    }

    /// The first line of the log with these words.
    async fn logged(&self, words: &str) -> Value {
        until(&format!("{words:?} in the log"), SOON, || async {
            let has = |line: &Value| {
                line["text"]
                    .as_str()
                    .is_some_and(|text| text.contains(words))
            };
            self.log().await.into_iter().find(has)
        })
        .await
    }

    /// How many requests have come so far: each says so.
    async fn came(&self) -> usize {
        let log = self.log().await;
        let texts = log.iter().filter_map(|line| line["text"].as_str());
        texts.filter(|text| text.ends_with(" came")).count()
    }

    /// Asks for the second when the first is inside: at the same moment they would begin one instance each.
    async fn meet(&self, first: &str, second: &str) -> [Answer; 2] {
        let before = self.came().await;
        let first = self.ask(first);
        until("the first request to come", SOON, || async {
            (self.came().await > before).then_some(())
        })
        .await;
        let second = self.ask(second).await.expect("no panic");
        [first.await.expect("no panic"), second]
    }
}

/// How many requests were at once in the instance that gave this answer.
fn together(answer: &Answer) -> u32 {
    assert_eq!(answer.status, 200, "{answer:?}");
    let peak = answer.text.split(' ').next().map(str::parse);
    peak.expect("two numbers").expect("two numbers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_share_an_instance_while_the_manifest_says_so_and_its_trap_is_told_to_both() {
    // Compiled first: meanwhile a kept connection would be closed.
    let wasm = std::fs::read(guests::world("wasi03_together")).expect("what was just built");
    let platform = Platform::start();
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let files = [
        ("spin.toml", SHARING.as_bytes()),
        ("together.wasm", wasm.as_slice()),
    ];
    let repository = Repository::of_files("together", &files);
    let build = api.build(project, "together", &repository.file_url()).await;
    let build_id = build["build_id"].as_str().expect("a build has an id");
    let shared = Application::deploy(&api, project, build_id).await;

    for answer in shared.meet("/?60000", "/?60000").await {
        assert_eq!(together(&answer), 2, "they waited for each other");
    }
    assert_eq!(together(&shared.ask("/quick").await.expect("no panic")), 2);

    let answers = shared.meet("/sleep?60000", "/trap?60000").await;
    let line = shared.logged("served 2 requests at once").await;
    let text = line["text"].as_str().expect("text");
    assert!(text.contains("unreachable"), "{line}");
    assert_eq!(
        (&line["component"], &line["stream"]),
        (&json!("together"), &json!("system"))
    );
    for answer in &answers {
        let problem = answer.problem(500);
        let id = problem["request_id"].as_str().expect("a problem has an id");
        assert!(text.contains(id), "{id} in {text}");
    }
    let after = shared.ask("/quick").await.expect("no panic");
    assert_eq!(together(&after), 1, "of another instance");

    // The next revision comes by upload and says nothing of sharing.
    let alone = SHARING.replace("reuse = { requests = 1000, concurrent = 2 }", "");
    let archive = archive::of_files(&[("spin.toml", alone.as_bytes()), ("together.wasm", &wasm)]);
    let build_id = api.upload(project, "together", archive).await;
    let build = api.wait_for_build(&build_id).await;
    assert_eq!(
        build["status"],
        "success",
        "{}",
        api.build_log(&build_id).await
    );
    let begun_before = shared.ask("/?8000");
    let alone = Application::deploy(&api, project, &build_id).await;
    assert_eq!(alone.id, shared.id, "its next revision");
    for answer in alone.meet("/?1000", "/?1000").await {
        assert_eq!(together(&answer), 1, "each has an instance of its own");
    }
    let answer = begun_before.await.expect("no panic");
    assert_eq!(answer.status, 200, "what had begun is answered: {answer:?}");
}
