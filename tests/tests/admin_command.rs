//! `nokube admin` on the machine of a platform that runs, and of one that does not.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use nokube_tests::api::Answer;
use nokube_tests::platform::{Platform, nokube};
use rusqlite::Connection;
use serde_json::{Value, json};

/// Runs `nokube --json admin …` on a platform's data folder.
fn admin(platform: &Platform, args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(nokube())
        .args(["--json", "admin"])
        .args(args)
        .arg("--data-dir")
        .arg(platform.data_dir().join("data"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nokube runs");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(stdin.as_bytes()).expect("it reads or ends");
    drop(input);
    child.wait_with_output().expect("it ends")
}

fn succeeds(platform: &Platform, args: &[&str]) -> Value {
    let output = admin(platform, args, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

async fn login(platform: &Platform, username: &str, password: &str) -> Answer {
    let body = json!({ "username": username, "password": password });
    platform.api().post("/auth/login", &body).await
}

#[tokio::test]
async fn a_password_is_reset_while_the_platform_runs_and_sessions_end() {
    let platform = Platform::start();
    let alice = platform.api().register("alice", None).await;
    let answer = succeeds(&platform, &["reset-password", "alice"]);
    let password = answer["password"].as_str().expect("it is shown once");
    assert_eq!(alice.get("/auth/me").await.status, 401);
    assert_eq!(
        login(&platform, "alice", "correct horse alice")
            .await
            .status,
        401
    );
    login(&platform, "alice", password).await.expect(200);
    let own = admin(
        &platform,
        &["reset-password", "alice", "--password-stdin"],
        "gravel monkey lamp\n",
    );
    assert!(own.status.success(), "{own:?}");
    assert!(!String::from_utf8_lossy(&own.stdout).contains("gravel"));
    login(&platform, "alice", "gravel monkey lamp")
        .await
        .expect(200);
    // Its API tokens stay unless they shall not.
    let session = login(&platform, "alice", "gravel monkey lamp").await;
    let session = session.expect(200);
    let access = session["access_token"].as_str().expect("a token");
    let made = json!({ "name": "ci", "scopes": ["read"] });
    let made = platform
        .api()
        .with_token(access)
        .post("/auth/tokens", &made)
        .await;
    made.expect(201);
    let kept = succeeds(&platform, &["reset-password", "alice"]);
    assert_eq!(kept["tokens_left"], 1);
    let ended = succeeds(&platform, &["reset-password", "alice", "--revoke-tokens"]);
    assert_eq!(ended["tokens_left"], 0);
    // The platform's rules hold here, too.
    let weak = admin(
        &platform,
        &["reset-password", "alice", "--password-stdin"],
        "password1",
    );
    assert!(!weak.status.success());
    assert!(
        String::from_utf8_lossy(&weak.stderr).contains("most common"),
        "{weak:?}"
    );
    let nobody = admin(&platform, &["reset-password", "nobody"], "");
    assert!(!nobody.status.success());
    // What was done is in the audit trail, without the password.
    let database = platform.data_dir().join("data/db/auth.db");
    let rows: Vec<(String, String)> = Connection::open(database)
        .and_then(|connection| {
            let mut statement = connection.prepare(
                "SELECT action, detail FROM audit WHERE actor_name = 'system' ORDER BY id",
            )?;
            statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .expect("the database is readable");
    assert_eq!(rows.len(), 4);
    for (action, detail) in rows {
        assert_eq!(action, "user.reset_password");
        assert!(
            detail.contains("nokube admin") && !detail.contains("gravel"),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn accounts_are_made_administrators_closed_and_opened() {
    let platform = Platform::start();
    let alice = platform.api().register("alice", None).await;
    platform.api().register("bob", None).await;
    assert_eq!(
        succeeds(&platform, &["make-admin", "alice"])["role"],
        "admin"
    );
    let signed_in = login(&platform, "alice", "correct horse alice")
        .await
        .expect(200);
    assert_eq!(signed_in["user"]["role"], "admin");
    // The rule of `PATCH /auth/users/{id}`: somebody must be left to administer.
    let last = admin(&platform, &["close-account", "alice"], "");
    assert!(!last.status.success());
    assert!(String::from_utf8_lossy(&last.stderr).contains("administer"));
    alice.get("/auth/me").await.expect(200);
    succeeds(&platform, &["make-admin", "bob"]);
    assert_eq!(
        succeeds(&platform, &["close-account", "alice"])["disabled"],
        true
    );
    assert_eq!(alice.get("/auth/me").await.status, 401);
    assert_eq!(
        login(&platform, "alice", "correct horse alice")
            .await
            .status,
        401
    );
    assert_eq!(
        succeeds(&platform, &["open-account", "alice"])["disabled"],
        false
    );
    login(&platform, "alice", "correct horse alice")
        .await
        .expect(200);
    // The sessions from before stay ended.
    assert_eq!(alice.get("/auth/me").await.status, 401);
}

#[tokio::test]
async fn it_works_where_nothing_runs_and_says_where_no_platform_is() {
    let mut platform = Platform::start_with(&["--variable", "registration=invite"]);
    let body = json!({ "username": "alice", "password": "correct horse alice" });
    let refused = platform.api().post("/auth/register", &body).await;
    assert_eq!(
        refused.problem(403)["type"],
        "/problems/invitation-required"
    );
    platform.kill();
    let invitation = succeeds(&platform, &["invite", "--hours", "1"]);
    platform.start_again();
    let mut invited = body.clone();
    invited["invitation_code"] = invitation["code"].clone();
    platform
        .api()
        .post("/auth/register", &invited)
        .await
        .expect(201);
    platform.kill();
    let reset = succeeds(&platform, &["reset-password", "alice"]);
    platform.start_again();
    let password = reset["password"].as_str().expect("it is shown once");
    login(&platform, "alice", password).await.expect(200);
    let elsewhere = tempfile::tempdir().expect("a folder");
    let output = Command::new(nokube())
        .args(["admin", "make-admin", "alice", "--data-dir"])
        .arg(elsewhere.path())
        .output()
        .expect("nokube runs");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--data-dir"));
    let left = std::fs::read_dir(elsewhere.path()).expect("the folder is there");
    assert_eq!(left.count(), 0, "nothing was made there");
}

#[tokio::test]
async fn the_signing_key_rotates_and_tokens_of_the_old_one_live_on() {
    let mut platform = Platform::start();
    let alice = platform.api().register("alice", None).await;
    let keys = |platform: &Platform| {
        let api = platform.api();
        async move {
            let jwks = api.get("/auth/.well-known/jwks.json").await.expect(200);
            let keys = jwks["keys"].as_array().expect("a list").clone();
            keys.iter()
                .map(|key| key["kid"].clone())
                .collect::<Vec<_>>()
        }
    };
    let rotate = |platform: &Platform, keep: &str| {
        let output = Command::new(nokube())
            .args(["keys", "rotate", "--keep", keep, "--data-dir"])
            .arg(platform.data_dir().join("data"))
            .output()
            .expect("nokube runs");
        assert!(output.status.success(), "{output:?}");
    };
    let before = keys(&platform).await;
    rotate(&platform, "60");
    assert_eq!(keys(&platform).await, before, "a running platform goes on");
    platform.kill();
    platform.start_again();
    let both = keys(&platform).await;
    assert_eq!(both.len(), 2);
    assert_eq!(both[1], before[0]);
    alice.get("/auth/me").await.expect(200);
    let signed_in = login(&platform, "alice", "correct horse alice")
        .await
        .expect(200);
    let again = platform
        .api()
        .with_token(signed_in["access_token"].as_str().expect("a token"));
    again.get("/auth/me").await.expect(200);
    again.get("/projects").await.expect(200);
    // A stolen key is withdrawn at once.
    rotate(&platform, "0");
    platform.kill();
    platform.start_again();
    assert_eq!(keys(&platform).await.len(), 1);
    assert_eq!(alice.get("/auth/me").await.status, 401);
    assert_eq!(again.get("/projects").await.status, 401);
}
