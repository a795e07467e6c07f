//! Leases, heartbeats, logs and results, when all goes well and when it does not.

use std::path::Path;
use std::time::Duration;

use nokube_api::logs::LogStream;
use nokube_api::runner::BuildOutcome;
use nokube_tests::repository::Repository;
use nokube_tests::runner::{BUILD_LIMIT, Bench};
use nokube_tests::wait::until;

const HELPER: &str = env!("CARGO_BIN_EXE_sandbox-init");

fn app(command: &str) -> Repository {
    Repository::of_command(command, "", &[])
}

/// Whether a process with this word in its command line is alive.
fn alive(word: &str) -> bool {
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .any(|entry| {
            let is_process = entry
                .file_name()
                .to_string_lossy()
                .chars()
                .all(|c| c.is_ascii_digit());
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let state = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let zombie = state
                .rsplit_once(')')
                .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
            is_process
                && !zombie
                && words
                    .split(|byte| *byte == 0)
                    .any(|part| part == word.as_bytes())
        })
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder)
        .expect("a folder")
        .next()
        .is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_says_once_that_it_started_and_is_the_same_after_a_crash() {
    let mut bench = Bench::start(HELPER, |_| ()).await;
    for life in 1..=2 {
        let before = bench.platform.seen().polls;
        until("some questions for work", BUILD_LIMIT, || async {
            (bench.platform.seen().polls > before + 3).then_some(())
        })
        .await;
        assert_eq!(bench.platform.seen().started.len(), life);
        bench.kill_runner();
        bench.start_runner(|_| ());
    }
    let started = bench.platform.seen().started.clone();
    assert_eq!(started[0], started[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_arrive_in_order_and_the_lease_is_kept_meanwhile() {
    let bench = Bench::start(HELPER, |_| ()).await;
    let repository =
        app("for n in $(seq 1 1200); do echo line $n; done; echo to the side >&2; sleep 3; exit 5");
    let build = bench.build("chatty", &repository.file_url()).await;
    assert!(
        build.failure().contains("exit code 5"),
        "{}",
        build.failure()
    );
    let said: Vec<&str> = build
        .log
        .iter()
        .filter(|line| line.stream == LogStream::Stdout)
        .map(|line| line.text.as_str())
        .collect();
    let expected: Vec<String> = (1..=1200).map(|n| format!("line {n}")).collect();
    assert_eq!(said, expected);
    assert!(
        build
            .log
            .iter()
            .any(|line| line.stream == LogStream::Stderr && line.text == "to the side")
    );
    assert!(build.log.iter().all(|line| line.time.ends_with('Z')));
    assert!(build.heartbeats >= 2, "{}", build.heartbeats);
    assert_eq!(build.starts, 1);
    assert!(
        is_empty(&bench.data_dir().join("work")),
        "the work folder is gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_platform_loses_neither_lines_nor_the_result() {
    let bench = Bench::start(HELPER, |_| ()).await;
    let repository = app("echo before; sleep 1; echo after; exit 1");
    bench
        .platform
        .queue(bench.platform.job("outage", &repository.file_url()));
    bench
        .platform
        .line_of("outage", "before", BUILD_LIMIT)
        .await;
    bench.platform.seen().outage = 8;
    let build = bench.platform.end_of("outage", BUILD_LIMIT).await;
    assert_eq!(
        build.text().matches("after\n").count(),
        1,
        "{}",
        build.text()
    );
    assert!(
        build.text().ends_with("the log says why\n"),
        "{}",
        build.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_leaves_no_process_and_no_file() {
    let bench = Bench::start(HELPER, |_| ()).await;
    let repository = app("setsid sleep 86421 & sleep 86422 & echo started; sleep 86423");
    bench
        .platform
        .queue(bench.platform.job("cancelled", &repository.file_url()));
    bench
        .platform
        .line_of("cancelled", "started", BUILD_LIMIT)
        .await;
    // The shell says so before it has begun the last of them.
    until("the build's programs", BUILD_LIMIT, || async {
        let all = ["86421", "86422", "86423"].iter().all(|word| alive(word));
        all.then_some(())
    })
    .await;
    bench.platform.cancel("cancelled");
    until("the build's end", Duration::from_secs(10), || async {
        let gone = !["86421", "86422", "86423"].iter().any(|word| alive(word));
        (gone && is_empty(&bench.data_dir().join("work"))).then_some(())
    })
    .await;
    // The runner goes on.
    let other = app("exit 4");
    let next = bench.build("next", &other.file_url()).await;
    assert!(next.failure().contains("exit code 4"), "{}", next.failure());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_takes_too_long_fails_and_says_so() {
    let bench = Bench::start(HELPER, |_| ()).await;
    let repository = app("sleep 86431");
    let mut job = bench.platform.job("slow", &repository.file_url());
    job.timeout_seconds = 2;
    let build = bench.build_job(job).await;
    assert!(
        build.failure().contains("limit of 2 seconds"),
        "{}",
        build.failure()
    );
    assert!(!alive("86431"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_told_to_stop_gives_its_builds_back() {
    let mut bench = Bench::start(HELPER, |_| ()).await;
    let repository = app("echo started; sleep 86441");
    bench
        .platform
        .queue(bench.platform.job("stopped", &repository.file_url()));
    bench
        .platform
        .line_of("stopped", "started", BUILD_LIMIT)
        .await;
    bench.stop_runner().await;
    let build = bench.platform.end_of("stopped", BUILD_LIMIT).await;
    let outcome = build.result.expect("a result").outcome;
    assert_eq!(outcome, BuildOutcome::GivenBack);
    assert!(!alive("86441"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_crashed_leaves_nothing_behind_once_it_is_back() {
    let mut bench = Bench::start(HELPER, |_| ()).await;
    let repository = app("echo started; sleep 86451");
    bench
        .platform
        .queue(bench.platform.job("crashed", &repository.file_url()));
    bench
        .platform
        .line_of("crashed", "started", BUILD_LIMIT)
        .await;
    bench.kill_runner();
    std::fs::create_dir_all(bench.data_dir().join("work/left.over/src")).expect("a folder");
    until(
        "the build's processes to be gone",
        Duration::from_secs(10),
        || async { (!alive("86451")).then_some(()) },
    )
    .await;
    bench.start_runner(|_| ());
    let other = app("exit 4");
    let next = bench.build("next", &other.file_url()).await;
    assert!(next.failure().contains("exit code 4"), "{}", next.failure());
    assert!(!bench.data_dir().join("work/left.over").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_builds_run_at_once_and_no_more_than_that() {
    let bench = Bench::start(HELPER, |options| options.concurrency = 2).await;
    let repository = app("echo started; sleep 2; exit 1");
    for id in ["one", "two", "three"] {
        bench
            .platform
            .queue(bench.platform.job(id, &repository.file_url()));
    }
    bench.platform.line_of("one", "started", BUILD_LIMIT).await;
    bench.platform.line_of("two", "started", BUILD_LIMIT).await;
    assert!(
        !bench.platform.seen().builds.contains_key("three"),
        "a third build waits"
    );
    bench.platform.end_of("three", BUILD_LIMIT).await;
}
