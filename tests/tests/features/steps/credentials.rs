//! Signing in, and staying so.

use cucumber::{given, then, when};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{PASSWORD, PlatformWorld, administrator, text};

#[given("I am a registered user with valid credentials")]
async fn registered(world: &mut PlatformWorld) {
    world.register().await;
}

#[given("I am an authenticated user")]
async fn authenticated(world: &mut PlatformWorld) {
    world.sign_in().await;
}

#[given("I am not authenticated")]
async fn not_authenticated(world: &mut PlatformWorld) {
    world.sign_out();
}

#[given("I have a valid refresh token")]
async fn has_refresh_token(world: &mut PlatformWorld) {
    world.sign_in().await;
}

async fn login(world: &mut PlatformWorld, body: Value) {
    world.ask(Method::POST, "/auth/login", Some(&body)).await;
}

#[when("I send a login request with my email and password")]
async fn login_valid(world: &mut PlatformWorld) {
    let body = json!({ "email": world.email, "password": PASSWORD });
    login(world, body).await;
}

#[when("I send a login request with an incorrect email")]
async fn login_wrong_email(world: &mut PlatformWorld) {
    let body = json!({ "email": format!("not.{}", world.email), "password": PASSWORD });
    login(world, body).await;
}

#[when("I send a login request with an incorrect password")]
async fn login_wrong_password(world: &mut PlatformWorld) {
    let body = json!({ "email": world.email, "password": "incorrect horse" });
    login(world, body).await;
}

#[when("I send a login request without a password")]
async fn login_without_password(world: &mut PlatformWorld) {
    login(world, json!({ "email": "someone@example.com" })).await;
}

#[when(expr = "I send {int} login requests with an incorrect password")]
async fn login_wrong_passwords(world: &mut PlatformWorld, count: usize) {
    for _ in 0..count {
        login_wrong_password(world).await;
        world.answer().problem(401);
    }
}

#[given("an administrator disabled my account")]
async fn disabled(world: &mut PlatformWorld) {
    let admin = administrator();
    let found = admin.get(&format!("/auth/users?q={}", world.email)).await;
    let path = format!("/auth/users/{}", found.expect(200)["data"][0]["id"]);
    let request = admin.request(Method::PATCH, &path);
    let changed = admin.send(request.json(&json!({ "disabled": true }))).await;
    assert_eq!(changed.expect(200)["email"], world.email);
}

#[when("I log out")]
async fn log_out(world: &mut PlatformWorld) {
    world.ask(Method::POST, "/auth/logout", None).await;
    // Not what a refresh was answered.
    let answer = world.last.take().expect("something was asked");
    answer.expect(204);
}

#[when("I send a token refresh request that has something else")]
async fn refresh_faulty(world: &mut PlatformWorld) {
    let body = json!({ "token": "no-such-token" });
    world.ask(Method::POST, "/auth/refresh", Some(&body)).await;
}

#[when("I send a token refresh request with my refresh token")]
async fn refresh(world: &mut PlatformWorld) {
    let body = json!({ "refresh_token": world.refresh_token });
    // What replaced it, for the step that tries it.
    if let Some(replaced) = &world.last {
        world.made.push(replaced.json());
    }
    world.ask(Method::POST, "/auth/refresh", Some(&body)).await;
}

#[when(expr = "I send a token refresh request with {string}")]
async fn refresh_with(world: &mut PlatformWorld, token: String) {
    let body = json!({ "refresh_token": token });
    world.ask(Method::POST, "/auth/refresh", Some(&body)).await;
}

#[then("I receive a valid JWT token")]
#[then("I receive a new valid JWT token")]
async fn valid_token(world: &mut PlatformWorld) {
    let tokens = world.answer().expect(200);
    let token = text(&tokens["access_token"]).expect("an access token");
    assert_eq!(token.split('.').count(), 3);
    assert_ne!(
        text(&tokens["refresh_token"]),
        Some(world.refresh_token.clone())
    );
    let list = world.api().with_token(&token).get("/events").await;
    assert_eq!(list.status, 200, "it opens what is protected");
}

#[then("I receive an error message indicating invalid credentials")]
async fn invalid_credentials(world: &mut PlatformWorld) {
    let problem = world.answer().problem(401);
    assert_eq!(problem["type"], "/problems/wrong-credentials");
}

#[then("the refresh token that replaced it is refused as well")]
async fn family_ended(world: &mut PlatformWorld) {
    let replaced = world.made.pop().expect("the first refresh was answered");
    let body = json!({ "refresh_token": replaced["refresh_token"] });
    world.ask(Method::POST, "/auth/refresh", Some(&body)).await;
    world.answer().problem(401);
}
