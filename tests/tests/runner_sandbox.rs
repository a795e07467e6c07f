//! What a tenant's build command can reach, and what it cannot.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use nokube_runner::{Egress, RunnerOptions};
use nokube_tests::needs;
use nokube_tests::repository::Repository;
use nokube_tests::runner::{BUILD_LIMIT, Bench};
use nokube_tests::runner_platform::SeenBuild;
use nokube_tests::wait::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const HELPER: &str = env!("CARGO_BIN_EXE_sandbox-init");

fn app(command: &str) -> Repository {
    Repository::of_command(command, "", &[])
}

/// Runs a command line as a build and gives what was seen. It is made to fail, so nothing is packed.
async fn run_with(command: &str, change: impl FnOnce(&mut RunnerOptions)) -> SeenBuild {
    let bench = Bench::start(HELPER, change).await;
    let repository = app(&format!("{command}\nexit 9"));
    bench.build("sandboxed", &repository.file_url()).await
}

async fn run(command: &str) -> String {
    let build = run_with(command, |_| ()).await;
    assert!(
        build.failure().contains("exit code 9"),
        "{}\n{}",
        build.failure(),
        build.text()
    );
    build.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_an_ordinary_user_without_capabilities() {
    let text = run("id -u; grep -E 'CapEff|CapPrm|NoNewPrivs|Seccomp:' /proc/self/status; unshare -Ur true || echo no namespaces").await;
    assert!(text.contains("\n61556\n"), "{text}");
    assert!(
        text.contains("CapEff:\t0000000000000000") && text.contains("CapPrm:\t0000000000000000"),
        "{text}"
    );
    assert!(
        text.contains("NoNewPrivs:\t1") && text.contains("Seccomp:\t2"),
        "{text}"
    );
    assert!(text.contains("no namespaces"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_sees_neither_the_platforms_files_nor_its_environment_nor_its_processes() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("open to all");
    let keys = folder.path().join("keys.env");
    std::fs::write(&keys, "SPIN_VARIABLE_JWT_PRIVATE_KEY=the-secret").expect("a file");
    let text = run(&format!(
        "cat {0}; ls -a {1}; ls /root /home /var /data; env; cat /proc/*/environ; ls -a /",
        keys.display(),
        folder.path().display()
    ))
    .await;
    assert!(!text.contains("the-secret"), "{text}");
    assert!(!text.contains("keys.env\n"), "{text}");
    assert!(
        !text.contains("runner-token-of-the-test") && !text.contains("CARGO_BIN_EXE"),
        "{text}"
    );
    let own = std::process::id();
    let processes = run("ls /proc | grep -E '^[0-9]+$' | wc -l | sed 's/^/processes: /'").await;
    let count: u32 = processes
        .lines()
        .find_map(|line| line.strip_prefix("processes: ")?.trim().parse().ok())
        .expect("a count");
    assert!(count < 12, "{count} processes, the test's own is {own}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_writes_to_its_source_cache_and_temporary_folders_only() {
    let text = run(
        "for f in /usr/x /etc/x /x /.nokube/x /bin/x /proc/sys/kernel/hostname; do (echo x > $f) 2>/dev/null && echo WROTE $f; done\n\
         for f in /src/x /cache/x /tmp/x $HOME/x; do (echo x > $f) 2>/dev/null || echo CANNOT $f; done",
    )
    .await;
    let said: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("WROTE") || line.starts_with("CANNOT"))
        .collect();
    assert!(said.is_empty(), "{said:?}");
}

/// What one build wrote there, all later ones of everybody would run.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_reads_its_toolchain_and_writes_nothing_there() {
    // Not below /tmp, which is the build's own.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let everybody: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder.path(), everybody.clone()).expect("open to all");
    let there = folder.path().canonicalize().expect("it is there");
    std::fs::write(there.join("tool"), "the tool is read").expect("a file");
    std::fs::set_permissions(there.join("tool"), everybody).expect("open to all");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let toolchain = serde_json::json!({ "read_only_dirs": [there] });
    std::fs::write(file.path(), toolchain.to_string()).expect("a file");
    let command = format!(
        "cd {} && cat tool; for f in tool new; do (echo x > $f) 2>/dev/null && echo WROTE $f; done; \
         rm -f tool; ls",
        there.display()
    );
    let change = |options: &mut RunnerOptions| options.toolchain = Some(file.path().to_owned());
    let build = run_with(&command, change).await;
    let text = build.text();
    assert!(text.contains("the tool is read"), "{text}");
    let wrote = text.lines().any(|line| line.starts_with("WROTE"));
    assert!(!wrote, "{text}");
    let kept = std::fs::read_to_string(there.join("tool"));
    assert_eq!(kept.expect("it is still there"), "the tool is read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_reaches_no_port_of_this_machine() {
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a connection");
        drop(
            client
                .write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nreached",
                )
                .await,
        );
        drop(client.read(&mut [0; 1024]).await);
    });
    let own = own_address();
    let text = run(&format!(
        "for h in 127.0.0.1 localhost {own}; do\n\
           curl -sS -m 3 --noproxy '*' http://$h:{port}/ ; \n\
           curl -sS -m 3 --noproxy '' -x $http_proxy http://$h:{port}/ ;\n\
           curl -sS -m 3 --noproxy '' -x $http_proxy -p http://$h:{port}/ ;\n\
           curl -sS -m 3 --noproxy '' -x $http_proxy http://$h:80/ ;\n\
         done\n\
         curl -sS -m 3 -x $http_proxy http://169.254.169.254/ ; curl -sS -m 3 -x $http_proxy -p http://10.0.0.1:443/ ; true"
    ))
    .await;
    assert!(
        !text.contains("reached\n") && !text.contains("reached$"),
        "{text}"
    );
    assert!(!server.is_finished(), "something connected: {text}");
    assert!(
        text.contains("the build may not reach 169.254.169.254:80"),
        "{text}"
    );
    assert!(
        text.contains(&format!("the build may not reach 127.0.0.1:{port}")),
        "{text}"
    );
    server.abort();
}

/// This machine's address towards the world, without sending anything.
fn own_address() -> std::net::IpAddr {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    let outward = socket
        .connect("203.0.113.1:9")
        .and_then(|()| socket.local_addr());
    outward.map_or(std::net::Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_egress_there_is_no_way_out_at_all() {
    let build = run_with(
        "env | grep -i proxy; curl -sS -m 3 https://example.org/ && echo got $((20 + 2)); ls /.nokube",
        |options| options.egress = Egress::None,
    )
    .await;
    assert!(!build.text().contains("got 22"), "{}", build.text());
    assert!(!build.text().contains("proxy.sock"), "{}", build.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_takes_too_much_is_stopped() {
    let large = run_with("head -c 60000000 /dev/zero > a; sleep 20", |options| {
        options.limits.disk_bytes = 20_000_000
    })
    .await;
    assert!(
        large.failure().contains("wrote more than"),
        "{}",
        large.failure()
    );
    let file = run_with("exec head -c 60000000 /dev/zero > a", |options| {
        options.limits.file_bytes = 20_000_000
    })
    .await;
    assert!(
        file.failure().contains("larger than the limit") || file.failure().contains("exit code"),
        "{}",
        file.failure()
    );
    let memory = run_with(
        "node -e 'const a=[]; for(;;) a.push(Buffer.alloc(1e7, 1))'",
        |options| options.limits.memory_bytes = 300 << 20,
    )
    .await;
    assert!(
        memory.failure().contains("memory") || memory.text().contains("Killed"),
        "{}\n{}",
        memory.failure(),
        memory.text()
    );
    let processes = run_with(
        "for n in $(seq 1 200); do sleep 5 & done 2>&1; wait; echo done",
        |options| options.limits.processes = 50,
    )
    .await;
    assert!(
        processes.text().to_lowercase().contains("cannot fork"),
        "{}",
        processes.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_processes_of_one_build_do_not_count_for_another_projects() {
    let bench = Bench::start(HELPER, |options| {
        options.concurrency = 2;
        options.limits.processes = 60;
    })
    .await;
    let many = |seconds: u32, then: &str| {
        app(&format!(
            "id -u; for n in $(seq 1 40); do sleep {seconds} & done; echo $((40 + 2)) started; {then}"
        ))
    };
    let (first, second) = (many(600, "wait"), many(1, "wait; exit 9"));
    bench
        .platform
        .queue(bench.platform.job("first", &first.file_url()));
    bench
        .platform
        .line_of("first", "42 started", BUILD_LIMIT)
        .await;
    let mut job = bench.platform.job("second", &second.file_url());
    job.project_id = 8;
    let build = bench.build_job(job).await;
    let text = build.text();
    assert!(build.failure().contains("exit code 9"), "{text}");
    assert!(
        text.contains("42 started") && !text.to_lowercase().contains("cannot fork"),
        "{text}"
    );
    // Only root can be other users.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let user = if is_root { "\n61557\n" } else { "\n61556\n" };
    assert!(text.contains(user), "{text}");
    bench.platform.cancel("first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_hides_what_it_writes_is_stopped() {
    let deleted = run_with(
        "exec 3>hidden; rm hidden; fallocate -l 1900M /proc/self/fd/3; sleep 20",
        |options| {
            options.concurrency = 1;
            options.limits.disk_bytes = 100 << 20;
            options.limits.cache_bytes = 100 << 20;
        },
    )
    .await;
    assert!(
        deleted.failure().contains("disk filled"),
        "{}\n{}",
        deleted.failure(),
        deleted.text()
    );
    let reserve = run_with("echo ran", |options| {
        options.limits.reserve_bytes = Some(u64::MAX);
    })
    .await;
    assert!(
        reserve.failure().contains("nearly full") && !reserve.text().contains("\nran\n"),
        "{}",
        reserve.failure()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_folders_are_too_deep_fails_and_leaves_nothing() {
    let mut bench = Bench::start(HELPER, |_| ()).await;
    // Deeper than the runner may open files, and than a path may be long.
    let deep = "perl -e '$d = \"d\" x 200; for (1..30000) { mkdir $d; chdir $d or die }'";
    for (id, rest) in [("watched", "sleep 20"), ("over", "exit 0")] {
        let build = bench
            .build(id, &app(&format!("{deep}\n{rest}")).file_url())
            .await;
        let failure = build.failure();
        assert!(failure.contains("cannot be looked through"), "{failure}");
    }
    let work = bench.data_dir().join("work");
    until("the work to be gone", BUILD_LIMIT, || async {
        let mut left = std::fs::read_dir(&work).ok()?;
        left.next().is_none().then_some(())
    })
    .await;
    bench.stop_runner().await;
    bench.start_runner(|_| ());
    let build = bench
        .build("next", &app("echo ran; exit 9").file_url())
        .await;
    assert!(build.text().contains("\nran\n"), "{}", build.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_site_is_built_with_npm() {
    let package = br#"{ "name": "site", "version": "1.0.0", "scripts": { "build": "node make.js" }, "dependencies": { "left-pad": "1.3.0" } }"#;
    let make = b"const pad = require('left-pad'); const fs = require('fs'); fs.mkdirSync('dist'); fs.writeFileSync('dist/index.html', pad('built', 10)); console.log('made');";
    let site = Repository::of_files("site", &[("package.json", package), ("make.js", make)]);
    let bench = Bench::start(HELPER, |_| ()).await;
    let build = bench.build("npm", &site.file_url()).await;
    assert!(build.text().contains("\nmade\n"), "{}", build.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spin_application_is_compiled_by_its_own_build_command() {
    let source = nokube_tests::platform::repository_root().join("examples/datapress/api");
    let repository = Repository::of_folder("api", &source);
    let bench = Bench::start(HELPER, |options| {
        options.toolchain = std::env::var_os("NOKUBE_TOOLCHAIN").map(Into::into);
    })
    .await;
    let limit = Duration::from_secs(300);
    let job = bench.platform.job("compiled", &repository.file_url());
    let build = bench.platform.build(job, limit).await;
    assert!(build.digest().starts_with("sha256:"));
    assert!(build.artifact.is_some());
    assert!(build.text().contains("Compiling serde"), "{}", build.text());

    // A change compiles the change alone, and the same commit is the same artifact.
    let again = bench
        .platform
        .build(bench.platform.job("again", &repository.file_url()), limit)
        .await;
    assert_eq!(again.digest(), build.digest());
    assert!(
        !again.text().contains("Compiling serde"),
        "{}",
        again.text()
    );
}

/// Debian's compiler with the private sysroot that `NOKUBE_WASM_TOOLCHAIN=debian cargo xtask toolchain`
/// makes, as a toolchain file.
fn debians_toolchain() -> Option<serde_json::Value> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let made = std::fs::read_dir(cache.join("nokube"))
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("sysroot-"))
        .map(|entry| entry.path())
        .find(|path| path.join("bin/cargo").exists())?;
    Some(serde_json::json!({ "path_prepend": [made.join("bin")], "read_only_dirs": [made] }))
}

#[tokio::test(flavor = "multi_thread")]
async fn cargo_builds_with_debians_wasm_toolchain_where_that_is_installed() {
    let toolchain = debians_toolchain();
    if !needs::ability("debians-wasm-toolchain", toolchain.is_some()) {
        return;
    }
    let toolchain = toolchain.expect("it is there");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("toolchain.json");
    std::fs::write(&file, toolchain.to_string()).expect("a file");
    let source = nokube_tests::platform::repository_root().join("examples/hello-wasi");
    let repository = Repository::of_folder("hello", &source);
    let bench = Bench::start(HELPER, |options| options.toolchain = Some(file.clone())).await;
    let job = bench.platform.job("debian", &repository.file_url());
    let build = bench.platform.build(job, Duration::from_secs(300)).await;
    assert!(build.digest().starts_with("sha256:"), "{}", build.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sandbox_build_commands_are_refused_unless_the_operator_allows_them() {
    let without = |options: &mut RunnerOptions| {
        let helper = options.helper.as_mut().expect("a helper");
        helper.program = "/nonexistent/sandbox-init".into();
    };
    let refused = run_with("echo ran", without).await;
    assert!(
        refused.failure().contains("no sandbox"),
        "{}",
        refused.failure()
    );
    assert!(!refused.text().contains("\nran\n"), "{}", refused.text());
    let allowed = run_with("echo ran", |options| {
        without(options);
        options.unsandboxed_builds = true;
    })
    .await;
    assert!(
        allowed.text().contains("\nran\n") && allowed.failure().contains("exit code 9"),
        "{}",
        allowed.text()
    );
}
