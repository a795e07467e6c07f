//! A platform that demands a second factor of everybody: until there is one, a session reaches no route but those of the
//! own account, in any component.

#[path = "rules_of_every_route/totp.rs"]
mod totp;

use nokube_contract::Document;
use nokube_tests::api::Api;
use nokube_tests::cli::Cli;
use nokube_tests::platform::{Platform, repository_root};
use reqwest::Method;
use serde_json::{Value, json};

const REQUIRED: [&str; 2] = ["--variable", "second_factor=required"];

/// The routes for users and administrators, and whether each is of the own account.
fn routes() -> Vec<(Method, String, bool)> {
    let file = repository_root().join("docs/openapi.json");
    let text = std::fs::read_to_string(file).expect("the document is there");
    let document = Document::from_json(&text).expect("the document is JSON");
    let of_users = document
        .operations()
        .filter(|(_, _, described)| described["security"][0]["user"].is_array());
    of_users
        .map(|(method, template, _)| {
            let below = template.strip_prefix("/api/v1/auth/");
            let is_of_account = below
                .is_some_and(|rest| !rest.starts_with("users") && !rest.starts_with("invitations"));
            let parts = template.split('/').map(|part| match part.starts_with('{') {
                true => "1",
                false => part,
            });
            let path = parts.collect::<Vec<_>>().join("/");
            (method.parse().expect("a method"), path, is_of_account)
        })
        .collect()
}

fn access(tokens: &Value) -> &str {
    tokens["access_token"].as_str().expect("an access token")
}

async fn register(platform: &Platform) -> Value {
    let body = json!({
        "username": "ada", "password": "correct horse ada", "setup_code": platform.setup_code(),
    });
    let made = platform.api().post("/auth/register", &body).await;
    made.expect(201)
}

/// Sets one up, and gives a recovery code.
async fn enrol(ada: &Api) -> String {
    let password = json!({ "password": "correct horse ada" });
    let begun = ada.post("/auth/totp", &password).await.expect(201);
    let code = totp::code_now(begun["secret"].as_str().expect("a secret"));
    let confirmed = ada
        .post("/auth/totp/confirm", &json!({ "code": code }))
        .await
        .expect(200);
    let code = confirmed["recovery_codes"][0].as_str();
    code.expect("a recovery code").to_owned()
}

#[tokio::test]
async fn until_there_is_one_the_account_alone_is_reached() {
    let platform = Platform::start_with(&REQUIRED);
    let tokens = register(&platform).await;
    assert_eq!(tokens["scope"], "account:read account:write");
    let api = platform.api();
    let ada = api.with_token(access(&tokens));
    let routes = routes();
    assert!(routes.iter().filter(|route| !route.2).count() > 30);
    for (method, path, is_of_account) in routes {
        // It would end the session that all the others are asked in.
        if path == "/api/v1/auth/logout" {
            continue;
        }
        let below = path.strip_prefix("/api/v1").expect("the API's own");
        let request = ada.request(method.clone(), below).json(&json!({}));
        let answer = ada.send(request).await;
        let is_refused = answer.text.contains("/problems/scope-missing");
        assert_eq!(
            is_refused, !is_of_account,
            "{method} {path}: {}",
            answer.text
        );
    }
    let recovery_code = enrol(&ada).await;
    let refresh = json!({ "refresh_token": tokens["refresh_token"] });
    let whole = api.post("/auth/refresh", &refresh).await.expect(200);
    assert_eq!(whole["scope"], Value::Null);
    let ada = api.with_token(access(&whole));
    ada.create_project("shop").await;
    ada.get("/auth/users").await.expect(200);
    let body = json!({
        "username": "ada", "password": "correct horse ada", "recovery_code": recovery_code,
    });
    let signed_in = api.post("/auth/login", &body).await.expect(200);
    assert_eq!(signed_in["scope"], Value::Null);
}

#[tokio::test]
async fn by_command_it_is_set_up_and_everything_works_at_once() {
    let platform = Platform::start_with(&REQUIRED);
    register(&platform).await;
    let cli = Cli::signed_in(&platform, "ada");
    let refused = cli.refused(&["project", "list"]);
    assert!(refused.contains("second factor"), "{refused}");
    let wrong = cli.run_with(
        &["totp", "enable"],
        &[("NOKUBE_PASSWORD", "not the password")],
    );
    assert!(!wrong.status.success());
    let begun = cli.run_with_input(
        &["--json", "totp", "enable", "--password-stdin"],
        "correct horse ada\n",
    );
    let begun: Value = serde_json::from_slice(&begun.stdout).expect("what was begun");
    let code = totp::code_now(begun["secret"].as_str().expect("a secret"));
    let confirmed = cli.json(&["totp", "enable", "--code", &code]);
    assert_eq!(
        confirmed["recovery_codes"].as_array().map(Vec::len),
        Some(10)
    );
    cli.succeeds(&["project", "create", "shop"]);
}
