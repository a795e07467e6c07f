//! A backup of a platform that is being written to, restored elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nokube_tests::api::Api;
use nokube_tests::guests;
use nokube_tests::platform::{Platform, nokube};
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use reqwest::Method;
use serde_json::json;

/// Notes by their number.
type Written = Arc<Mutex<BTreeMap<i64, String>>>;

const RECOVERY: Duration = Duration::from_secs(60);
const WRITERS: usize = 4;

fn backup(data: &Path, file: &Path) -> Output {
    let mut command = Command::new(nokube());
    command.args(["--json", "backup"]).arg(file);
    command.arg("--data-dir").arg(data);
    command.output().expect("nokube runs")
}

fn restore(file: &Path, data: &Path) -> Output {
    let mut command = Command::new(nokube());
    command.args(["--json", "restore"]).arg(file);
    command.arg("--data-dir").arg(data);
    command.output().expect("nokube runs")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Changes a project's description until told to stop; gives the last number that was acknowledged.
async fn write_on(api: Api, project: i64, stop: Arc<AtomicBool>) -> u64 {
    let mut acknowledged = 0;
    for n in 1.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let request = api.request(Method::PATCH, &format!("/projects/{project}"));
        let answer = api
            .try_send(request.json(&json!({ "description": n.to_string() })))
            .await;
        if answer.is_ok_and(|answer| answer.status.is_success()) {
            acknowledged = n;
        }
    }
    acknowledged
}

/// Writes notes until told to stop. `written` has each with its number once it was acknowledged.
async fn take_notes(api: Api, url: String, written: Written, stop: Arc<AtomicBool>) {
    for n in 1.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let text = format!("note {n}");
        let body = json!({ "text": text }).to_string();
        let answer = api.visit_with(&url, "/notes", Method::POST, &body).await;
        if let Ok(answer) = answer
            && answer.status == 201
        {
            let id = answer.json()["id"].as_i64().expect("a note has a number");
            written.lock().expect("no panic").insert(id, text);
        }
    }
}

async fn description(api: &Api, project: i64) -> u64 {
    let shown = api.get(&format!("/projects/{project}")).await.expect(200);
    let text = shown["description"].as_str().unwrap_or("0");
    text.parse().expect("a number")
}

async fn serves(api: &Api, url: &str, text: &str) {
    until(&format!("{url} to serve {text:?}"), RECOVERY, || async {
        let answer = api.visit(url, "/").await.ok()?;
        (answer.text == text).then_some(())
    })
    .await;
}

/// The address of a deployment on the new platform: its row is what the backup had until that has told it again.
async fn moved_to(api: &Api, id: &str, before: &str) -> String {
    until("the address to be the new platform's", RECOVERY, || async {
        let deployment = api.get(&format!("/deployments/{id}")).await.expect(200);
        let now = deployment["access_url"].as_str()?.to_owned();
        (now != before).then_some(now)
    })
    .await
}

#[tokio::test]
async fn what_was_acknowledged_before_a_backup_is_there_after_its_restore() {
    // Compiled first: meanwhile a kept connection would be closed.
    let notes = std::fs::read(guests::example("notes")).expect("it was built");
    let mut platform = Platform::start();
    let api = platform.register_ada().await;
    let mut projects = Vec::new();
    for n in 0..WRITERS {
        projects.push(api.create_project(&format!("p{n}")).await);
    }
    let repository = Repository::of_files("site", &[("index.html", b"kept")]);
    let build = api.build(projects[0], "web", &repository.file_url()).await;
    let request = json!({
        "project_id": projects[0], "service_name": "web", "build_id": build["build_id"],
        "secrets": { "API_KEY": "sealed" },
    });
    let deployment = api.deploy(&request).await;
    let url = deployment["access_url"]
        .as_str()
        .expect("an address")
        .to_owned();
    repository.write("index.html", b"during");
    let _commit = repository.commit("during");
    let built = api.build(projects[0], "web", &repository.file_url()).await;
    let files: [(&str, &[u8]); 2] = [
        ("spin.toml", guests::NOTES_MANIFEST.as_bytes()),
        ("notes.wasm", &notes),
    ];
    let notes = Repository::of_files("notes", &files);
    let notes = api.build(projects[0], "notes", &notes.file_url()).await;
    let request = json!({
        "project_id": projects[0], "service_name": "notes", "build_id": notes["build_id"]
    });
    let notes = api.deploy(&request).await;
    let notes_url = notes["access_url"].as_str().expect("an address").to_owned();

    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = projects
        .iter()
        .map(|id| tokio::spawn(write_on(api.clone(), *id, Arc::clone(&stop))))
        .collect();
    let rows = Written::default();
    let author = take_notes(
        api.clone(),
        notes_url.clone(),
        Arc::clone(&rows),
        Arc::clone(&stop),
    );
    let author = tokio::spawn(author);
    let written = async || {
        let mut all = Vec::new();
        for id in &projects {
            all.push(description(&api, *id).await);
        }
        all
    };
    until("every writer to have written", RECOVERY, async || {
        let noted = rows.lock().expect("no panic").len();
        (noted > 3 && written().await.iter().all(|n| *n > 3)).then_some(())
    })
    .await;
    // What a reader sees was acknowledged, or could be.
    let before = written().await;
    let rows_before = rows.lock().expect("no panic").clone();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("nokube.tar.gz");
    let (data, to) = (platform.data_dir().join("data"), file.clone());
    let copying = tokio::task::spawn_blocking(move || backup(&data, &to));
    // A release while it copies.
    let request =
        json!({ "project_id": projects[0], "service_name": "web", "build_id": built["build_id"] });
    api.post("/deploy", &request).await.expect(202);
    let made = copying.await.expect("the backup runs");
    assert!(made.status.success(), "{}", text(&made));
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        assert!(writer.await.expect("a writer") > 0);
    }
    author.await.expect("an author");
    let rows = rows.lock().expect("no panic").clone();
    assert!(
        rows.len() > rows_before.len(),
        "nothing was noted meanwhile"
    );
    platform.kill();

    let again = Platform::start_of_backup(&file);
    let api = again.api();
    let login = json!({ "username": "ada", "password": "correct horse ada" });
    let session = api.post("/auth/login", &login).await.expect(200);
    let api = api.with_token(session["access_token"].as_str().expect("a token"));
    for (id, least) in projects.iter().zip(before) {
        let there = description(&api, *id).await;
        assert!(there >= least, "{there} of {least} in project {id}");
    }
    // Its address has the new platform's port.
    let id = deployment["deployment_id"].as_str().expect("an id");
    let restored = api.get(&format!("/deployments/{id}")).await.expect(200);
    // The release came before its row was copied, or after.
    let (revision, content) = match restored["revision"].as_u64() {
        Some(1) => (1, "kept"),
        Some(2) => (2, "during"),
        _ => panic!("{restored}"),
    };
    let running = api.wait_until_running(id, revision).await;
    assert_eq!(running["secret_names"], json!(["API_KEY"]));
    let moved = moved_to(&api, id, &url).await;
    serves(&api, &moved, content).await;
    let id = notes["deployment_id"].as_str().expect("an id");
    let notes_url = moved_to(&api, id, &notes_url).await;
    for (id, text) in &rows {
        let path = format!("/notes/{id}");
        let answer = api.visit(&notes_url, &path).await.expect("it answers");
        let is_there = answer.status == 200 && answer.json()["text"] == *text;
        let may_be_missing = answer.status == 404 && !rows_before.contains_key(id);
        assert!(is_there || may_be_missing, "note {id}: {answer:?}");
    }
    // What is built and deployed goes on as ever.
    repository.write("index.html", b"new");
    let _commit = repository.commit("new");
    let build = api.build(projects[0], "web", &repository.file_url()).await;
    let request =
        json!({ "project_id": projects[0], "service_name": "web", "build_id": build["build_id"] });
    let newer = api.deploy(&request).await;
    serves(
        &api,
        newer["access_url"].as_str().expect("an address"),
        "new",
    )
    .await;
}

#[tokio::test]
async fn what_a_backup_lacks_is_said_with_its_reason_and_an_exit_code_of_its_own() {
    let notes = std::fs::read(guests::example("notes")).expect("it was built");
    let mut platform = Platform::start();
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let files: [(&str, &[u8]); 2] = [
        ("spin.toml", guests::NOTES_MANIFEST.as_bytes()),
        ("notes.wasm", &notes),
    ];
    let repository = Repository::of_files("notes", &files);
    let build = api.build(project, "notes", &repository.file_url()).await;
    let request =
        json!({ "project_id": project, "service_name": "notes", "build_id": build["build_id"] });
    let deployment = api.deploy(&request).await;
    let url = deployment["access_url"].as_str().expect("an address");
    let body = json!({ "text": "lost" }).to_string();
    let noted = api.visit_with(url, "/notes", Method::POST, &body).await;
    assert_eq!(noted.expect("an answer").status, 201);
    platform.kill();
    let id = deployment["deployment_id"].as_str().expect("an id");
    let store = format!("tenants/state/{id}/sqlite/default.db");
    let data = platform.data_dir().join("data");
    // Its log alone would do.
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("{store}{suffix}")));
    }
    std::fs::write(data.join(&store), [b'x'; 8192]).expect("written");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("nokube.tar.gz");
    let made = backup(&data, &file);
    assert_eq!(made.status.code(), Some(3), "{}", text(&made));
    let told: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
    assert_eq!(told["left_out"], json!([store]));
    let reason = told["reasons"][&store].as_str().expect("a reason");
    assert!(reason.contains("not a database"), "{reason}");
    assert!(text(&made).contains(&format!("{store} cannot be read")));
    let restored = restore(&file, &folder.path().join("restored"));
    assert!(restored.status.success(), "{}", text(&restored));
    assert!(text(&restored).contains(reason), "{}", text(&restored));
}

#[tokio::test]
async fn a_backup_is_whole_private_and_never_over_something_else() {
    let mut platform = Platform::start();
    let api = platform.register_ada().await;
    api.create_project("shop").await;
    // A stopped platform can be backed up as well.
    platform.kill();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("nokube.tar.gz");
    let data = platform.data_dir().join("data");
    let made = backup(&data, &file);
    assert!(made.status.success(), "{}", text(&made));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&file).expect("the backup").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        !backup(&data, &file).status.success(),
        "it is there already"
    );
    assert!(!restore(&file, &data).status.success(), "that has data");

    let bytes = std::fs::read(&file).expect("the backup");
    let damaged = folder.path().join("damaged.tar.gz");
    let to = folder.path().join("restored");
    for at in [20, bytes.len() / 3, bytes.len() / 2, bytes.len() - 6] {
        let mut copy = bytes.clone();
        copy[at] ^= 0x10;
        std::fs::write(&damaged, copy).expect("a copy");
        if unpacked(&damaged) == unpacked(&file) {
            // Deflate has bits that say nothing, and runs that can be copied from here or there.
            continue;
        }
        let refused = restore(&damaged, &to);
        assert!(
            !refused.status.success(),
            "a wrong byte at {at} was not found"
        );
        assert!(!to.exists(), "nothing is left: {}", text(&refused));
    }
    std::fs::write(&damaged, &bytes[..bytes.len() - 100]).expect("a copy");
    assert!(
        !restore(&damaged, &to).status.success(),
        "a part is no backup"
    );
    assert!(!to.exists());

    std::fs::create_dir(&to).expect("an empty folder");
    let restored = restore(&file, &to);
    assert!(restored.status.success(), "{}", text(&restored));
    assert!(to.join("db/platform.db").is_file());
    let left = unfinished(folder.path());
    assert!(left.is_empty(), "{left:?}");
}

/// Names in a folder of what is being made.
fn unfinished(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .expect("the folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with('.'))
        .collect()
}

#[tokio::test]
async fn a_backup_that_is_interrupted_leaves_nothing() {
    let mut platform = Platform::start();
    platform.register_ada().await;
    platform.kill();
    let data = platform.data_dir().join("data");
    // It waits for what somebody has locked.
    let holder = rusqlite::Connection::open(data.join("db/auth.db")).expect("the database");
    holder
        .execute_batch("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE")
        .expect("nobody else uses it");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(nokube());
    command
        .arg("backup")
        .arg(folder.path().join("nokube.tar.gz"));
    command.arg("--data-dir").arg(&data);
    let mut running = command.spawn().expect("nokube runs");
    let begun = || async { (!unfinished(folder.path()).is_empty()).then_some(()) };
    until("the backup to begin", RECOVERY, begun).await;
    let told = Command::new("kill").arg(running.id().to_string()).status();
    assert!(told.expect("kill runs").success());
    let ended = running.wait().expect("it ends");
    assert_eq!(ended.code(), Some(130));
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("it").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What a compressed file holds; nothing when it is damaged.
fn unpacked(file: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(file).expect("the file");
    let mut reader = flate2::read::GzDecoder::new(file);
    std::io::Read::read_to_end(&mut reader, &mut bytes)
        .is_ok()
        .then_some(bytes)
}
