//! The main job through the `nokube` command alone: what needs no build command. The examples that do are in
//! `by_command`, which the stories over HTTP end with.

use std::process::Command;

use nokube_tests::cli::Cli;
use nokube_tests::platform::{Platform, nokube, repository_root};
use nokube_tests::repository::Repository;
use serde_json::{Value, json};

/// What happened to `shop`, its objects as a cluster would have them, and those of a release that is not made.
fn target_is_looked_into(cli: &Cli<'_>, build: &str) {
    let events = cli.json(&["events", "shop"]);
    let is_there = |reason: &str| {
        let mut events = events.as_array().into_iter().flatten();
        events.any(|event| event["reason"] == reason)
    };
    assert!(is_there("Applied") && is_there("Ready"), "{events}");
    assert!(cli.succeeds(&["events", "shop"]).contains("Ready"));
    let shown = cli.succeeds(&["manifests", "shop"]);
    assert!(
        shown.contains("SpinApp") && shown.contains("shop-production"),
        "{shown}"
    );
    let secret = "KEY=not-to-be-seen";
    let args = ["deploy", "--build", build, "--preview", "--secret", secret];
    let preview = cli.succeeds(&args);
    assert!(
        preview.contains("KEY") && !preview.contains("not-to-be-seen"),
        "{preview}"
    );
    assert_eq!(
        cli.json(&["status", "shop"])["revision"],
        3,
        "nothing was made"
    );
    let unbuilt = cli.refused(&["deploy", ".", "--preview"]);
    assert!(unbuilt.contains("--build"), "{unbuilt}");
}

#[tokio::test]
async fn a_folder_becomes_an_address_by_one_command() {
    let platform = Platform::start();
    let cli = Cli::new(&platform);
    assert!(
        cli.refused(&["project", "list"]).contains("nokube login"),
        "it says what to do"
    );
    cli.succeeds(&[
        "register",
        "--username",
        "ada",
        "--setup-code",
        platform.setup_code(),
    ]);
    let kept = cli.home().join(".config/nokube/credentials.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&kept).expect("kept").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(cli.json(&["whoami"])["role"], "admin");

    let source = cli.home().join("shop");
    std::fs::create_dir(&source).expect("a folder");
    std::fs::write(source.join("index.html"), "<h1>one</h1>").expect("a file");
    let output = cli.run_in(&source, &["deploy", "."]);
    let (stdout, progress) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{progress}");
    let url = stdout.trim().to_owned();
    assert!(
        url.starts_with("http://shop.shop.ada.localhost:"),
        "it prints the address: {url}"
    );
    assert!(
        progress.contains("Packing") && progress.contains("running"),
        "it shows progress: {progress}"
    );
    assert_eq!(
        platform
            .api()
            .visit(&url, "/")
            .await
            .expect("it answers")
            .text,
        "<h1>one</h1>"
    );

    std::fs::write(source.join("index.html"), "<h1>two</h1>").expect("a file");
    assert!(cli.run_in(&source, &["deploy", "."]).status.success());
    assert_eq!(
        platform
            .api()
            .visit(&url, "/")
            .await
            .expect("it answers")
            .text,
        "<h1>two</h1>"
    );

    cli.succeeds(&["rollback", "shop"]);
    assert_eq!(
        platform
            .api()
            .visit(&url, "/")
            .await
            .expect("it answers")
            .text,
        "<h1>one</h1>"
    );

    let status = cli.json(&["status", "shop"]);
    assert_eq!(
        (&status["status"], &status["revision"]),
        (&"running".into(), &3.into())
    );
    assert_eq!(
        cli.json(&["builds", "--project", "shop"])
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let build = cli.json(&["builds"])[0]["build_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert!(
        cli.succeeds(&["logs", "-f", "--build", &build])
            .lines()
            .count()
            > 2,
        "a finished log ends by itself"
    );
    let whole = cli.succeeds(&["logs", "--build", &build]);
    let last = cli.succeeds(&["logs", "--build", &build, "--tail", "1"]);
    assert_eq!(last.lines().last(), whole.lines().last());
    assert_eq!(last.lines().count(), 1);
    cli.succeeds(&["logs", "shop"]);
    assert_eq!(cli.json(&["open", "shop"])["access_url"], url.as_str());
    target_is_looked_into(&cli, &build);
    let refused = cli.refused(&["rollback", "shop", "--to", "99"]);
    assert!(
        refused.contains("revision"),
        "it says which one is missing: {refused}"
    );

    assert!(
        cli.refused(&["project", "delete", "shop"])
            .contains("--yes")
    );
    cli.succeeds(&["project", "delete", "shop", "--yes"]);
    assert_eq!(cli.json(&["project", "list"]), serde_json::json!([]));
    assert_eq!(
        platform
            .api()
            .visit(&url, "/")
            .await
            .expect("the front answers")
            .status,
        404
    );
    cli.succeeds(&["logout"]);
    assert!(!kept.exists());
}

#[tokio::test]
async fn a_project_is_made_built_from_git_and_shown() {
    let platform = Platform::start();
    let cli = Cli::new(&platform);
    cli.succeeds(&["register", "--username", "grace"]);
    cli.succeeds(&["project", "create", "My Site"]);
    assert_eq!(cli.json(&["project", "list"])[0]["slug"], "my-site");
    let api = platform.api();
    let site = Repository::of_folder("site", &repository_root().join("examples/static-site"));
    let release = || {
        let url = site.file_url();
        let place = ["--project", "my-site", "--service", "web"];
        cli.json(&[&["deploy", "--git", &url][..], &place, &["--env", "A=1"]].concat())
    };
    let first = release();
    assert_eq!(first["spec"]["env_vars"]["A"], "1");
    let url = first["access_url"].as_str().expect("an address");
    let page = async || api.visit(url, "/").await.expect("it answers").text;
    let original = page().await;
    assert!(original.contains("<html"), "{original}");
    site.write("index.html", b"<h1>two</h1>");
    let commit = site.commit("two");
    let second = release();
    let build = second["build_id"].as_str().expect("a build");
    assert_eq!(cli.json(&["builds", "show", build])["commit"], commit);
    assert_eq!(page().await, "<h1>two</h1>");
    assert_eq!(cli.json(&["rollback", "my-site/web"])["revision"], 3);
    assert_eq!(page().await, original);
    let status = cli.json(&["status", "my-site/web"]);
    assert_eq!(
        (&status["status"], &status["digest"]),
        (&json!("running"), &first["digest"])
    );
    assert!(cli.json_lines(&["logs", "--build", build]).len() > 2);
    cli.json_lines(&["logs", "my-site/web", "--tail", "10"]);
    let refused = cli.refused(&[
        "deploy",
        "--git",
        "ext::sh -c id",
        "--project",
        "my-site",
        "--service",
        "web",
    ]);
    assert!(
        refused.contains("/repository_url"),
        "every fault is named: {refused}"
    );
}

#[test]
fn a_wrong_call_is_told_to_programs_in_json() {
    let call = |args: &[&str]| {
        let output = Command::new(nokube())
            .args(args)
            .output()
            .expect("nokube runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    for args in [
        &["--json", "logs"][..],
        &["status", "--json", "--surprise"],
        &["--json", "logs", "web", "--since", "yesterday"],
    ] {
        let said: Value = serde_json::from_str(&call(args)).expect("one JSON value");
        let error = said["error"].as_str().expect("it says what is wrong");
        assert!(error.contains("--help"), "{args:?}: {error}");
    }
    assert!(call(&["logs"]).starts_with("error: "), "people get words");
}

#[test]
fn completions_are_made_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(nokube())
            .args(["completions", shell])
            .output()
            .expect("nokube runs");
        assert!(output.status.success());
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("rollback"),
            "{shell}"
        );
    }
}
