//! Sources by Git: what is fetched, what is refused, and what a hostile server or repository gets.

use std::time::{Duration, Instant};

use nokube_api::runner::JobSource;
use nokube_runner::GitAccess;
use nokube_tests::git_server::GitServer;
use nokube_tests::repository::Repository;
use nokube_tests::runner::Bench;

const HELPER: &str = env!("CARGO_BIN_EXE_sandbox-init");

/// A Spin application whose build command says what it sees, and fails, so that nothing is packed.
fn speaking(command: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"speaking\"\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"a\"\n\
         [component.a]\nsource = \"a.wasm\"\n[component.a.build]\ncommand = '''{command}'''\n"
    )
}

fn repository(files: &[(&str, &[u8])]) -> Repository {
    let manifest = speaking("cat what.txt; ls -a; exit 3");
    let mut all = vec![("spin.toml", manifest.as_bytes())];
    all.extend(files);
    Repository::of_files("app", &all)
}

fn with(source: JobSource, mut job: nokube_api::runner::Job) -> nokube_api::runner::Job {
    job.source = source;
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_a_tag_and_a_commit_are_fetched_over_smart_http() {
    let bench = Bench::start(HELPER, |_| ()).await;
    let repository = repository(&[("what.txt", b"this is first\n")]);
    repository.write("what.txt", b"this is second\n");
    let second = repository.commit("second");
    repository.write("what.txt", b"this is third\n");
    let third = repository.commit("third");
    let server = GitServer::start(repository.root()).await;
    let url = server.url("app.git");

    let newest = bench.build("newest", &url).await;
    assert!(newest.text().contains("this is third"), "{}", newest.text());
    assert_eq!(
        newest
            .result
            .as_ref()
            .and_then(|result| result.commit.clone()),
        Some(third.clone())
    );
    assert!(
        !newest.text().lines().any(|line| line == ".git"),
        "the history is not left to the build"
    );

    let source = JobSource::Git {
        url: url.clone(),
        branch: Some("main".to_owned()),
        commit: None,
    };
    let branch = bench
        .build_job(with(source, bench.platform.job("branch", &url)))
        .await;
    assert!(branch.text().contains("this is third"), "{}", branch.text());

    let source = JobSource::Git {
        url: url.clone(),
        branch: Some("main".to_owned()),
        commit: Some(second.clone()),
    };
    let commit = bench
        .build_job(with(source, bench.platform.job("commit", &url)))
        .await;
    assert!(
        commit.text().contains("this is second"),
        "{}",
        commit.text()
    );
    assert_eq!(commit.result.and_then(|result| result.commit), Some(second));

    let file = bench.build("file", &repository.file_url()).await;
    assert!(file.text().contains("this is third"), "{}", file.text());
    let working_copy = bench
        .build("work", &format!("file://{}", repository.work().display()))
        .await;
    assert!(
        working_copy.text().contains("this is third"),
        "{}",
        working_copy.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_in_plain_words() {
    let bench = Bench::start(HELPER, |_| ()).await;
    let repository = repository(&[]);
    let server = GitServer::start(repository.root()).await;
    let url = server.url("app.git");
    let missing = bench.build("missing", &server.url("nothing.git")).await;
    assert!(
        missing.failure().contains("no Git repository"),
        "{}",
        missing.failure()
    );
    let source = JobSource::Git {
        url: url.clone(),
        branch: Some("nope".to_owned()),
        commit: None,
    };
    let branch = bench
        .build_job(with(source, bench.platform.job("branch", &url)))
        .await;
    assert!(
        branch.failure().contains("no such branch"),
        "{}",
        branch.failure()
    );
    let source = JobSource::Git {
        url: url.clone(),
        branch: None,
        commit: Some("ab".repeat(20)),
    };
    let commit = bench
        .build_job(with(source, bench.platform.job("commit", &url)))
        .await;
    assert!(
        commit.failure().contains("no such commit"),
        "{}",
        commit.failure()
    );
    let mut job = bench.platform.job("folder", &url);
    job.subdirectory = Some("nowhere".to_owned());
    let folder = bench.build_job(job).await;
    assert!(
        folder.failure().contains("no folder \"nowhere\""),
        "{}",
        folder.failure()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_given_up() {
    let bench = Bench::start(HELPER, |options| options.limits.fetch_seconds = 2).await;
    let server = GitServer::hanging().await;
    let began = Instant::now();
    let build = bench.build("hanging", &server.url("app.git")).await;
    assert!(
        build.failure().contains("longer than 2 seconds"),
        "{}",
        build.failure()
    );
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_grows_past_the_limit_is_given_up() {
    let bench = Bench::start(HELPER, |options| options.limits.source_bytes = 4 << 20).await;
    // What does not compress.
    let mut seed = 1_u64;
    let mut noise = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    let bytes: Vec<u8> = (0..2_000_000).flat_map(|_| noise()).collect();
    let repository = repository(&[("large.bin", &bytes)]);
    let server = GitServer::start(repository.root()).await;
    let build = bench.build("large", &server.url("app.git")).await;
    assert!(
        build.failure().contains("limit of 4 MiB"),
        "{}",
        build.failure()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let bench = Bench::start(HELPER, |_| ()).await;
    let repository = repository(&[]);
    let server = GitServer::start(repository.root()).await;
    let redirecting = GitServer::redirecting(server.url("").trim_end_matches('/').to_owned()).await;
    let build = bench.build("redirected", &redirecting.url("app.git")).await;
    assert!(
        build.failure().contains("fetching the source failed"),
        "{}",
        build.failure()
    );
    assert!(!build.text().contains("fetched commit"), "{}", build.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_checked_again_by_the_runner() {
    let repository = repository(&[]);
    let server = GitServer::start(repository.root()).await;
    let port = server.port();
    let bench = Bench::start(HELPER, |options| {
        options.denied_ports = vec![port];
        options.private_dirs = vec![repository.root().to_owned()];
    })
    .await;
    let own = server.url("app.git");
    let inside = repository.file_url();
    let work = format!("file://{}", bench.data_dir().display());
    for (id, url, reason) in [
        ("own", own.as_str(), "where this platform itself listens"),
        (
            "name",
            &own.replace("127.0.0.1", "localhost"),
            "where this platform itself listens",
        ),
        ("metadata", "http://169.254.169.254/x.git", "metadata"),
        ("ext", "ext::sh", "transport helper"),
        ("option", "--upload-pack=/bin/sh", "an option"),
        (
            "userinfo",
            "http://user:secret@127.0.0.1/x.git",
            "user name or password",
        ),
        ("data", &inside, "the platform's own folder"),
        ("work", &work, "the platform's own folder"),
        ("etc", "file:///etc", "no Git repository"),
    ] {
        let build = bench.build(id, url).await;
        assert!(
            build.failure().contains(reason),
            "{url}: {}",
            build.failure()
        );
        assert!(!build.text().contains("secret"), "{}", build.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_platform_fetches_neither_files_nor_from_private_networks() {
    let bench = Bench::start(HELPER, |options| options.git_access = GitAccess::Public).await;
    let repository = repository(&[]);
    let server = GitServer::start(repository.root()).await;
    for (id, url) in [
        ("file", repository.file_url()),
        ("loopback", server.url("app.git")),
        ("name", "http://localhost/x.git".to_owned()),
    ] {
        let build = bench.build(id, &url).await;
        assert!(
            build.failure().starts_with("the repository's address"),
            "{url}: {}",
            build.failure()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_leave_the_repository_are_refused_by_name() {
    let bench = Bench::start(HELPER, |_| ()).await;
    let repository = repository(&[]);
    std::os::unix::fs::symlink("../../../../etc/passwd", repository.work().join("leak"))
        .expect("a link can be made");
    let _commit = repository.commit("a link");
    let build = bench.build("link", &repository.file_url()).await;
    assert!(
        build
            .failure()
            .contains("\"leak\" is a link that leads out"),
        "{}",
        build.failure()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_repository_runs_during_the_fetch() {
    let bench = Bench::start(HELPER, |_| ()).await;
    let marker = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(
        marker.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .expect("open to all");
    let ran = marker.path().join("ran");
    let repository = repository(&[
        (".gitattributes", b"* filter=evil\n*.lfs filter=lfs\n"),
        (
            "pointer.lfs",
            b"version https://git-lfs.github.com/spec/v1\n",
        ),
        (
            ".gitmodules",
            b"[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c id\n",
        ),
        ("what.txt", b"still here\n"),
    ]);
    for hook in ["post-checkout", "pre-receive", "post-upload-pack"] {
        let file = repository.bare().join("hooks").join(hook);
        std::fs::write(&file, format!("#!/bin/sh\ntouch {}\n", ran.display())).expect("a hook");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("a hook");
    }
    let config = format!(
        "\n[uploadpack]\n\tpackObjectsHook = touch {0};\n[filter \"evil\"]\n\tsmudge = touch {0}\n[core]\n\tfsmonitor = touch {0}\n",
        ran.display()
    );
    let file = repository.bare().join("config");
    let text = std::fs::read_to_string(&file).expect("a configuration") + &config;
    std::fs::write(&file, text).expect("a configuration");
    let build = bench.build("evil", &repository.file_url()).await;
    assert!(build.text().contains("still here"), "{}", build.text());
    assert!(!ran.exists(), "something of the repository was run");
}
