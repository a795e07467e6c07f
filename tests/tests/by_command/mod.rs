//! The stories of the examples once more, through the `nokube` command: on the platform and in the projects of the
//! stories over HTTP, so that cargo compiles what an example depends on once.

use nokube_tests::cli::Cli;
use nokube_tests::platform::{Platform, repository_root};
use nokube_tests::repository::Repository;
use serde_json::{Value, json};

/// DataPress: the API from Git, with configuration and a secret, a second commit and back; the front from its folder.
pub(crate) async fn datapress(platform: &Platform, source: &Repository) {
    let cli = Cli::signed_in(platform, "ada");
    let api = platform.api();
    let release = |environment: &str, banner: &str| {
        let deployed = cli.json(&[
            "deploy",
            "--git",
            &source.file_url(),
            "--project",
            "datapress",
            "--service",
            "api",
            "--env",
            &format!("APP_ENV={environment}"),
            "--secret",
            &format!("BANNER={banner}"),
        ]);
        assert_eq!(deployed["status"], "running", "{deployed}");
        assert_eq!(deployed["spec"]["env_vars"]["APP_ENV"], environment);
        assert_eq!(deployed["secret_names"], json!(["BANNER"]));
        assert!(!deployed.to_string().contains(banner), "secrets stay");
        deployed
    };
    let first = release("recette", "first words");
    let url = first["access_url"].as_str().expect("an address").to_owned();
    let shown = async || {
        let answer = api.visit(&url, "/").await.expect("it answers").expect(200);
        ["service", "app_env", "banner"].map(|name| answer[name].clone())
    };
    assert_eq!(shown().await, ["api", "recette", "first words"]);

    let code = source.work().join("src/lib.rs");
    let text = std::fs::read_to_string(&code).expect("the example's code");
    let changed = text.replace(r#""service": "api""#, r#""service": "api, once more""#);
    assert_ne!(text, changed);
    source.write("src/lib.rs", changed.as_bytes());
    let commit = source.commit("two");
    let second = release("production", "second words");
    let build = second["build_id"].as_str().expect("a build");
    assert_eq!(cli.json(&["builds", "show", build])["commit"], commit);
    assert_eq!(
        shown().await,
        ["api, once more", "production", "second words"]
    );

    let revision = first["revision"].to_string();
    let back = cli.json(&["rollback", "datapress/api", "--to", &revision]);
    assert_eq!(back["digest"], first["digest"]);
    assert_eq!(
        shown().await,
        ["api", "recette", "first words"],
        "code, configuration and secrets are back"
    );

    let folder = repository_root().join("examples/datapress/front");
    let printed = cli.succeeds(&[
        "deploy",
        &folder.display().to_string(),
        "--project",
        "datapress",
        "--service",
        "front",
        "--env",
        &format!("API_URL={url}"),
    ]);
    super::front_reaches_api(&api, printed.trim(), &url).await;

    let status = cli.json(&["status", "--project", "datapress"]);
    assert_eq!(
        services(&status),
        [("api", "running"), ("front", "running")]
    );
    let table = cli.succeeds(&["status"]);
    assert!(table.contains(&url), "{table}");
    let detail = cli.succeeds(&["status", "datapress/api"]);
    assert!(detail.contains("running"), "{detail}");
    log_of_build_is_told(&cli, build);
    cli.succeeds(&["logs", "datapress/api", "--since", "1h"]);
}

/// A plain function, and one that keeps notes over its revisions.
pub(crate) async fn functions(platform: &Platform, hello: &Repository, notes: &Repository) {
    let cli = Cli::signed_in(platform, "grace");
    let api = platform.api();
    let release = |service: &str, source: &Repository, more: &[&str]| {
        let url = source.file_url();
        let place = ["--project", "functions", "--service", service];
        let args = [&["deploy", "--git", &url][..], &place, more].concat();
        cli.json(&args)
    };
    let deployed = release("hello", hello, &[]);
    let url = deployed["access_url"].as_str().expect("an address");
    let greeting = api.visit(url, "/x").await.expect("it answers").text;
    assert!(greeting.contains("You asked for /x"), "{greeting}");

    let deployed = release("notes", notes, &["--env", "GREETING=Bonjour"]);
    let url = deployed["access_url"].as_str().expect("an address");
    let greeted = async || api.visit(url, "/").await.expect("it answers").expect(200);
    let before = greeted().await;
    assert_eq!(before["greeting"], "Bonjour");
    let note = r#"{"text":"by command"}"#;
    let created = api.visit_with(url, "/notes", reqwest::Method::POST, note);
    assert_eq!(created.await.expect("it answers").status, 201);
    cli.json(&["rollback", "functions/notes"]);
    let after = greeted().await;
    assert_eq!(after["greeting"], "Notes", "what it was before");
    assert_eq!(
        after["visits"].as_u64(),
        before["visits"].as_u64().map(|visits| visits + 1),
        "the key-value store lives on"
    );
    let listed = api.visit(url, "/notes").await.expect("it answers").text;
    assert!(
        listed.contains("kept") && listed.contains("by command"),
        "so does the database: {listed}"
    );
    let status = cli.json(&["status", "--project", "functions"]);
    assert_eq!(
        services(&status),
        [("hello", "running"), ("notes", "running")]
    );
    let builds = cli.json(&["builds", "--project", "functions", "--service", "notes"]);
    log_of_build_is_told(&cli, builds[0]["build_id"].as_str().expect("a build"));
}

/// The services of a list and how they are, sorted.
fn services(status: &Value) -> Vec<(&str, &str)> {
    let rows = status.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut services: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row["service_name"].as_str()?, row["status"].as_str()?)))
        .collect();
    services.sort_unstable();
    services
}

/// The same lines for people and for programs; a finished log ends by itself.
fn log_of_build_is_told(cli: &Cli<'_>, build: &str) {
    let lines = cli.json_lines(&["logs", "-f", "--build", build]);
    assert!(lines.len() > 2, "{lines:?}");
    let texts = cli.succeeds(&["logs", "--build", build]);
    assert_eq!(texts.lines().count(), lines.len());
    let last = cli.json_lines(&["logs", "--build", build, "--tail", "1"]);
    assert_eq!(last.as_slice(), &lines[lines.len() - 1..]);
}
