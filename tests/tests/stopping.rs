//! Ctrl-C while something is under way: it ends cleanly and soon, and what was begun goes on after the next start.

use std::time::{Duration, Instant};

use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use serde_json::Value;

/// Far above what stopping takes, and below what waiting for each part to be killed would.
const STOPPED_WITHIN: Duration = Duration::from_secs(25);
/// A start, a clone and a build command's first line on a busy machine.
const BEGUN_WITHIN: Duration = Duration::from_secs(90);

/// An application whose build begins and does not end.
fn endless() -> Repository {
    let manifest = b"spin_manifest_version = 2\n[application]\nname = \"app\"\n\
        [[trigger.http]]\nroute = \"/...\"\ncomponent = \"a\"\n\
        [component.a]\nsource = \"a.wasm\"\n[component.a.build]\ncommand = 'echo at work; sleep 86471'\n";
    Repository::of_files("app", &[("spin.toml", manifest)])
}

#[tokio::test]
async fn a_build_that_runs_at_ctrl_c_is_taken_up_again_as_if_it_had_never_begun() {
    let mut platform = Platform::start();
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let repository = endless();
    let id = api
        .start_build(project, "web", &repository.file_url())
        .await;
    let at_work = async |api: &nokube_tests::api::Api, times: usize| -> (Value, String) {
        until("the build to be at work", BEGUN_WITHIN, || async {
            let build = api.get(&format!("/builds/{id}")).await.expect(200);
            let log = api.build_log(&id).await;
            let lines = log.lines().filter(|line| *line == "at work").count();
            assert!(
                matches!(build["status"].as_str(), Some("pending" | "building")),
                "{build}\n{log}"
            );
            (lines == times).then_some((build, log))
        })
        .await
    };
    at_work(&api, 1).await;

    let began = Instant::now();
    assert_eq!(platform.interrupt(), Some(0), "Ctrl-C ends it cleanly");
    let took = began.elapsed();
    assert!(took < STOPPED_WITHIN, "stopping took {took:?}");

    platform.start_again();
    let api = platform.api().with_token(api.token().expect("signed in"));
    // A lease that had to run out would have cost an attempt, and been logged as lost.
    let (build, log) = at_work(&api, 2).await;
    assert_eq!(build["attempts"], 1, "{build}\n{log}");
    assert_eq!(log.matches(", attempt 1\n").count(), 2, "{log}");
    assert!(!log.contains("stopped answering"), "{log}");
}
