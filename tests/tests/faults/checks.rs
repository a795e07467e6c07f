//! Whether everything is there that was acknowledged, and nothing is there by half.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nokube_tests::api::Api;
use nokube_tests::platform::Platform;
use nokube_tests::wait::until;
use sha2::{Digest as _, Sha256};

use crate::workload::{Workload, refresh};

/// Applications are back within this.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// A lease that a crash left runs out after 20 s; a build is tried three times.
const BUILDS_END_WITHIN: Duration = Duration::from_secs(180);

/// What the last round was told, and what runs.
pub(crate) async fn after_a_crash(platform: &Platform, workload: &mut Workload) {
    let api = workload.api(platform);
    for id in &workload.fresh.projects {
        assert_eq!(
            api.get(&format!("/projects/{id}")).await.expect(200)["name"],
            workload.projects[id]
        );
    }
    for id in &workload.fresh.builds {
        api.get(&format!("/builds/{id}")).await.expect(200);
    }
    the_newest_release_is_served(&api, workload).await;
    the_newest_greeting_is_given_and_visits_are_counted(&api, workload).await;
    the_session_goes_on(&api, workload).await;
    let fresh: Vec<i64> = workload.fresh.notes.clone();
    notes_are_there(&api, workload, &fresh).await;
    what_was_deleted_stays_so(&api, workload).await;
    what_was_stopped_or_rolled_back_stays_so(&api, workload).await;
}

/// All that was ever told, the data folder included.
pub(crate) async fn at_the_end(platform: &mut Platform, workload: &mut Workload) {
    let api = workload.api(platform);
    for (id, name) in &workload.projects {
        assert_eq!(
            api.get(&format!("/projects/{id}")).await.expect(200)["name"],
            *name
        );
    }
    let all: Vec<i64> = workload.notes.keys().copied().collect();
    notes_are_there(&api, workload, &all).await;
    for id in &workload.builds {
        until(&format!("build {id} to end"), BUILDS_END_WITHIN, || async {
            let build = api.get(&format!("/builds/{id}")).await.expect(200);
            let reason = build["error_message"].as_str().unwrap_or_default();
            match build["status"].as_str() {
                Some("success") => Some(()),
                // A run of crashes may meet all attempts of one build. Nothing else makes one of these fail.
                Some("failed") => {
                    assert!(reason.contains("attempt 3 of 3"), "{build}");
                    Some(())
                }
                _ => None,
            }
        })
        .await;
    }
    what_was_deleted_stays_so(&api, workload).await;
    what_was_stopped_or_rolled_back_stays_so(&api, workload).await;
    the_newest_release_is_served(&api, workload).await;
    the_newest_greeting_is_given_and_visits_are_counted(&api, workload).await;
    the_session_goes_on(&api, workload).await;
    let deployment = &workload.site.deployment;
    until("the deployment to run", BACK_WITHIN, || async {
        let deployment = api
            .get(&format!("/deployments/{deployment}"))
            .await
            .expect(200);
        (deployment["status"] == "running").then_some(())
    })
    .await;
    let told = (
        workload.projects.len(),
        workload.builds.len(),
        workload.notes.len(),
    );
    assert!(
        told.0 > 20 && told.1 > 20 && told.2 > 20 && workload.notes_app.visits > 20,
        "too little was acknowledged to tell: {told:?}"
    );
    platform.interrupt();
    databases_are_sound(&platform.data_dir().join("data/db"));
    artifacts_are_whole(&platform.data_dir().join("data/artifacts/blobs/sha256"));
    // Unfinished files are swept at each start: those of crashes are gone, and a clean end leaves none.
    platform.start_again();
    platform.interrupt();
    nothing_is_unfinished(&platform.data_dir().join("data"));
}

/// The newest that was acknowledged, or a newer one that was asked for when the platform died.
async fn the_newest_release_is_served(api: &Api, workload: &mut Workload) {
    let site = &workload.site;
    let (from, to) = (site.acknowledged, site.asked);
    let served = until(
        &format!("release {from} to {to} to be served"),
        BACK_WITHIN,
        || async {
            let answer = api.visit(&site.url, "/").await.ok()?;
            let number: u64 = answer.text.trim().parse().ok()?;
            assert!(number <= to, "release {number} was never asked for");
            (number >= from).then_some(number)
        },
    )
    .await;
    workload.site.acknowledged = served;
}

/// The secret's newest value that was acknowledged, or a newer one that was asked for; and a count that is above all that was
/// acknowledged of it.
async fn the_newest_greeting_is_given_and_visits_are_counted(api: &Api, workload: &mut Workload) {
    let notes = &workload.notes_app;
    let (from, to) = (notes.acknowledged, notes.asked);
    let (greeting, visits) = until(
        &format!("greeting {from} to {to} to be given"),
        BACK_WITHIN,
        || async {
            let answer = api.visit(&notes.url, "/").await.ok()?;
            let answer = (answer.status == 200).then(|| answer.json())?;
            let greeting = answer["greeting"].as_str()?.parse::<u64>();
            let greeting = greeting.expect("it greets with what it was given");
            assert!(greeting <= to, "greeting {greeting} was never asked for");
            (greeting >= from).then(|| (greeting, answer["visits"].as_u64()))
        },
    )
    .await;
    let visits = visits.expect("a count");
    assert!(visits > notes.visits, "{visits} of {}", notes.visits);
    workload.notes_app.acknowledged = greeting;
    workload.notes_app.visits = visits;
}

/// A token that was acknowledged works, once.
async fn the_session_goes_on(api: &Api, workload: &mut Workload) {
    if let Some(token) = workload.session.take() {
        let answer = api.send(refresh(api, &token)).await;
        assert_eq!(answer.status, 200, "a session is gone: {answer:?}");
        workload.go_on(&answer);
    }
}

async fn notes_are_there(api: &Api, workload: &Workload, ids: &[i64]) {
    for id in ids {
        let path = format!("/notes/{id}");
        let answer = until(&format!("{path} to answer"), BACK_WITHIN, || async {
            let answer = api.visit(&workload.notes_app.url, &path).await.ok()?;
            (!answer.status.is_server_error()).then_some(answer)
        })
        .await;
        assert_eq!(answer.expect(200)["text"], workload.notes[id]);
    }
}

async fn what_was_deleted_stays_so(api: &Api, workload: &Workload) {
    for (id, name) in &workload.gone_projects {
        let answer = api.get(&format!("/projects/{id}")).await;
        let is_anothers = answer.status == 200 && answer.json()["name"] != *name;
        assert!(
            answer.status == 404 || is_anothers,
            "project {id}: {answer:?}"
        );
    }
    for (id, text) in &workload.gone_notes {
        let path = format!("/notes/{id}");
        let answer = until(&format!("{path} to answer"), BACK_WITHIN, || async {
            let answer = api.visit(&workload.notes_app.url, &path).await.ok()?;
            (!answer.status.is_server_error()).then_some(answer)
        })
        .await;
        let is_anothers = answer.status == 200 && answer.json()["text"] != *text;
        assert!(answer.status == 404 || is_anothers, "note {id}: {answer:?}");
    }
}

async fn what_was_stopped_or_rolled_back_stays_so(api: &Api, workload: &Workload) {
    let turned = &workload.turned;
    let Some(is_stopped) = turned.is_stopped else {
        return;
    };
    let path = format!("/deployments/{}", turned.deployment);
    let wanted = format!("stopped: {is_stopped}, serving {:?}", turned.serves);
    until(&wanted, BACK_WITHIN, || async {
        let answer = api.visit(&turned.url, "/").await.ok()?;
        if is_stopped {
            let deployment = api.get(&path).await.expect(200);
            return (deployment["status"] == "stopped" && answer.status != 200).then_some(());
        }
        let number = answer.text.trim().parse::<u64>().ok();
        let is_right = turned.serves.is_none_or(|wanted| number == Some(wanted));
        (answer.status == 200 && is_right).then_some(())
    })
    .await;
}

fn databases_are_sound(folder: &Path) {
    let mut checked = 0;
    for path in files(folder).filter(|path| path.extension().is_some_and(|ending| ending == "db")) {
        let database = rusqlite::Connection::open(&path).expect("a database can be opened");
        let verdict: String = database
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("a database can be checked");
        assert_eq!(verdict, "ok", "{}", path.display());
        checked += 1;
    }
    assert!(
        checked >= 2,
        "the platform's databases are in {}",
        folder.display()
    );
}

/// A blob's name is the digest of its bytes.
fn artifacts_are_whole(folder: &Path) {
    let mut checked = 0;
    for path in files(folder) {
        let bytes = fs::read(&path).expect("a blob can be read");
        let name = path
            .file_name()
            .expect("a file has a name")
            .to_string_lossy();
        assert_eq!(hex::encode(Sha256::digest(&bytes)), name);
        checked += 1;
    }
    assert!(checked > 3, "artifacts are in {}", folder.display());
}

fn nothing_is_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder)
        .expect("a folder can be read")
        .flatten()
    {
        let name = entry.file_name();
        assert!(
            !name.to_string_lossy().starts_with(".unfinished-"),
            "{}",
            entry.path().display()
        );
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            nothing_is_unfinished(&entry.path());
        }
    }
}

fn files(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder can be read");
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
}
