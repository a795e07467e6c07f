//! One event.

use cucumber::{given, then, when};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{PlatformWorld, campaign, text};

#[given("an existing event I previously created")]
async fn existing(world: &mut PlatformWorld) {
    world.ask(Method::POST, "/events", Some(&campaign())).await;
    world.event = world.answer().expect(201);
    world.etag = world.answer().headers["etag"]
        .to_str()
        .expect("ASCII")
        .to_owned();
}

#[given("an existing event of another user")]
async fn existing_of_another(world: &mut PlatformWorld) {
    let other = world.as_somebody_else().await;
    world.event = other.post("/events", &campaign()).await.expect(201);
}

async fn create_with(world: &mut PlatformWorld, changes: &[(&str, &str)]) {
    let mut body = campaign();
    for (field, value) in changes {
        body[*field] = (*value).into();
    }
    world.ask(Method::POST, "/events", Some(&body)).await;
}

#[when(
    "I send a request to create an event with a title, description, start date, end date, and status"
)]
async fn create(world: &mut PlatformWorld) {
    create_with(world, &[]).await;
}

#[when(expr = "I send a request to create an event from {string} to {string}")]
async fn create_from_to(world: &mut PlatformWorld, start: String, end: String) {
    create_with(world, &[("start_date", &start), ("end_date", &end)]).await;
}

#[when(expr = "I send a request to create an event whose {string} is {string}")]
async fn create_with_field(world: &mut PlatformWorld, field: String, value: String) {
    create_with(world, &[(&field, &value)]).await;
}

#[when("I send a request to create an event without anything")]
async fn create_empty(world: &mut PlatformWorld) {
    world.ask(Method::POST, "/events", Some(&json!({}))).await;
}

#[when("I send the same request to create an event twice with one idempotency key")]
async fn create_twice(world: &mut PlatformWorld) {
    let api = world.api();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let request = api.request(Method::POST, "/events").json(&campaign());
        let answer = api.send(request.header("idempotency-key", "once")).await;
        ids.push(answer.expect(201)["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
}

#[when("I send a request to update this event with new details")]
async fn replace(world: &mut PlatformWorld) {
    let body = json!({
        "title": "Winter sale", "description": "Coats", "start_date": "2097-12-01",
        "end_date": "2097-12-24", "status": "published"
    });
    let path = world.event_path();
    world.ask(Method::PUT, &path, Some(&body)).await;
}

#[when("I send a request to update this event with a title alone")]
async fn replace_by_title(world: &mut PlatformWorld) {
    let path = world.event_path();
    let body = json!({ "title": "Winter sale" });
    world.ask(Method::PUT, &path, Some(&body)).await;
}

#[when(expr = "I send a request to change its {string} to {string}")]
async fn change(world: &mut PlatformWorld, field: String, value: String) {
    let path = world.event_path();
    world
        .ask(Method::PATCH, &path, Some(&json!({ field: value })))
        .await;
}

#[when("I send a request to change the version I first read")]
async fn change_stale(world: &mut PlatformWorld) {
    let api = world.api();
    let request = api.request(Method::PATCH, &world.event_path());
    let request = request.header("if-match", &world.etag);
    world.last = Some(api.send(request.json(&json!({ "title": "Late" }))).await);
}

#[when("I send a request to replace the version I first read")]
async fn replace_stale(world: &mut PlatformWorld) {
    let api = world.api();
    let request = api.request(Method::PUT, &world.event_path());
    let request = request.header("if-match", &world.etag);
    world.last = Some(api.send(request.json(&campaign())).await);
}

#[when("I send a request to delete the version I first read")]
async fn delete_stale(world: &mut PlatformWorld) {
    let api = world.api();
    let request = api.request(Method::DELETE, &world.event_path());
    world.last = Some(api.send(request.header("if-match", &world.etag)).await);
}

#[then("the event is still there")]
async fn is_still_there(world: &mut PlatformWorld) {
    assert_eq!(world.answer().expect(200)["id"], world.event["id"]);
}

#[when("I send a request to delete this event")]
async fn delete(world: &mut PlatformWorld) {
    let path = world.event_path();
    world.ask(Method::DELETE, &path, None).await;
}

#[when("I send a request to retrieve this event by its ID")]
async fn read(world: &mut PlatformWorld) {
    let path = world.event_path();
    world.ask(Method::GET, &path, None).await;
}

#[when("I ask whether the service of events works")]
async fn ask_health(world: &mut PlatformWorld) {
    world.ask(Method::GET, "/events/health", None).await;
}

#[then("I am told that it does")]
async fn healthy(world: &mut PlatformWorld) {
    let health = world.answer().expect(200);
    assert_eq!(
        (&health["status"], &health["service"]),
        (&json!("ok"), &json!("events"))
    );
}

#[then("the event is created")]
async fn is_created(world: &mut PlatformWorld) {
    world.event = world.answer().expect(201);
    let read = world.api().get(&world.event_path()).await;
    assert_eq!(read.expect(200), world.event);
}

#[then("I receive its details with a unique identifier")]
async fn has_details(world: &mut PlatformWorld) {
    assert_eq!(text(&world.event["id"]).map(|id| id.len()), Some(36));
    for (field, value) in campaign().as_object().expect("an object") {
        assert_eq!(world.event[field], *value, "{field}");
    }
}

#[then(expr = "its dates are {string} and {string}")]
async fn has_dates(world: &mut PlatformWorld, start: String, end: String) {
    assert_eq!(world.event["start_date"], start);
    assert_eq!(world.event["end_date"], end);
}

#[then("the event is updated")]
async fn is_updated(world: &mut PlatformWorld) {
    let answer = world.answer().expect(200);
    let read = world.api().get(&world.event_path()).await.expect(200);
    assert_eq!(read, answer);
}

#[then("I receive the updated event details")]
async fn has_new_details(world: &mut PlatformWorld) {
    let event = world.answer().json();
    assert_eq!(event["id"], world.event["id"]);
    assert_eq!(event["title"], "Winter sale");
    assert_eq!(event["status"], "published");
    assert_eq!(event["end_date"], "2097-12-24");
}

#[then("its description is kept")]
async fn description_kept(world: &mut PlatformWorld) {
    let event = world.answer().json();
    assert_eq!(event["title"], "Winter sale");
    assert_eq!(event["description"], campaign()["description"]);
}

#[then("the event is no longer available")]
async fn is_gone(world: &mut PlatformWorld) {
    assert_eq!(world.answer().expect(204), Value::Null);
    world.api().get(&world.event_path()).await.problem(404);
}

#[then("I receive the details of the event")]
async fn is_read(world: &mut PlatformWorld) {
    assert_eq!(world.answer().expect(200), world.event);
}

#[then("the other user's event is as it was")]
async fn others_event_kept(world: &mut PlatformWorld) {
    let owner = world.other_owner.clone().expect("somebody else's event");
    let read = world
        .api()
        .with_token(&owner)
        .get(&world.event_path())
        .await;
    assert_eq!(read.expect(200), world.event);
}
