//! A build of the whole platform, on one machine with everything it must not reach: by its ports, its
//! sockets, its files, its environment, and by what it leaves behind.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nokube_tests::api::Api;
use nokube_tests::platform::{Platform, repository_root};
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;

/// A prebuilt component, for applications whose build commands do other things than building.
fn component() -> Vec<u8> {
    let path = "target/guest/wasm32-wasip2/guest/nokube_fileserver.wasm";
    std::fs::read(repository_root().join(path)).expect("the guests are built")
}

/// An application with this build command.
fn app(command: &str) -> Repository {
    let files = "files = [{ source = \"assets\", destination = \"/\" }]";
    Repository::of_command(
        command,
        files,
        &[
            ("a.wasm", &component()),
            ("assets/index.html", b"<h1>hello</h1>"),
        ],
    )
}

async fn start() -> (Platform, Api, i64) {
    let platform = Platform::start();
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    (platform, api, project)
}

/// Everything below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}

/// The keys' values.
fn secrets(data: &Path) -> Vec<String> {
    let keys = std::fs::read_to_string(data.join("keys.env")).expect("the keys are there");
    let values = keys.lines().filter_map(|line| line.split_once('='));
    let values = values.map(|(_, value)| value.trim_matches(['\'', '"']).to_owned());
    let secrets: Vec<String> = values.filter(|value| value.len() >= 16).collect();
    assert!(secrets.len() >= 4, "{keys}");
    secrets
}

fn assert_no_secret(secrets: &[String], text: &str) {
    for secret in secrets {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn a_build_reaches_neither_the_platforms_ports_nor_its_sockets_nor_its_files() {
    let (platform, api, project) = start().await;
    let data = platform
        .data_dir()
        .join("data")
        .canonicalize()
        .expect("the data folder");
    let secrets = secrets(&data);
    let ports = platform.listening_ports();
    // The public one, and the sidecar's own.
    assert!(ports.len() >= 2, "{ports:?}");
    let sockets: Vec<PathBuf> = files(&data)
        .into_iter()
        .filter(|path| {
            std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
        })
        .collect();
    assert!(sockets.len() >= 2, "{sockets:?}");
    let health = api
        .visit(platform.url(), "/health")
        .await
        .expect("the platform answers");
    assert!(health.text.contains("\"service\""), "{}", health.text);

    let words = |items: Vec<String>| items.join(" ");
    let (ports, sockets, data) = (
        words(ports.iter().map(u16::to_string).collect()),
        words(
            sockets
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
        ),
        data.display(),
    );
    let repository = app(&format!(
        "for port in {ports}; do for host in 127.0.0.1 localhost '[::1]' '[::ffff:127.0.0.1]' 0.0.0.0; do\n\
           curl -sS -g -m 3 --noproxy '*' http://$host:$port/health\n\
           curl -sS -g -m 3 --noproxy '' -x $http_proxy http://$host:$port/health\n\
           curl -sS -g -m 3 --noproxy '' -x $http_proxy -p http://$host:$port/health\n\
         done; done\n\
         for socket in {sockets}; do curl -sS -m 3 --unix-socket $socket http://x/health; done\n\
         ls -laR {data}; cat {data}/keys.env {data}/*/* {data}/*/*/*\n\
         find / -name proc -prune -o -name keys.env -print -o -type s -print 2>/dev/null | sed 's/^/found: /'\n\
         env; cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'\n\
         kill -9 {pid} && echo killed $((40 + 2))\n\
         exit 9",
        pid = platform.pid(),
    ));
    let id = api
        .start_build(project, "curious", &repository.file_url())
        .await;
    let build = api.wait_for_build(&id).await;
    let log = api.build_log(&id).await;
    assert_eq!(build["status"], "failed", "{log}");
    assert!(build.to_string().contains("exit code 9"), "{build}\n{log}");
    assert!(!log.contains("\"service\""), "{log}");
    assert!(!log.contains("killed 42"), "{log}");
    assert!(!log.contains("SPIN_VARIABLE_"), "{log}");
    assert_no_secret(&secrets, &log);
    let found: Vec<&str> = log
        .lines()
        .filter_map(|line| Some(line.split_once("found: ")?.1))
        // Not the command line itself.
        .filter(|path| path.starts_with('/') && !path.contains('\''))
        .collect();
    // Of sockets at most the one to the proxy, which is the way out.
    assert!(
        found.iter().all(|path| *path == "/.nokube/proxy.sock"),
        "{found:?}\n{log}"
    );
    // And the platform is as it was.
    let answer = api.visit(platform.url(), "/health").await;
    assert_eq!(answer.expect("the platform answers").status, 200);
}

#[tokio::test]
async fn processes_that_a_build_leaves_behind_end_with_it_when_it_succeeds_too() {
    let (_platform, api, project) = start().await;
    // Seconds that nobody else sleeps for.
    let seconds = 7_000_000 + u64::from(std::process::id());
    let repository = app(&format!(
        "setsid sleep {seconds} >/dev/null 2>&1 &\n\
         (setsid sh -c 'trap \"\" TERM HUP INT; sleep {seconds}' >/dev/null 2>&1 &)\n\
         until [ \"$(cat /proc/[0-9]*/comm 2>/dev/null | grep -cx sleep)\" = 2 ]; do :; done\n\
         echo $((40 + 2)) left behind"
    ));
    let build = api.build(project, "daemons", &repository.file_url()).await;
    let id = build["build_id"].as_str().expect("a build has an id");
    let log = api.build_log(id).await;
    assert!(log.contains("42 left behind"), "{log}");
    let wanted = seconds.to_string();
    let is_left = || {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut lines =
            processes.map(|entry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default());
        lines.any(|line| {
            line.split(|byte| *byte == 0)
                .eq(["sleep".as_bytes(), wanted.as_bytes(), b""])
        })
    };
    until(
        "what was left to be gone",
        Duration::from_secs(10),
        || async { (!is_left()).then_some(()) },
    )
    .await;
}

#[tokio::test]
async fn what_a_build_made_of_links_to_the_machines_files_is_not_published() {
    let (platform, api, project) = start().await;
    let data = platform
        .data_dir()
        .join("data")
        .canonicalize()
        .expect("the data folder");
    let secrets = secrets(&data);
    let keys = data.join("keys.env");
    // The component itself: there is none then.
    let linked = app(&format!("ln -sf {} a.wasm", keys.display()));
    let id = api.start_build(project, "linked", &linked.file_url()).await;
    let build = api.wait_for_build(&id).await;
    assert_eq!(build["status"], "failed", "{build}");
    assert!(build.to_string().contains("a.wasm"), "{build}");

    // Files beside it: by a path of this machine, by climbing out of the source, by a folder.
    let climb = "../".repeat(30);
    let beside = app(&format!(
        "ln -s {keys} assets/absolute; ln -s {climb}{keys} assets/climbing; ln -s {data} assets/folder\n\
         ln {keys} assets/hard; mkfifo assets/pipe; ln -s assets/absolute assets/chain; true",
        keys = keys.display(),
        data = data.display(),
    ));
    let build = api.build(project, "beside", &beside.file_url()).await;
    assert!(build["digest"].is_string(), "{build}");
    for folder in ["artifacts", "runner/oci"] {
        for file in files(&data.join(folder)) {
            let bytes = std::fs::read(&file).unwrap_or_default();
            assert_no_secret(&secrets, &String::from_utf8_lossy(&bytes));
        }
    }
}
