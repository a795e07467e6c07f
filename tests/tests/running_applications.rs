//! What a running application is given, and what can be learnt from what it says.

use std::time::Duration;

use nokube_tests::api::Api;
use nokube_tests::cli::Cli;
use nokube_tests::guests::probe;
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use serde_json::{Value, json};

/// A platform with the probe built in ada's project `shop`.
struct Stage {
    platform: Platform,
    api: Api,
    project: i64,
    build: Value,
}

impl Stage {
    async fn new() -> Self {
        // Compiled first: meanwhile a kept connection would be closed.
        let probe = probe();
        let platform = Platform::start();
        let api = platform.register_ada().await;
        let project = api.create_project("shop").await;
        let manifest = include_bytes!("fixtures/configured-spin.toml");
        let source =
            Repository::of_files("app", &[("spin.toml", manifest), ("probe.wasm", &probe)]);
        let build = api.build(project, "app", &source.file_url()).await;
        Self {
            platform,
            api,
            project,
            build,
        }
    }

    async fn deploy(&self, configuration: Value) -> Value {
        let mut request = configuration;
        request["project_id"] = self.project.into();
        request["service_name"] = "app".into();
        request["build_id"] = self.build["build_id"].clone();
        self.api.deploy(&request).await
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[tokio::test]
async fn a_rollback_gives_the_application_the_environment_and_secrets_of_then() {
    let stage = Stage::new().await;
    let first = stage
        .deploy(json!({
            "env_vars": { "COLOUR": "blue", "ONLY_THEN": "yes" }, "secrets": { "API_KEY": "first" },
        }))
        .await;
    let url = text(&first["access_url"]).to_owned();
    let id = text(&first["deployment_id"]).to_owned();
    let seen = async || {
        let ask = async |path: &str| stage.api.visit(&url, path).await.expect("it answers");
        let environment = ask("/env").await.expect(200);
        let variables = [
            ask("/variable?colour").await.text,
            ask("/variable?api_key").await.text,
        ];
        let named = ["COLOUR", "API_KEY", "ONLY_THEN", "ONLY_NOW"];
        (variables, named.map(|name| environment[name].clone()))
    };
    let of_first = (
        ["blue".to_owned(), "first".to_owned()],
        [json!("blue"), json!("first"), json!("yes"), Value::Null],
    );
    assert_eq!(seen().await, of_first);

    stage
        .deploy(json!({
            "env_vars": { "COLOUR": "red", "ONLY_THEN": null },
            "secrets": { "API_KEY": "second", "ONLY_NOW": "new" },
        }))
        .await;
    let of_second = (
        ["red".to_owned(), "second".to_owned()],
        [json!("red"), json!("second"), Value::Null, json!("new")],
    );
    assert_eq!(seen().await, of_second);

    let back = json!({ "revision": 1 });
    let path = format!("/deployments/{id}/rollback");
    stage.api.post(&path, &back).await.expect(202);
    stage.api.wait_until_running(&id, 3).await;
    assert_eq!(seen().await, of_first);
}

#[tokio::test]
async fn a_line_is_found_behind_any_number_of_others() {
    let stage = Stage::new().await;
    let deployed = stage.deploy(json!({})).await;
    let url = text(&deployed["access_url"]).to_owned();
    let ask = async |path: &str| stage.api.visit(&url, path).await.expect("it answers");
    assert_eq!(ask("/spam?1500").await.status, 200);
    assert_eq!(ask("/print").await.status, 200);
    let path = format!("/deployments/{}/logs", text(&deployed["deployment_id"]));
    let page = async |query: &str| stage.api.get(&format!("{path}?{query}")).await.expect(200);
    let texts = |page: &Value| -> Vec<String> {
        let lines = page["lines"].as_array().expect("lines").iter();
        lines.map(|line| text(&line["text"]).to_owned()).collect()
    };

    let found = until("the last line", Duration::from_secs(10), || async {
        let found = page("q=TO%20STDERR").await;
        (!texts(&found).is_empty()).then_some(found)
    })
    .await;
    assert_eq!(texts(&found), ["to stderr"]);
    let rest = page(&format!("q=to%20stderr&cursor={}", text(&found["cursor"]))).await;
    assert_eq!(texts(&rest), Vec::<String>::new());

    // A few at a time, and all of them.
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let next = page(&format!("q=99%20xxx&limit=4&cursor={cursor}")).await;
        seen.extend(texts(&next));
        if texts(&next).is_empty() && text(&next["cursor"]) == cursor {
            break;
        }
        text(&next["cursor"]).clone_into(&mut cursor);
    }
    assert_eq!(seen.len(), 15, "{seen:?}");

    let last = &found["lines"][0];
    let since = page(&format!("since={}", text(&last["time"]))).await;
    assert!(texts(&since).contains(&"to stderr".to_owned()));
    let earlier = since["lines"][0]["time"].as_str();
    assert!(earlier >= last["time"].as_str(), "{since}");

    let cli = Cli::signed_in(&stage.platform, "ada");
    let whole = cli.json_lines(&["logs", "shop/app"]);
    assert!(whole.len() > 1_500, "{} lines", whole.len());
    let tail = cli.json_lines(&["logs", "shop/app", "--tail", "3"]);
    assert_eq!(tail.as_slice(), &whole[whole.len() - 3..]);
    let recent = cli.json_lines(&["logs", "shop/app", "--since", "1h"]);
    assert_eq!(recent.len(), whole.len());
    let later = cli.json_lines(&["logs", "shop/app", "--since", "2999-01-01T00:00:00Z"]);
    assert!(later.is_empty());
}
