//! Accounts over HTTP and by command: sessions, passwords, API tokens and what their scopes let through in other
//! components, administration, audit, leaving.

use nokube_tests::api::{Answer, Api};
use nokube_tests::cli::Cli;
use nokube_tests::platform::Platform;
use reqwest::Method;
use serde_json::{Value, json};

const NEW: &str = "another horse entirely";

async fn delete_with(api: &Api, path: &str, body: &Value) -> Answer {
    api.send(api.request(Method::DELETE, path).json(body)).await
}

async fn patch(api: &Api, path: &str, body: &Value) -> Answer {
    api.send(api.request(Method::PATCH, path).json(body)).await
}

async fn sign_in(api: &Api, username: &str, password: &str) -> Answer {
    let body = json!({ "username": username, "password": password });
    api.post("/auth/login", &body).await
}

fn access(answer: &Value) -> &str {
    answer["access_token"].as_str().expect("an access token")
}

async fn exchange(api: &Api, token: &Value) -> Answer {
    let body = json!({ "grant_type": "api_token", "token": token["token"] });
    api.post("/auth/token", &body).await
}

/// A client with a token that has these scopes, and the token.
async fn scoped(api: &Api, scopes: &[&str]) -> (Api, Value) {
    let body = json!({ "name": "ci", "scopes": scopes });
    let token = api.post("/auth/tokens", &body).await.expect(201);
    let exchanged = exchange(api, &token).await.expect(200);
    (api.with_token(access(&exchanged)), token)
}

#[tokio::test]
async fn a_session_is_ended_from_another_and_a_password_change_ends_the_rest() {
    let platform = Platform::start();
    let api = platform.api();
    let ada = api.register("ada", None).await;
    let there = sign_in(&api, "ada", "correct horse ada").await.expect(200);
    let sessions = ada.get("/auth/sessions").await.expect(200);
    assert_eq!(sessions["pagination"]["total"], 2);
    let other = sessions["data"]
        .as_array()
        .and_then(|all| all.iter().find(|session| session["current"] == false))
        .and_then(|session| session["id"].as_str())
        .expect("the other session");
    let path = format!("/auth/sessions/{other}");
    let eve = api.register("eve", None).await;
    eve.delete(&path).await.problem(404);
    ada.delete(&path).await.expect(204);
    let refresh = json!({ "refresh_token": there["refresh_token"] });
    api.post("/auth/refresh", &refresh).await.problem(401);

    let there = sign_in(&api, "ada", "correct horse ada").await.expect(200);
    let change = json!({ "current_password": "correct horse ada", "new_password": NEW });
    ada.post("/auth/password", &change).await.expect(204);
    let refresh = json!({ "refresh_token": there["refresh_token"] });
    api.post("/auth/refresh", &refresh).await.problem(401);
    ada.get("/auth/me").await.expect(200);
    sign_in(&api, "ada", "correct horse ada").await.problem(401);
    sign_in(&api, "ada", NEW).await.expect(200);
}

#[tokio::test]
async fn a_token_reaches_in_each_component_what_its_scopes_say_and_no_more() {
    let platform = Platform::start();
    let api = platform.api();
    let ada = api.register("ada", Some(platform.setup_code())).await;
    let project = ada.create_project("shop").await;
    let build = json!({
        "project_id": project, "service_name": "web", "builder": "simulated",
        "repository_url": "https://example.com/ada/shop.git",
    });
    let (ci, token) = scoped(&ada, &["projects:read", "builds:write"]).await;
    ci.get("/projects").await.expect(200);
    let made = ci.post("/builds", &build).await.expect(202);
    let id = made["build_id"].as_str().expect("an id");
    ci.get(&format!("/builds/{id}/logs")).await.expect(200);
    let missing = |answer: Answer| {
        let problem = answer.problem(403);
        assert_eq!(problem["type"], "/problems/scope-missing");
        let challenge = answer.headers["www-authenticate"].to_str().expect("text");
        assert!(challenge.contains("insufficient_scope"), "{challenge}");
    };
    missing(ci.post("/projects", &json!({ "name": "more" })).await);
    missing(ci.delete(&format!("/projects/{project}")).await);
    missing(ci.get("/deployments").await);
    missing(ci.post("/deploy", &json!({})).await);
    for path in [
        "/auth/me",
        "/auth/sessions",
        "/auth/tokens",
        "/auth/audit",
        "/auth/users",
        "/auth/me/export",
    ] {
        missing(ci.get(path).await);
    }
    let more = json!({ "name": "more", "scopes": ["write"] });
    missing(ci.post("/auth/tokens", &more).await);
    ci.get("/auth/verify").await.expect(200);

    let (reader, _) = scoped(&ada, &["read"]).await;
    reader.get(&format!("/builds/{id}")).await.expect(200);
    missing(reader.post("/builds", &build).await);
    missing(
        reader
            .post(&format!("/builds/{id}/cancel"), &json!({}))
            .await,
    );
    // An administrator's token is an ordinary user's unless it has the scope.
    let eve = api.register("eve", None).await;
    let hers = eve.create_project("diary").await;
    reader.get(&format!("/projects/{hers}")).await.problem(404);
    let (root, _) = scoped(&ada, &["admin"]).await;
    root.get(&format!("/projects/{hers}")).await.expect(200);
    root.get("/auth/users").await.expect(200);

    let path = format!("/auth/tokens/{}", token["id"].as_str().expect("an id"));
    eve.delete(&path).await.problem(404);
    ada.delete(&path).await.expect(204);
    assert_eq!(
        exchange(&api, &token).await.problem(401)["type"],
        "/problems/token-refused"
    );
}

#[tokio::test]
async fn an_administrator_disables_and_enables_and_everyone_reads_what_was_done() {
    let platform = Platform::start();
    let api = platform.api();
    let ada = api.register("ada", Some(platform.setup_code())).await;
    let eve = api.register("eve", None).await;
    let (_, token) = scoped(&eve, &["read"]).await;
    let calendar = eve.post("/events/feed", &json!({})).await.expect(201)["url"].clone();
    let calendar = async || {
        let url = calendar.as_str().expect("an address");
        reqwest::get(url).await.expect("an answer").status()
    };
    assert_eq!(calendar().await, 200);
    eve.get("/auth/users").await.problem(403);
    let found = ada.get("/auth/users?q=ev&role=user").await.expect(200);
    let id = found["data"][0]["id"].as_i64().expect("eve's id");
    let path = format!("/auth/users/{id}");
    patch(&ada, &path, &json!({ "disabled": true }))
        .await
        .expect(200);
    sign_in(&api, "eve", "correct horse eve").await.problem(401);
    exchange(&api, &token).await.problem(401);
    eve.get("/auth/me").await.problem(401);
    assert_eq!(calendar().await, 404);
    patch(&ada, &path, &json!({ "disabled": false }))
        .await
        .expect(200);
    assert_eq!(calendar().await, 200);
    sign_in(&api, "eve", "correct horse eve").await.expect(200);
    let own = ada.get("/auth/me").await.expect(200)["id"].clone();
    let last = patch(
        &ada,
        &format!("/auth/users/{own}"),
        &json!({ "role": "user" }),
    )
    .await;
    assert_eq!(last.problem(409)["type"], "/problems/last-administrator");

    let actions = async |api: &Api, query: &str| -> Vec<String> {
        let page = api.get(&format!("/auth/audit{query}")).await.expect(200);
        let entries = page["data"].as_array().expect("entries").iter();
        entries
            .map(|entry| format!("{} {}", entry["actor"], entry["action"]).replace('"', ""))
            .collect()
    };
    assert_eq!(
        actions(&ada, "?actor=ada").await,
        ["ada user.enable", "ada user.disable", "ada user.register"]
    );
    let session = sign_in(&api, "eve", "correct horse eve").await.expect(200);
    let eve = api.with_token(access(&session));
    assert_eq!(
        actions(&eve, "?action=token.create").await,
        ["eve token.create"]
    );
    assert!(
        actions(&eve, "")
            .await
            .iter()
            .all(|entry| entry.starts_with("eve "))
    );
    eve.get("/auth/audit?actor=ada").await.problem(403);
}

#[tokio::test]
async fn an_account_takes_its_data_along_and_goes_once_it_owns_nothing() {
    let platform = Platform::start();
    let api = platform.api();
    let ada = api.register("ada", Some(platform.setup_code())).await;
    let eve = api.register("eve", None).await;
    let project = eve.create_project("diary").await;
    let export = eve.get("/auth/me/export").await.expect(200);
    assert_eq!(export["account"]["username"], "eve");
    assert_eq!(export["audit"][0]["action"], "user.register");
    let password = json!({ "current_password": "correct horse eve" });
    let refused = delete_with(&eve, "/auth/me", &password).await;
    assert_eq!(refused.problem(409)["type"], "/problems/owns-projects");
    eve.delete(&format!("/projects/{project}"))
        .await
        .expect(204);
    let wrong = json!({ "current_password": "not the password" });
    delete_with(&eve, "/auth/me", &wrong).await.problem(401);
    delete_with(&eve, "/auth/me", &password).await.expect(204);
    sign_in(&api, "eve", "correct horse eve").await.problem(401);
    eve.get("/auth/me").await.problem(401);
    // In both trails it is a number now.
    for path in ["/auth/audit?limit=100", "/audit?limit=100"] {
        let trail = ada.get(path).await.expect(200).to_string();
        assert!(trail.contains("deleted user"), "{trail}");
        assert!(!trail.contains("eve"), "{trail}");
    }
    let last = json!({ "current_password": "correct horse ada" });
    let refused = delete_with(&ada, "/auth/me", &last).await;
    assert_eq!(refused.problem(409)["type"], "/problems/last-administrator");
}

#[tokio::test]
async fn what_leaves_with_an_account_is_in_its_export() {
    let platform = Platform::start();
    let api = platform.api();
    let ada = api.register("ada", Some(platform.setup_code())).await;
    let eve = api.register("eve", None).await;
    let shop = ada.create_project("shop").await;
    let path = format!("/projects/{shop}/members/eve");
    let request = ada.request(Method::PUT, &path);
    let added = ada.send(request.json(&json!({ "role": "viewer" }))).await;
    added.expect(201);
    let event = json!({
        "title": "Spring sale", "start_date": "2027-06-20", "end_date": "2027-06-21",
        "status": "draft",
    });
    eve.post("/events", &event).await.expect(201);
    eve.post("/events/feed", &json!({})).await.expect(201);
    let export = eve.get("/auth/me/export").await.expect(200);
    assert_eq!(export["events"][0]["title"], "Spring sale");
    assert_eq!(export["events_complete"], true);
    let mut memberships = export["memberships"].as_array().into_iter().flatten();
    assert!(memberships.any(|member| member["project"] == "shop" && member["role"] == "viewer"));
    assert!(export["calendar_feed"]["created_at"].is_string());
    assert_eq!(export["activity"][0]["action"], "event_feed.create");
    let password = json!({ "current_password": "correct horse eve" });
    delete_with(&eve, "/auth/me", &password).await.expect(204);
    let members = ada.get(&format!("/projects/{shop}/members")).await;
    assert!(!members.expect(200).to_string().contains("eve"));
}

#[tokio::test]
async fn an_account_leaves_by_command_and_takes_its_data_along() {
    let platform = Platform::start();
    let api = platform.api();
    let eve = api.register("eve", None).await;
    let project = eve.create_project("diary").await;
    let eve = Cli::signed_in(&platform, "eve");
    let printed = eve.json(&["account", "export"]);
    assert_eq!(printed["account"]["username"], "eve");
    let file = eve.home().join("eve.json");
    let path = file.to_str().expect("UTF-8");
    assert!(eve.succeeds(&["account", "export", path]).contains(path));
    let kept = std::fs::read(&file).expect("the file is there");
    let kept: Value = serde_json::from_slice(&kept).expect("it is JSON");
    assert_eq!(kept["memberships"][0]["project"], "diary");
    let mode = std::fs::metadata(&file).expect("it is there").permissions();
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode);
    assert_eq!(mode & 0o777, 0o600);
    assert!(eve.refused(&["account", "export", path]).contains(path));

    assert!(eve.refused(&["account", "delete"]).contains("--yes"));
    let wrong = eve.run_with_input(
        &["account", "delete", "--yes", "--password-stdin"],
        "not the password",
    );
    assert!(!wrong.status.success());
    let refused = eve.refused(&["account", "delete", "--yes"]);
    assert!(refused.contains("owns projects"), "{refused}");
    let id = project.to_string();
    eve.succeeds(&["project", "delete", &id, "--yes"]);
    let gone = eve.json(&["account", "delete", "--yes"]);
    assert_eq!(gone["deleted"], "eve");
    assert!(eve.refused(&["whoami"]).contains("nokube login"));
    sign_in(&api, "eve", "correct horse eve").await.problem(401);
}

#[tokio::test]
async fn the_same_by_command() {
    let platform = Platform::start();
    let api = platform.api();
    api.register("ada", Some(platform.setup_code())).await;
    api.register("eve", None).await;
    let ada = Cli::signed_in(&platform, "ada");
    let made = ada.json(&[
        "token",
        "create",
        "ci",
        "--scope",
        "projects:read,projects:write",
        "--expires",
        "1d",
    ]);
    let value = made["token"].as_str().expect("a value");
    assert_eq!(ada.json(&["token", "list"])[0]["name"], "ci");
    assert!(ada.succeeds(&["token", "list"]).contains("projects:write"));
    assert!(!ada.succeeds(&["token", "list"]).contains(value));
    let refused = ada.refused(&["token", "create", "x", "--scope", "everything"]);
    assert!(
        refused.contains("builds:write"),
        "it says what there is: {refused}"
    );

    let ci = Cli::new(&platform);
    let signed_in = ci.run_with(&["--json", "login", "--token"], &[("NOKUBE_TOKEN", value)]);
    assert!(
        signed_in.status.success(),
        "{}",
        String::from_utf8_lossy(&signed_in.stderr)
    );
    assert!(!String::from_utf8_lossy(&signed_in.stdout).contains(value));
    ci.succeeds(&["project", "create", "shop"]);
    assert!(ci.refused(&["whoami"]).contains("account:read"));

    let sessions = ada.json(&["session", "list"]);
    let other = sessions.as_array().expect("a list").iter();
    let other = other.filter(|session| session["current"] == false);
    let ids: Vec<&str> = other.filter_map(|session| session["id"].as_str()).collect();
    ada.succeeds(&["session", "end", ids[0]]);
    assert!(
        ada.refused(&["session", "end", ids[0]])
            .contains("no such session")
    );
    let changed = ada.run_with(&["passwd"], &[("NOKUBE_NEW_PASSWORD", NEW)]);
    assert!(
        changed.status.success(),
        "{}",
        String::from_utf8_lossy(&changed.stderr)
    );
    sign_in(&api, "ada", NEW).await.expect(200);

    assert_eq!(
        ada.json(&["user", "list", "--query", "eve"])[0]["role"],
        "user"
    );
    assert_eq!(ada.json(&["user", "disable", "eve"])["disabled"], true);
    assert_eq!(
        ada.json(&["user", "list", "--disabled"])[0]["username"],
        "eve"
    );
    ada.succeeds(&["user", "enable", "eve"]);
    assert_eq!(
        ada.json(&["user", "set-role", "eve", "admin"])["role"],
        "admin"
    );
    let audit = ada.json(&["audit", "--actor", "ada", "-n", "3"]);
    let actions: Vec<&Value> = audit
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| &entry["action"])
        .collect();
    assert_eq!(actions, ["user.role", "user.enable", "user.disable"]);

    let id = made["id"].as_str().expect("an id");
    ada.succeeds(&["token", "revoke", id]);
    assert_eq!(ada.json(&["token", "list"]), json!([]));
    let again = ci.run_with(&["login", "--token"], &[("NOKUBE_TOKEN", value)]);
    assert!(!again.status.success());
    ci.succeeds(&["logout"]);
}
